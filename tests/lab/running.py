"""A lab in a process of its own, as a user starts it, and what the tests do with it."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import boto3
from botocore.config import Config

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pytest

ROOT: Final = Path(__file__).parents[2]
ACCOUNT: Final = "000000000000"
PRIMARY: Final = "eu-west-1"
DR: Final = "eu-central-1"
_FIRST_PORT, _PORTS_OF_A_PROCESS, _PROCESSES, _PORTS_OF_A_LAB = 20000, 4000, 3, 20
_CONFIGURATIONS: Final = {PRIMARY: "lab-primary", DR: "lab-dr"}


class RunningLab:
    """One lab process.

    Parameters
    ----------
    arguments
        For ``lab serve``.
    log
        Where its output goes.
    scale
        AWS seconds in one real second.
    ready_within
        Real seconds until it must say ``lab ready``.
    """

    def __init__(self, *arguments: str, log: Path, scale: float, ready_within: float) -> None:
        self.port = _free_port()
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self.log = log
        self.scale = scale
        environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [ROOT / ".venv-lab/bin/python", "-m", "lab", "serve", *arguments],
                cwd=ROOT,
                env={**environment, "LAB_PORT": str(self.port), "LAB_TIME_SCALE": str(scale)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            self.wait_until(lambda: self._says_ready(), ready_within, "lab ready")
        except BaseException:
            self.stop()
            raise
        self._home = Path(self.status()["home"])

    def client(self, service: str, region: str = DR, **config: Any) -> Any:
        """Return a boto3 client of one region of the lab."""
        return boto3.client(
            service,  # type: ignore[call-overload]  # any service
            region_name=region,
            endpoint_url=self.endpoint,
            aws_access_key_id=ACCOUNT,
            aws_secret_access_key="lab",
            config=Config(**{"retries": {"total_max_attempts": 1}, "read_timeout": 60, **config}),
        )

    def lose(self, region: str, mode: str = "refuse") -> None:
        """Lose the whole region."""
        self.order(f"regions/{region}/outage", {"mode": mode})

    def bring_back(self, region: str) -> None:
        """Bring a lost region back."""
        self.order(f"regions/{region}/return", {})

    def set_apis(self, region: str, mode: str | None) -> None:
        """Let only the APIs of a region misbehave, or answer again."""
        self.order(f"apis/{region}", {"mode": mode})

    def control(self, part: str, control: str, **arguments: Any) -> Any:
        """Switch a fault on or off that a part of the lab offers; return what it answers."""
        return self.order(f"control/{part}/{control}", arguments)["answer"]

    def set_scale(self, scale: float) -> None:
        """Change how many AWS seconds pass in one real second."""
        self.order("clock", {"scale": scale})

    def clock_passes(self, aws_seconds: float) -> None:
        """Wait until the lab's clock has moved on."""
        until = self.status()["clock"]["aws_now"] + aws_seconds
        self.wait_until(lambda: self.status()["clock"]["aws_now"] >= until, seconds=60)

    def deploy(self, region: str, **changes: str) -> str:
        """Deploy a region's stack again with the real SAM CLI, some parameters changed; return what sam said."""
        stack = self.client("cloudformation", region).describe_stacks(StackName="dev-pilotlight")["Stacks"][0]
        parameters = {item["ParameterKey"]: item["ParameterValue"] for item in stack["Parameters"]} | changes
        ended = subprocess.run(
            [
                *(ROOT / ".venv/bin/sam", "deploy", "--region", region),
                *("--template-file", f"{self.status()['build']}/template.yaml"),
                *("--config-file", ROOT / "samconfig.toml", "--config-env", _CONFIGURATIONS[region]),
                # Quoted: a schedule has blanks in it.
                *("--parameter-overrides", *[f'{name}="{value}"' for name, value in parameters.items() if value]),
            ],
            cwd=ROOT,
            env={
                **os.environ,
                "AWS_ENDPOINT_URL": self.endpoint,
                "AWS_ACCESS_KEY_ID": ACCOUNT,
                "AWS_SECRET_ACCESS_KEY": "lab",
                "SAM_CLI_TELEMETRY": "0",
                "SAM_CLI_POLL_DELAY": "0.5",
            },
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout + ended.stderr

    def status(self) -> dict[str, Any]:
        """Return what the lab says of itself."""
        with urllib.request.urlopen(f"{self.endpoint}/_lab/status", timeout=60) as answer:
            status: dict[str, Any] = json.load(answer)
        return status

    def order(self, path: str, order: dict[str, Any]) -> dict[str, Any]:
        """Give an order to the lab's control API; return its answer."""
        body = json.dumps(order).encode()
        request = urllib.request.Request(f"{self.endpoint}/_lab/{path}", body, method="POST")
        with urllib.request.urlopen(request, timeout=90) as answered:
            answer: dict[str, Any] = json.load(answered)
        return answer

    def wait_until[T](self, condition: Callable[[], T | None], seconds: float = 60, what: str = "") -> T:
        """Return the condition's first true value; fail with the end of the lab's output when it stays false."""
        deadline = time.monotonic() + seconds
        while True:
            value = condition()
            if value:
                return value
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"{what or 'the condition'} did not come true\n{self.log.read_text()[-3000:]}")
            time.sleep(0.1)

    @contextlib.contextmanager
    def log_kept(self, request: pytest.FixtureRequest) -> Iterator[None]:
        """Keep what the services have logged, which goes with the lab's home, if a test fails meanwhile."""
        failed = request.session.testsfailed
        yield
        if request.session.testsfailed > failed:
            kept = ROOT / "build/lab" / f"{request.path.stem}.log"
            kept.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(self._home / "lab.log", kept)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Stop the lab as a user would and return its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(timeout=60)

    def _says_ready(self) -> bool:
        return "lab ready" in self.log.read_text()


def _free_port() -> int:
    """Find a port that is free together with those that the lab's load balancers listen on.

    Below the ports that the system gives to whoever asks for any, and each with a block of its own: several labs run
    side by side, and what one opens later must not be another's by then. Processes of one test run look in different
    places, so that two that look at the same moment do not find the same.
    """
    process = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _PROCESSES
    first = _FIRST_PORT + process * _PORTS_OF_A_PROCESS
    while True:
        port = random.randrange(first, first + _PORTS_OF_A_PROCESS, _PORTS_OF_A_LAB)
        if all(_is_free(port + offset) for offset in range(_PORTS_OF_A_LAB)):
            return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
