"""Compute: machine images, launch templates, instances, Auto Scaling groups and load balancers.

MiniStack answers these APIs from records alone. Here instances are processes, groups start and replace them, listeners
forward and targets are probed, each at AWS's pace by the lab's clock.
"""

from __future__ import annotations

import threading
from functools import wraps
from typing import TYPE_CHECKING, Any, Final

from ministack.services import alb, autoscaling, ec2
from ministack.services.cloudformation import provisioners

from lab.balancer import Balancer
from lab.emulator import scope
from lab.emulator.compute import rules
from lab.emulator.compute.groups import Groups
from lab.emulator.compute.images import Images
from lab.emulator.compute.instances import Fleet
from lab.emulator.compute.targets import Targets
from lab.emulator.compute.templates import Templates
from lab.emulator.compute.wire import answering
from lab.machines import Machines

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lab.emulator.compute.targets import Door
    from lab.world import Lab

_PULSE: Final = 0.1
"""Real seconds between two looks at everything that changes by itself."""

_TYPES: Final = (
    "AWS::AutoScaling::AutoScalingGroup",
    "AWS::ElasticLoadBalancingV2::LoadBalancer",
    "AWS::ElasticLoadBalancingV2::TargetGroup",
    "AWS::ElasticLoadBalancingV2::Listener",
)


class Compute:
    """All of it, moved by one thread.

    Every state that changes with time changes in :meth:`_tick`, and every request is answered under the same lock, so
    nothing here happens in between. Traffic and probes have a thread of their own that never takes this lock.

    Parameters
    ----------
    lab
        The lab.
    """

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._lock = threading.RLock()
        self._machines = Machines(lab.home, lab.endpoint)
        self._balancer = Balancer(lab.clock)
        self._images = Images(lab)
        self._templates = Templates()
        self._fleet = Fleet(lab, self._machines, self._images, self._templates)
        self._targets = Targets(lab, self._balancer, self._fleet)
        self._groups = Groups(lab, self._fleet, self._targets, self._templates)

    def install(self) -> None:
        """Take the place of what MiniStack has, and start."""
        rules.install()
        self._targets.install()
        self._groups.install()
        for service, handlers in (
            (ec2, self._images.handlers()),
            (ec2, self._templates.handlers()),
            (ec2, self._fleet.handlers()),
            (autoscaling, self._groups.handlers()),
            (alb, self._targets.handlers()),
        ):
            self._answer(service, handlers)
        for kind in _TYPES:
            handlers = provisioners._RESOURCE_HANDLERS[kind]
            for verb in ("create", "update", "delete"):
                handlers[verb] = self._locked(handlers[verb])
        self._lab.on_outage(self._locked(self._lose))
        self._lab.on_close(self._close)
        self._lab.spawn(self._run, "lab-compute")

    def instances(self) -> list[dict[str, Any]]:
        """Return every instance for the lab's status: its region, id, process, port and state.

        Returns
        -------
        list[dict[str, Any]]
            Those that are terminated too, for as long as the API lists them.
        """
        found = []
        for instance in self._fleet.all():
            machine = self._machines.get(instance.instance_id)
            found.append(
                {
                    "region": instance.region,
                    "id": instance.instance_id,
                    "state": instance.state,
                    "pid": machine.pid if machine else None,
                    "port": machine.port if machine else None,
                }
            )
        return found

    def listeners(self) -> list[dict[str, Any]]:
        """Return every open listener for the lab's status: its region and port.

        Returns
        -------
        list[dict[str, Any]]
            None of a region that is lost.
        """
        return self._targets.listeners()

    def door(self, region: str) -> Door | None:
        """Return where a region's load balancer listens; see :func:`front_door`."""
        with scope(self._lab, region):
            return self._targets.door(region)

    def status(self) -> dict[str, Any]:
        """Return what the lab's status says of compute."""
        return {"instances": self.instances(), "listeners": self.listeners()}

    def controls(self) -> dict[str, Callable[..., Any]]:
        """Return what the game day and tests may do to compute past the AWS API, by name.

        Returns
        -------
        dict[str, Callable[..., Any]]
            ``status`` answers with every instance and listener; the others switch a fault on and off.
        """
        return {
            "status": self.status,
            "sick-instances": self._sick_instances,
            "failing-deep-check": self._failing_deep_check,
            "zone-down": self._zone_down,
            "launch-failures": self._launch_failures,
            "image-copy-failures": self._image_copy_failures,
        }

    # Faults

    def _sick_instances(self, region: str, sick: bool = True) -> None:
        self._machines.set_sick(region, sick=sick)

    def _failing_deep_check(self, region: str, on: bool = True) -> None:
        self._machines.set_sick(region, sick=on, deep=True)

    def _zone_down(self, region: str, zone: str = "") -> list[str]:
        """Kill every instance of one zone, of the first that has any unless it is named; return their ids."""
        with self._lock:
            running = [each for each in self._fleet.all() if each.region == region and each.state == "running"]
            zones = {each.instance_id: each.record["Placement"]["AvailabilityZone"] for each in running}
            lost = zone or min(zones.values(), default="")
            dead = [identity for identity, where in zones.items() if where == lost]
            for identity in dead:
                self._machines.stop(identity)
        return dead

    def _launch_failures(self, region: str, code: str | None = "InsufficientInstanceCapacity") -> None:
        self._set(self._fleet.launch_faults, region, code)

    def _image_copy_failures(self, region: str, reason: str | None = "The copy was told to fail") -> None:
        self._set(self._images.copy_faults, region, reason)

    def _set(self, faults: dict[str, str], region: str, fault: str | None) -> None:
        with self._lock:
            if fault is None:
                faults.pop(region, None)
            else:
                faults[region] = fault

    # What happens by itself

    def _run(self) -> None:
        pulse = threading.Event()
        self._lab.on_close(pulse.set)
        while not self._lab.closing:
            for region in self._lab.regions:
                self._tick(region)
            pulse.wait(_PULSE)

    def _tick(self, region: str) -> None:
        with self._lock, scope(self._lab, region):
            if self._lab.is_down(region) or self._lab.closing:
                return
            self._images.tick(region)
            self._fleet.tick(region)
            self._groups.tick(region)
            try:
                # Also what opens the listeners of a region that has come back.
                self._targets.follow()
            except OSError as error:
                self._lab.log(f"a listener in {region} cannot be opened yet: {error}")

    def _lose(self, region: str) -> None:
        self._targets.lose(region)
        with scope(self._lab, region):
            self._fleet.lose(region)

    def _close(self) -> None:
        with self._lock:
            self._balancer.close()
            self._machines.stop_all()

    # Wrapping

    def _answer(self, service: Any, handlers: Mapping[str, Callable[..., Any] | None]) -> None:
        errors = answering(service._error)
        for action, handler in handlers.items():
            if handler is None:
                del service._ACTION_MAP[action]
            else:
                service._ACTION_MAP[action] = self._locked(errors(handler))

    def _locked[**P, R](self, function: Callable[P, R]) -> Callable[P, R]:
        @wraps(function)
        def locked(*args: P.args, **kwargs: P.kwargs) -> R:
            with self._lock:
                return function(*args, **kwargs)

        return locked


_installed: Final[dict[Lab, Compute]] = {}


def front_door(lab: Lab, region: str) -> Door | None:
    """Return where a region's load balancer listens, also while the region is lost.

    Parameters
    ----------
    lab
        The lab.
    region
        A region's name.

    Returns
    -------
    Door | None
        None where there is no listener.
    """
    return _installed[lab].door(region)


def install(lab: Lab) -> None:
    """Let the compute services of MiniStack do what they say.

    Parameters
    ----------
    lab
        The lab.
    """
    compute = Compute(lab)
    compute.install()
    lab.controls["compute"] = compute.controls()
    _installed[lab] = compute
