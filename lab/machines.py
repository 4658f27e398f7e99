"""EC2 instances as real local processes of the sample application.

An instance reads its configuration where a real one would: from the lines that its user data writes to
``/etc/pilotlight/environment``. Only the port is the lab's own, because every instance shares this machine's address.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from lab.children import children

if TYPE_CHECKING:
    from collections.abc import Mapping

ENVIRONMENT_FILE: Final = "/etc/pilotlight/environment"
_PROJECT: Final = Path(__file__).resolve().parent.parent
_HEREDOC: Final = re.compile(r"<<(?P<indented>-?)\s*(?P<quote>['\"]?)(?P<mark>\w+)(?P=quote)")
_ASSIGNMENT: Final = re.compile(r"(?P<name>[A-Za-z_]\w*)=(?P<value>.*)")


def environment_of(user_data: str) -> dict[str, str]:
    """Read the application's environment out of an instance's user data.

    Parameters
    ----------
    user_data
        A shell script as EC2 stores it (base64) or as it is written.

    Returns
    -------
    dict[str, str]
        What the here-document for ``/etc/pilotlight/environment`` holds; empty when there is none.
    """
    lines = iter(_decoded(user_data).splitlines())
    for line in lines:
        opening = _HEREDOC.search(line) if ENVIRONMENT_FILE in line else None
        if opening is None:
            continue
        found: dict[str, str] = {}
        for entry in lines:
            text = entry.lstrip("\t") if opening["indented"] else entry
            if text == opening["mark"]:
                return found
            if assignment := _ASSIGNMENT.fullmatch(text.strip()):
                found[assignment["name"]] = _unquoted(assignment["value"])
    return {}


def _decoded(user_data: str) -> str:
    try:
        return base64.b64decode(user_data, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return user_data


def _unquoted(value: str) -> str:
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"" else value


@dataclass
class Machine:
    """One running instance: a process and the port that it listens on."""

    instance_id: str
    region: str
    port: int
    process: subprocess.Popen[bytes] = field(repr=False)

    @property
    def pid(self) -> int:
        """The process id on this machine."""
        return self.process.pid

    @property
    def alive(self) -> bool:
        """Whether the process still runs."""
        return self.process.poll() is None

    def kill(self) -> None:
        """End the process at once, as losing the power does."""
        children.end(self.process)


class Machines:
    """The instances that run on this machine, of every region.

    Parameters
    ----------
    home
        Where logs and the marks of sick regions are kept.
    endpoint
        The lab's AWS endpoint.
    """

    def __init__(self, home: Path, endpoint: str) -> None:
        self._home = home
        self._endpoint = endpoint
        self._machines: dict[str, Machine] = {}
        self._lock = threading.Lock()

    def start(self, instance_id: str, region: str, environment: Mapping[str, str]) -> Machine:
        """Start an instance's process.

        Parameters
        ----------
        instance_id
            The EC2 instance id.
        region
            The instance's region.
        environment
            What the user data gives to the application; see :func:`environment_of`.

        Returns
        -------
        Machine
            Running, though its application may still be starting.
        """
        port = _free_port()
        log = self._home / "instances" / region / f"{instance_id}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            process = children.start(
                [sys.executable, "-m", "lab.sample_app"],
                cwd=_PROJECT,
                env=self._environment(instance_id, region, port, environment),
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        machine = Machine(instance_id, region, port, process)
        with self._lock:
            self._machines[instance_id] = machine
        return machine

    def get(self, instance_id: str) -> Machine | None:
        """Return the running process of an instance.

        Parameters
        ----------
        instance_id
            The EC2 instance id.

        Returns
        -------
        Machine | None
            None when it has not been started, was stopped, or died.
        """
        machine = self._machines.get(instance_id)
        return machine if machine and machine.alive else None

    def stop(self, instance_id: str) -> None:
        """End an instance's process, if it has one.

        Parameters
        ----------
        instance_id
            The EC2 instance id.
        """
        with self._lock:
            machine = self._machines.pop(instance_id, None)
        if machine:
            machine.kill()

    def stop_all(self, region: str | None = None) -> None:
        """End the processes of a region at once, or all of them.

        Parameters
        ----------
        region
            A region's name; None for every region.
        """
        for machine in [m for m in list(self._machines.values()) if region in (None, m.region)]:
            self.stop(machine.instance_id)

    def set_sick(self, region: str, *, sick: bool, deep: bool = False) -> None:
        """Let every application of a region fail its health checks, or recover.

        Parameters
        ----------
        region
            A region's name.
        sick
            True: from now on the health path answers 500, on new instances too.
        deep
            Only the check that reaches for the database; everything else goes on.
        """
        mark = self._sick_mark(region, deep=deep)
        if sick:
            mark.parent.mkdir(parents=True, exist_ok=True)
            mark.touch()
        else:
            mark.unlink(missing_ok=True)

    def _sick_mark(self, region: str, *, deep: bool = False) -> Path:
        return self._home / "instances" / region / ("deep-sick" if deep else "sick")

    def _environment(self, instance_id: str, region: str, port: int, given: Mapping[str, str]) -> dict[str, str]:
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "AWS_REGION": region,
            "AWS_DEFAULT_REGION": region,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_EC2_METADATA_DISABLED": "true",
            **given,
            "AWS_ENDPOINT_URL": self._endpoint,
            "INSTANCE_ID": instance_id,
            "INSTANCE_PORT": str(port),
            "INSTANCE_SICK_MARK": str(self._sick_mark(region)),
            "INSTANCE_DEEP_SICK_MARK": str(self._sick_mark(region, deep=True)),
        }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
