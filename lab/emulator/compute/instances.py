"""EC2 instances: what the API says of them, and the processes that they are."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ministack.services import ec2

from lab.durations import duration
from lab.emulator import here
from lab.emulator.compute.images import Disk, ec2_reply
from lab.emulator.compute.templates import merged, resolve_image
from lab.emulator.compute.wire import AwsError, Params, Reply, many, number, one, tag_specifications
from lab.machines import environment_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from lab.emulator.compute.images import Images
    from lab.emulator.compute.templates import Templates
    from lab.machines import Machines
    from lab.world import Lab

_CODES: Final = {"pending": 0, "running": 16, "shutting-down": 32, "terminated": 48, "stopping": 64, "stopped": 80}


class Fault(NamedTuple):
    """Why launches of a region fail."""

    code: str
    message: str


@dataclass(eq=False)
class Instance:
    """One instance: its record in MiniStack, and when its state changes next."""

    instance_id: str
    region: str
    record: dict[str, Any]
    environment: dict[str, str]
    disk: Disk
    changes_at: float

    @property
    def state(self) -> str:
        """The state's name, as DescribeInstances says it."""
        return str(self.record["State"]["Name"])

    @state.setter
    def state(self, name: str) -> None:
        self.record["State"] = {"Code": _CODES[name], "Name": name}
        if name == "terminated":
            self.record["_terminated_at"] = time.time()


class Fleet:
    """The instances of every region.

    Parameters
    ----------
    lab
        Its clock and regions.
    machines
        Where instances run.
    images
        What instances may start from.
    templates
        What RunInstances may name.
    """

    def __init__(self, lab: Lab, machines: Machines, images: Images, templates: Templates) -> None:
        self._lab = lab
        self._machines = machines
        self._images = images
        self._templates = templates
        self._instances: dict[str, Instance] = {}
        self.launch_faults: dict[str, str] = {}
        images.fleet = self

    def handlers(self) -> dict[str, Callable[[Params], Reply]]:
        """Return what answers which action of EC2."""
        return {
            "RunInstances": self.RunInstances,
            "TerminateInstances": self.TerminateInstances,
            "StopInstances": self.StopInstances,
            "StartInstances": self.StartInstances,
            "RebootInstances": self.RebootInstances,
        }

    # For the others of this package

    def all(self) -> list[Instance]:
        """Return every instance that the API still lists."""
        return list(self._instances.values())

    def get(self, instance_id: str) -> Instance | None:
        """Return an instance, or None."""
        return self._instances.get(instance_id)

    def require(self, instance_id: str) -> Instance:
        """Return an instance of this region, or raise as EC2 does."""
        instance = self._instances.get(instance_id)
        if instance is None or instance.region != here():
            raise AwsError("InvalidInstanceID.NotFound", f"The instance ID '{instance_id}' does not exist")
        return instance

    def address(self, instance_id: str) -> tuple[str, int] | None:
        """Return where an instance listens, or None while it does not run. Takes no lock."""
        machine = self._machines.get(instance_id)
        return ("127.0.0.1", machine.port) if machine else None

    def check(self, data: dict[str, Any]) -> None:
        """Raise as RunInstances does when nothing could be launched from ``data``."""
        self._images.usable(resolve_image(data.get("ImageId", "")))

    def launch(
        self, data: dict[str, Any], *, subnet: str = "", zone: str = "", tags: list[dict[str, str]] | None = None
    ) -> Instance:
        """Start an instance in this region.

        Parameters
        ----------
        data
            Launch data, with the names of a launch template.
        subnet, zone
            Where; the default subnet when empty.
        tags
            Beside those that ``data`` gives to instances.

        Returns
        -------
        Instance
            ``pending``; it runs when it has booted.

        Raises
        ------
        AwsError
            As RunInstances refuses it.
        """
        region = here()
        image = self._images.usable(resolve_image(data.get("ImageId", "")))
        instance_type = data.get("InstanceType") or "m1.small"
        zone = zone or f"{region}a"
        if code := self.launch_faults.get(region):
            raise AwsError(code, _fault_message(code, instance_type, zone))
        profile = data.get("IamInstanceProfile") or {}
        resolved, refused = ec2._resolve_iam_instance_profile(
            iam_arn=profile.get("Arn", ""), iam_name=profile.get("Name", ""), allow_missing=True
        )
        if refused:
            raise AwsError("InvalidParameterValue", "Invalid IAM Instance Profile")
        record = ec2._launch_instances_internal(
            image_id=image.image_id,
            instance_type=instance_type,
            subnet_id=subnet or ec2._DEFAULT_SUBNET_ID,
            count=1,
            key_name=data.get("KeyName", ""),
            user_data=data.get("UserData", ""),
            sg_ids=_security_groups(data),
            iam_profile=resolved,
        )[0]
        record["Placement"]["AvailabilityZone"] = zone
        instance = Instance(
            instance_id=record["InstanceId"],
            region=region,
            record=record,
            environment=environment_of(data.get("UserData", "")),
            disk=_disk(data, image.disk),
            changes_at=self._lab.clock.aws_now() + duration("instance-boot"),
        )
        instance.state = "pending"
        of_template = [
            {"Key": tag["Key"], "Value": str(tag.get("Value", ""))}
            for specification in data.get("TagSpecifications") or []
            if specification.get("ResourceType") == "instance"
            for tag in specification.get("Tags") or []
        ]
        ours = {tag["Key"]: tag for tag in (*of_template, *(tags or []))}
        ec2._tags[instance.instance_id] = list(ours.values())
        self._instances[instance.instance_id] = instance
        return instance

    def terminate(self, instance: Instance) -> None:
        """End an instance for good; its process ends at once."""
        if instance.state in ("shutting-down", "terminated"):
            return
        self._machines.stop(instance.instance_id)
        instance.state = "shutting-down"
        instance.changes_at = self._lab.clock.aws_now() + duration("instance-terminate")

    def reboot(self, instance: Instance) -> None:
        """Restart an instance that runs: it answers nothing until it is up again."""
        if instance.state == "running":
            self._machines.stop(instance.instance_id)
            instance.changes_at = self._lab.clock.aws_now() + duration("instance-boot") / 2

    def lose(self, region: str) -> None:
        """Lose every instance of a region at once."""
        self._machines.stop_all(region)
        for instance in self.all():
            if instance.region == region and instance.state not in ("stopped", "terminated"):
                instance.state = "terminated"

    def tick(self, region: str) -> None:
        """Let the instances of a region go on to their next state.

        Parameters
        ----------
        region
            The region that the caller acts in.
        """
        now = self._lab.clock.aws_now()
        for instance in self.all():
            if instance.region != region:
                continue
            if instance.instance_id not in ec2._instances:
                # Terminated a while ago: the API does not list it any more.
                del self._instances[instance.instance_id]
            elif now < instance.changes_at:
                continue
            elif instance.state == "shutting-down":
                instance.state = "terminated"
            elif instance.state == "pending" or (instance.state == "running" and instance.changes_at):
                self._boot(instance)
            elif instance.state == "running" and instance.environment and not self.address(instance.instance_id):
                self._lab.log(f"instance {instance.instance_id} in {region} has died: its process ended")
                instance.state = "terminated"

    def _boot(self, instance: Instance) -> None:
        instance.state = "running"
        instance.changes_at = 0.0
        if instance.environment:
            self._machines.start(instance.instance_id, instance.region, instance.environment)

    # Actions

    def RunInstances(self, params: Params) -> Reply:
        """Start instances."""
        chosen: dict[str, Any] = {}
        template_id, name = (one(params, f"LaunchTemplate.LaunchTemplate{key}") for key in ("Id", "Name"))
        if template_id or name:
            chosen = self._templates.choose(template_id, name, one(params, "LaunchTemplate.Version")).data
        given = ec2._parse_lt_data({f"Request.{key}": value for key, value in params.items()}, "Request")
        given.pop("TagSpecifications", None)
        data = merged(chosen, given)
        if not data.get("ImageId"):
            raise AwsError("MissingParameter", "The request must contain the parameter ImageId")
        low, high = number(params, "MinCount") or 1, number(params, "MaxCount") or 1
        if low > high:
            raise AwsError("InvalidParameterCombination", "MinCount must not exceed MaxCount")
        subnet = one(params, "SubnetId")
        zone = ec2._subnets.get(subnet, {}).get("AvailabilityZone", "")
        tags = tag_specifications(params, "instance")
        started = [self.launch(data, subnet=subnet, zone=zone, tags=tags) for _ in range(high)]
        items = "".join(ec2._instance_xml(instance.record) for instance in started)
        reply: Reply = ec2._xml(
            200,
            "RunInstancesResponse",
            f"<reservationId>r-{random.getrandbits(68):017x}</reservationId><ownerId>{self._lab.account}</ownerId>"
            f"<groupSet/><instancesSet>{items}</instancesSet>",
        )
        return reply

    def TerminateInstances(self, params: Params) -> Reply:
        """End instances for good."""
        return self._change("TerminateInstances", params, self.terminate)

    def StopInstances(self, params: Params) -> Reply:
        """Stop instances; they can be started again."""

        def stop(instance: Instance) -> None:
            if instance.state in ("pending", "running"):
                self._machines.stop(instance.instance_id)
                instance.state = "stopped"

        return self._change("StopInstances", params, stop)

    def StartInstances(self, params: Params) -> Reply:
        """Start instances that were stopped."""

        def start(instance: Instance) -> None:
            if instance.state == "stopped":
                instance.state = "pending"
                instance.changes_at = self._lab.clock.aws_now() + duration("instance-boot")

        return self._change("StartInstances", params, start)

    def RebootInstances(self, params: Params) -> Reply:
        """Restart instances."""
        for instance in [self.require(instance_id) for instance_id in many(params, "InstanceId")]:
            self.reboot(instance)
        return ec2_reply("RebootInstances", {"return": True})

    def _change(self, action: str, params: Params, change: Callable[[Instance], None]) -> Reply:
        answers = []
        for instance in [self.require(instance_id) for instance_id in many(params, "InstanceId")]:
            before = instance.state
            change(instance)
            answers.append(
                {
                    "instanceId": instance.instance_id,
                    "previousState": {"code": _CODES[before], "name": before},
                    "currentState": {"code": _CODES[instance.state], "name": instance.state},
                }
            )
        return ec2_reply(action, {"instancesSet": answers})


def _security_groups(data: dict[str, Any]) -> list[str] | None:
    for interface in data.get("NetworkInterfaces") or []:
        if interface.get("Groups"):
            return list(interface["Groups"])
    return data.get("SecurityGroupIds") or None


def _disk(data: dict[str, Any], image: Disk) -> Disk:
    for mapping in data.get("BlockDeviceMappings") or []:
        volume = mapping.get("Ebs") or {}
        # A template of CloudFormation may carry its truth values as text.
        encrypted = str(volume.get("Encrypted", image.encrypted)).lower() == "true"
        return Disk(int(volume.get("VolumeSize") or image.size), encrypted, volume.get("KmsKeyId") or image.key)
    return Disk(image.size, image.encrypted, image.key)


def _fault_message(code: str, instance_type: str, zone: str) -> str:
    if code == "InsufficientInstanceCapacity":
        return (
            f"We currently do not have sufficient {instance_type} capacity in the Availability Zone you requested"
            f" ({zone}). Our system will be working on provisioning additional capacity."
        )
    if code == "VcpuLimitExceeded":
        return "You have requested more vCPU capacity than your current vCPU limit allows for the instance bucket."
    return f"The launch of {instance_type} in {zone} has been told to fail"
