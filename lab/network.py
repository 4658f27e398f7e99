"""What the functions of a region can reach: a file a region, read by ``lab.function_shim`` at every connection."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path


@dataclass
class _Rules:
    only: list[int] | None = None
    never: list[int] = field(default_factory=list)


class Network:
    """The network of every region's functions; instances, users and AWS's own services are not held up by it.

    Parameters
    ----------
    home
        The lab's home.
    """

    def __init__(self, home: Path) -> None:
        self._directory = home / "network"
        self._directory.mkdir()
        self._rules: dict[str, _Rules] = {}
        self._lock = threading.Lock()

    def cut(self, region: str, ports: Collection[int] | None) -> None:
        """Leave a region's functions nothing but some ports of this machine, or all again.

        Parameters
        ----------
        region
            A region's name.
        ports
            What they still reach; None ends it.
        """
        with self._lock:
            self._rules.setdefault(region, _Rules()).only = None if ports is None else sorted(ports)
            self._write(region)

    def block(self, region: str, ports: Collection[int]) -> None:
        """Keep a region's functions from some ports of this machine; none ends it.

        Parameters
        ----------
        region
            A region's name.
        ports
            What they do not reach.
        """
        with self._lock:
            self._rules.setdefault(region, _Rules()).never = sorted(ports)
            self._write(region)

    def is_cut(self, region: str) -> bool:
        """Say whether a region's functions reach nothing but their own region.

        Parameters
        ----------
        region
            A region's name.

        Returns
        -------
        bool
            False for a name that is no region.
        """
        rules = self._rules.get(region)
        return rules is not None and rules.only is not None

    def told(self) -> dict[str, dict[str, list[int] | None]]:
        """Return the rules of every region that has some, for the lab's status."""
        return {
            region: {"only": rules.only, "never": rules.never}
            for region, rules in self._rules.items()
            if rules.only is not None or rules.never
        }

    def _write(self, region: str) -> None:
        # In one go: a function may read at any moment.
        new = self._directory / f".{region}"
        new.write_text(json.dumps(vars(self._rules[region])))
        new.replace(self._directory / region)
