"""Faults of the network between a region's functions and the rest of the world."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from lab.emulator.compute import front_door

if TYPE_CHECKING:
    from lab.world import Lab

_SCALE_FILE: Final = "time-scale"


def install(lab: Lab) -> None:
    """Offer the controls, and tell the functions' processes how fast time passes.

    Parameters
    ----------
    lab
        Gets the group ``network`` of controls.
    """
    _tell_the_scale(lab)

    def checked(region: str) -> str:
        if region not in lab.regions:
            raise ValueError(f"the lab has the regions {', '.join(lab.regions)}, not {region}")
        return region

    def cut(region: str, on: bool = True) -> Any:
        """Cut a region's functions off: they reach its own AWS APIs, databases and load balancer, nothing else."""
        databases = [each["port"] for each in lab.controls["database"]["list"]() if each["region"] == checked(region)]
        door = front_door(lab, region)
        lab.network.cut(region, [lab.port, *databases, *([door.port] if door else [])] if on else None)
        return lab.network.told()

    def probe_path(region: str, on: bool = True) -> Any:
        """Keep a region's functions from the load balancers of the other regions; users still reach them."""
        doors = [front_door(lab, other) for other in lab.regions if other != checked(region)]
        lab.network.block(region, [door.port for door in doors if door] if on else [])
        return lab.network.told()

    lab.controls["network"] = {"cut": cut, "probe-path": probe_path}
    lab.report("network", lab.network.told)


def _tell_the_scale(lab: Lab) -> None:
    def write(scale: float) -> None:
        new = lab.home / f".{_SCALE_FILE}"
        new.write_text(f"{scale:g}")
        new.replace(lab.home / _SCALE_FILE)

    lab.clock.on_change(write)
