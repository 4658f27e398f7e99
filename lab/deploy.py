"""Deploys both regions of the lab as a user deploys to AWS: ``sam build``, then ``sam deploy`` twice, then an image."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import time
import tomllib
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import boto3

from lab.children import children
from lab.durations import BASE_IMAGE_NAME
from lab.world import DR, PRIMARY

if TYPE_CHECKING:
    import subprocess
    import threading
    from collections.abc import Iterator, Sequence

    from lab.world import Lab

ROOT: Final = Path(__file__).parents[1]
TOOLS: Final = ROOT / ".venv" / "bin"
LOGS: Final = ROOT / "build" / "lab"
ENVIRONMENT: Final = "dev"

ZONE: Final = "pilotlight.example"
"""The hosted zone that the lab has before anything is deployed; the application's host is ``app`` in it."""

CONFIGURATIONS: Final = {PRIMARY: "lab-primary", DR: "lab-dr"}
"""The configuration environment of samconfig.toml that each region is deployed with."""

LISTENER_OFFSETS: Final = {PRIMARY: 10, DR: 11}
"""Both load balancers listen on this one machine: their ports are LAB_PORT plus this."""


_BUILDS: Final = ROOT / ".aws-sam" / "lab"
_BUILT_FROM: Final = ("template.yaml", "infra", "functions", "layers", "statemachine")
_KEPT_SECONDS: Final = 86_400.0


class DeployError(Exception):
    """A step of the deployment failed; the message ends with what the tool said."""


def deploy_both_regions(lab: Lab, stop: threading.Event) -> None:
    """Build once, deploy the primary region, then the DR region, then publish a first image.

    Parameters
    ----------
    lab
        Empty and running, on a fast clock.
    stop
        Set when the user wants to end it: what runs is ended and the rest is not started.

    Raises
    ------
    DeployError
        When a step failed.
    """
    steps = _Steps(lab, stop)
    place = _built(steps)
    lab.report("build", lambda: str(place))
    zone = _hosted_zone(lab)
    for region, configuration in CONFIGURATIONS.items():
        steps.run(
            f"deploying {region} with sam ({configuration})",
            f"sam-deploy-{region}",
            [
                *(TOOLS / "sam", "deploy", "--template-file", place / "template.yaml", "--region", region),
                *("--config-file", ROOT / "samconfig.toml", "--config-env", configuration),
                *("--no-confirm-changeset", "--no-fail-on-empty-changeset", "--no-progressbar"),
                *("--parameter-overrides", *_parameters(lab, region, configuration, place, zone)),
            ],
        )
    _wait_for_instances(lab, stop)
    steps.run(
        "publishing a first image to both regions",
        "image",
        [TOOLS / "python", "-m", "scripts.image", ENVIRONMENT, PRIMARY, DR],
    )


def environment(lab: Lab) -> dict[str, str]:
    """Return the environment in which a tool of AWS works on the lab.

    Parameters
    ----------
    lab
        The lab.

    Returns
    -------
    dict[str, str]
        The process's own, without what names another account or place.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_") and name != "TMPDIR"}
    return {
        **kept,
        "AWS_ENDPOINT_URL": lab.endpoint,
        "AWS_ACCESS_KEY_ID": lab.account,
        "AWS_SECRET_ACCESS_KEY": "lab",
        # No file of the user's decides where a deployment of the lab goes.
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_PAGER": "",
        "SAM_CLI_TELEMETRY": "0",
        "SAM_CLI_POLL_DELAY": "0.5",
        "POLL_SECONDS": "1",
        # `sam build` needs a Python of the functions' runtime, and pip: the tools' environment is both.
        "PATH": f"{TOOLS}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
    }


class _Steps:
    """Runs one tool after the other: a line for a person, the tool's own words in a file."""

    def __init__(self, lab: Lab, stop: threading.Event) -> None:
        self._lab = lab
        self._stop = stop
        # Labs of one working tree run side by side.
        self._logs = LOGS / str(lab.port)
        self._logs.mkdir(parents=True, exist_ok=True)

    def run(self, saying: str, log_name: str, command: Sequence[str | Path]) -> None:
        if self._stop.is_set():
            raise DeployError("stopped")
        print(f"lab: {saying} …", flush=True)
        log = self._logs / f"{log_name}.log"
        with log.open("wb") as output:
            process = children.start(
                [str(part) for part in command],
                cwd=ROOT,
                env=environment(self._lab),
                stdout=output,
                stderr=output,
            )
            try:
                self._wait(process)
            finally:
                children.end(process, grace=5)
        if self._stop.is_set():
            raise DeployError("stopped")
        if process.returncode != 0:
            end = "\n".join(log.read_text(errors="replace").splitlines()[-40:])
            raise DeployError(f"{saying} failed. The end of {log.relative_to(ROOT)}:\n{end}")

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        while process.poll() is None and not self._stop.wait(0.1):
            pass


def _place() -> Path:
    """Name a folder for the build of the files as they are now: a lab that runs keeps its own while they change."""
    read = hashlib.sha256()
    for name in _BUILT_FROM:
        for path in sorted([ROOT / name, *(ROOT / name).rglob("*")]):
            if path.is_file() and path.suffix != ".pyc":
                read.update(f"{path.relative_to(ROOT)} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return _BUILDS / read.hexdigest()[:16]


def _built(steps: _Steps) -> Path:
    """Build, unless these very files were built before."""
    with _one_build_at_a_time():
        place = _place()
        if not place.exists():
            for old in _BUILDS.glob("*/"):
                if time.time() - old.stat().st_mtime > _KEPT_SECONDS:
                    shutil.rmtree(old, ignore_errors=True)
            # A build that was cut off is not taken for one. Beside it, since the paths in it are relative.
            part = place.with_suffix(".part")
            steps.run("building with sam", "sam-build", [TOOLS / "sam", "build", "--no-cached", "--build-dir", part])
            part.rename(place)
    return place


def _hosted_zone(lab: Lab) -> str:
    """Create the zone that the application's name is in, as whoever owns the domain has done before a deployment."""
    made = _client(lab, "route53", "us-east-1").create_hosted_zone(Name=ZONE, CallerReference=lab.home.name)
    return str(made["HostedZone"]["Id"]).removeprefix("/hostedzone/")


def _parameters(lab: Lab, region: str, configuration: str, built: Path, zone: str) -> list[str]:
    """Join the parameters of samconfig.toml, which the command line alone would hide, with the lab's own."""
    settings = tomllib.loads((ROOT / "samconfig.toml").read_text())
    configured: list[str] | str = (
        settings.get(configuration, {}).get("deploy", {}).get("parameters", {}).get("parameter_overrides", [])
    )
    own = {"ListenerPort": str(lab.port + LISTENER_OFFSETS[region]), "ImageId": _base_image(lab, region)}
    known = (built / "template.yaml").read_text()
    if "\n  HostedZoneId:\n" in known:
        own |= {"HostedZoneId": zone, "ApplicationHost": f"app.{ZONE}"}
    if "\n  WitnessUrls:\n" in known:
        own["WitnessUrls"] = f"{lab.endpoint}/_lab/witness"
    words = configured.split() if isinstance(configured, str) else configured
    return [word for word in words if word.split("=")[0] not in own] + [f"{name}={own[name]}" for name in own]


def _base_image(lab: Lab, region: str) -> str:
    """Find the image that the first instances start from, by its name, as a user looks one up."""
    images = _client(lab, "ec2", region).describe_images(Filters=[{"Name": "name", "Values": [BASE_IMAGE_NAME]}])
    if not images["Images"]:
        raise DeployError(f"there is no image named {BASE_IMAGE_NAME} in {region}")
    return str(images["Images"][0]["ImageId"])


def _wait_for_instances(lab: Lab, stop: threading.Event) -> None:
    """Wait until the active region serves: an image is made from an instance that answers its load balancer."""
    print("lab: waiting for the first instances …", flush=True)
    groups, balancing = _client(lab, "autoscaling", PRIMARY), _client(lab, "elbv2", PRIMARY)
    for _ in range(600):
        (group,) = groups.describe_auto_scaling_groups(AutoScalingGroupNames=[f"{ENVIRONMENT}-asg"])[
            "AutoScalingGroups"
        ]
        (targets,) = group["TargetGroupARNs"]
        seen = balancing.describe_target_health(TargetGroupArn=targets)["TargetHealthDescriptions"]
        serving = [target for target in seen if target["TargetHealth"]["State"] == "healthy"]
        if len(serving) >= max(1, group["DesiredCapacity"]):
            return
        if stop.wait(0.2):
            raise DeployError("stopped")
    raise DeployError(f"{ENVIRONMENT}-asg in {PRIMARY} has no instance that serves after two minutes")


def _client(lab: Lab, service: str, region: str) -> Any:
    return boto3.client(
        service,  # type: ignore[call-overload]  # any service
        region_name=region,
        endpoint_url=lab.endpoint,
        aws_access_key_id=lab.account,
        aws_secret_access_key="lab",
    )


@contextmanager
def _one_build_at_a_time() -> Iterator[None]:
    """Keep two labs of one working tree from building into the same cache at once."""
    LOGS.mkdir(parents=True, exist_ok=True)
    with (LOGS / "build.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
