"""Machine images: made from an instance, copied across regions, deregistered.

MiniStack has registered images only, all available at once. Here an image is ``pending`` for as long as it takes on
AWS, a copy may end ``failed``, and each region starts with one image of its own.
"""

from __future__ import annotations

import datetime
import random
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

from ministack.services import ec2, kms

from lab.durations import BASE_IMAGE_NAME, duration
from lab.emulator import here, scope
from lab.emulator.compute.wire import (
    AwsError,
    Params,
    Reply,
    filters,
    flag,
    many,
    now,
    number,
    one,
    render,
    tag_specifications,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from lab.emulator.compute.instances import Fleet
    from lab.world import Lab

State = Literal["pending", "available", "failed"]

_ROOT_DEVICE: Final = "/dev/xvda"
_NAME: Final = re.compile(r"[A-Za-z0-9()\[\] ./\-'@_]{3,128}")
_TIME_BASED: Final = range(15, 2881, 15)
"""Minutes that a time-based copy may be asked to take."""
_IMAGE_ID: Final = re.compile(r"ami-(?:[0-9a-f]{8}|[0-9a-f]{17})")


@dataclass(eq=False)
class Disk:
    """The image's root volume."""

    size: int = 8
    encrypted: bool = False
    key: str | None = None
    snapshot: str = ""


@dataclass(eq=False)
class Image:
    """A machine image of one region."""

    image_id: str
    region: str
    name: str
    disk: Disk
    description: str = ""
    state: State = "pending"
    reason: str = ""
    created: str = field(default_factory=now)
    begun_at: float = 0.0
    ready_at: float = 0.0
    copied_from: tuple[str, str] | None = None
    made_from: str | None = None
    token: str = ""

    def finish(self, failure: str | None, aws_seconds: float = 0.0) -> None:
        """End the making of the image: well, or with the reason why not; after so many AWS seconds."""
        self.state, self.reason = ("failed", failure) if failure else ("available", "")
        if snapshot := ec2._snapshots.get(self.disk.snapshot):
            snapshot.update(State="error" if failure else "completed", Progress="0%" if failure else "100%")
            if not failure:
                snapshot["CompletionTime"] = _later(snapshot["StartTime"], aws_seconds)


class Images:
    """The images of every region of the lab.

    Parameters
    ----------
    lab
        Its clock and regions.
    """

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._images: dict[tuple[str, str], Image] = {}
        self.fleet: Fleet
        self.copy_faults: dict[str, str] = {}
        for region in lab.regions:
            with scope(lab, region):
                self._add(BASE_IMAGE_NAME, Disk(), "An image that starts the application").finish(None)

    def handlers(self) -> dict[str, Callable[[Params], Reply] | None]:
        """Return what answers which action of EC2; None where the lab has no such action."""
        return {
            "CreateImage": self.CreateImage,
            "CopyImage": self.CopyImage,
            "DeregisterImage": self.DeregisterImage,
            "DescribeImages": self.DescribeImages,
            "DescribeSnapshots": self.DescribeSnapshots,
            "DeleteSnapshot": self.DeleteSnapshot,
            # MiniStack's own would act on images that nothing here knows.
            "RegisterImage": None,
            "ModifyImageAttribute": None,
            "DescribeImageAttribute": None,
            "ResetImageAttribute": None,
        }

    def usable(self, image_id: str) -> Image:
        """Return an image of this region that an instance can start from.

        Parameters
        ----------
        image_id
            Its id.

        Returns
        -------
        Image
            Available.

        Raises
        ------
        AwsError
            As RunInstances refuses it.
        """
        image = self._find(image_id)
        if image.state != "available":
            raise AwsError(
                "InvalidAMIID.Unavailable",
                f"The image ID '{image_id}' is not available: it is in the state {image.state}",
            )
        return image

    def tick(self, region: str) -> None:
        """Finish the images of a region whose time has come.

        Parameters
        ----------
        region
            The region that the caller acts in.
        """
        for image in self._of(region):
            if image.state != "pending":
                continue
            source_lost = image.copied_from is not None and self._lab.is_down(image.copied_from[1])
            if source_lost or self._lab.clock.aws_now() >= image.ready_at:
                image.finish(self._failure(image), self._lab.clock.aws_now() - image.begun_at)

    def _failure(self, image: Image) -> str | None:
        if image.copied_from is None:
            return None
        if self._lab.is_down(image.copied_from[1]):
            return f"The source snapshot in {image.copied_from[1]} cannot be read"
        if fault := self.copy_faults.get(image.region):
            return fault
        # The key is looked at only now: the call to CopyImage has long succeeded.
        if image.disk.key is not None and not _key_usable(image.disk.key):
            return "Given key ID is not accessible"
        return None

    # Actions

    def CreateImage(self, params: Params) -> Reply:
        """Make an image of an instance."""
        instance = self.fleet.require(one(params, "InstanceId"))
        name = self._free_name(params)
        disk = Disk(
            size=number(params, "BlockDeviceMapping.1.Ebs.VolumeSize") or instance.disk.size,
            encrypted=instance.disk.encrypted,
            key=instance.disk.key,
        )
        image = self._add(name, disk, one(params, "Description"))
        image.made_from = instance.instance_id
        image.ready_at = self._lab.clock.aws_now() + duration("image-create")
        self._tag(image, params)
        if not flag(params, "NoReboot"):
            self.fleet.reboot(instance)
        return ec2_reply("CreateImage", {"imageId": image.image_id})

    def CopyImage(self, params: Params) -> Reply:
        """Copy an image of another region into this one."""
        token = one(params, "ClientToken")
        for known in self._of(here()):
            if token and known.token == token:
                return ec2_reply("CopyImage", {"imageId": known.image_id})
        source = self._source(params)
        name = self._free_name(params)
        key = one(params, "KmsKeyId") or None
        if key and one(params, "Encrypted").lower() == "false":
            raise AwsError("InvalidParameterDependency", "The parameter KmsKeyId requires the parameter Encrypted")
        takes = self._copy_time(params)
        disk = Disk(source.disk.size, source.disk.encrypted or flag(params, "Encrypted") or key is not None, key)
        image = self._add(name, disk, one(params, "Description") or source.description)
        image.copied_from, image.token = (source.image_id, source.region), token
        image.ready_at = self._lab.clock.aws_now() + takes
        self._tag(image, params)
        if flag(params, "CopyImageTags"):
            with scope(self._lab, source.region):
                theirs = [tag for tag in ec2._tags.get(source.image_id, []) if not tag["Key"].startswith("aws:")]
            given = ec2._tags.get(image.image_id, [])
            taken = {tag["Key"] for tag in given}
            ec2._tags[image.image_id] = [*given, *(dict(tag) for tag in theirs if tag["Key"] not in taken)]
        return ec2_reply("CopyImage", {"imageId": image.image_id})

    def DeregisterImage(self, params: Params) -> Reply:
        """Forget an image; instances that run from it go on."""
        image = self._find(one(params, "ImageId"))
        del self._images[image.region, image.image_id]
        ec2._tags.pop(image.image_id, None)
        if flag(params, "DeleteAssociatedSnapshots"):
            ec2._snapshots.pop(image.disk.snapshot, None)
            ec2._tags.pop(image.disk.snapshot, None)
        return ec2_reply("DeregisterImage", {"return": True})

    def DescribeSnapshots(self, params: Params) -> Reply:
        """List the snapshots of this region; all of them are the account's own."""
        wanted = many(params, "SnapshotId")
        for snapshot in wanted:
            _require_snapshot(snapshot)
        conditions = filters(params)
        found = [
            _snapshot_view(each)
            for each in ec2._snapshots.values()
            if (not wanted or each["SnapshotId"] in wanted) and _fits(_snapshot_facts(each), conditions)
        ]
        return ec2_reply("DescribeSnapshots", {"snapshotSet": found})

    def DeleteSnapshot(self, params: Params) -> Reply:
        """Delete a snapshot that no image is made of."""
        snapshot = one(params, "SnapshotId")
        _require_snapshot(snapshot)
        for image in self._of(here()):
            if image.disk.snapshot == snapshot:
                raise AwsError(
                    "InvalidSnapshot.InUse", f"The snapshot {snapshot} is currently in use by {image.image_id}"
                )
        del ec2._snapshots[snapshot]
        ec2._tags.pop(snapshot, None)
        return ec2_reply("DeleteSnapshot", {"return": True})

    def DescribeImages(self, params: Params) -> Reply:
        """List the images of this region; all of them are the account's own."""
        wanted = many(params, "ImageId")
        for image_id in wanted:
            self._find(image_id)
        owners = many(params, "Owner")
        conditions = filters(params)
        found = [
            image
            for image in self._of(here())
            if (not wanted or image.image_id in wanted)
            and (not owners or {"self", self._lab.account} & set(owners))
            and self._matches(image, conditions)
        ]
        return ec2_reply("DescribeImages", {"imagesSet": [self._view(image) for image in found]})

    # Helpers

    def _copy_time(self, params: Params) -> float:
        """Return the AWS seconds that a copy takes: no longer than was asked for."""
        minutes = number(params, "SnapshotCopyCompletionDurationMinutes")
        if minutes is not None and minutes not in _TIME_BASED:
            raise AwsError(
                "InvalidParameterValue",
                f"Invalid value '{minutes}' for SnapshotCopyCompletionDurationMinutes: it must be a multiple of 15"
                " between 15 and 2880",
            )
        return duration("image-copy") if minutes is None else min(duration("image-copy"), minutes * 60)

    def _of(self, region: str) -> list[Image]:
        return [image for (where, _), image in self._images.items() if where == region]

    def _find(self, image_id: str) -> Image:
        if not _IMAGE_ID.fullmatch(image_id):
            raise AwsError("InvalidAMIID.Malformed", f'Invalid id: "{image_id}" (expecting "ami-...")')
        if image := self._images.get((here(), image_id)):
            return image
        raise AwsError("InvalidAMIID.NotFound", f"The image id '[{image_id}]' does not exist")

    def _source(self, params: Params) -> Image:
        region, image_id = one(params, "SourceRegion"), one(params, "SourceImageId")
        if region not in self._lab.regions:
            raise AwsError("InvalidParameterValue", f"Invalid region: {region}")
        if self._lab.is_down(region):
            raise AwsError("InternalError", f"The source region {region} does not answer")
        source = self._images.get((region, image_id))
        if source is None:
            raise AwsError("InvalidAMIID.NotFound", f"The image id '[{image_id}]' does not exist")
        if source.state != "available":
            raise AwsError("InvalidAMIID.Unavailable", f"The image ID '{image_id}' is not available")
        return source

    def _free_name(self, params: Params) -> str:
        name = one(params, "Name")
        if not _NAME.fullmatch(name):
            raise AwsError(
                "InvalidAMIName.Malformed",
                "AMI names must be between 3 and 128 characters long, and may contain letters, numbers,"
                " and ( ) [ ] space . / - ' @ _ only",
            )
        for image in self._of(here()):
            if image.name == name and image.state != "failed":
                raise AwsError("InvalidAMIName.Duplicate", f"AMI name {name} is already in use by AMI {image.image_id}")
        return name

    def _add(self, name: str, disk: Disk, description: str) -> Image:
        image = Image(f"ami-{random.getrandbits(68):017x}", here(), name, disk, description)
        image.begun_at = self._lab.clock.aws_now()
        disk.snapshot = f"snap-{random.getrandbits(68):017x}"
        ec2._snapshots[disk.snapshot] = {
            "SnapshotId": disk.snapshot,
            "VolumeId": "vol-ffffffff",
            "VolumeSize": disk.size,
            "Description": f"Created for {image.image_id}",
            "State": "pending",
            "StartTime": image.created,
            "Progress": "0%",
            "OwnerId": self._lab.account,
            "Encrypted": disk.encrypted,
            "KmsKeyId": _key_arn(disk.key),
            "StorageTier": "standard",
        }
        self._images[image.region, image.image_id] = image
        return image

    def _tag(self, image: Image, params: Params) -> None:
        for kind, resource in (("image", image.image_id), ("snapshot", image.disk.snapshot)):
            if given := tag_specifications(params, kind):
                ec2._tags[resource] = given

    def _matches(self, image: Image, conditions: dict[str, list[str]]) -> bool:
        facts: dict[str, list[str]] = {
            "image-id": [image.image_id],
            "name": [image.name],
            "description": [image.description],
            "state": [image.state],
            "owner-id": [self._lab.account],
            "is-public": ["false"],
            "creation-date": [image.created],
            "architecture": ["x86_64"],
            "virtualization-type": ["hvm"],
            "root-device-type": ["ebs"],
            "root-device-name": [_ROOT_DEVICE],
            "block-device-mapping.snapshot-id": [image.disk.snapshot],
            "source-image-id": [image.copied_from[0] if image.copied_from else ""],
            "source-image-region": [image.copied_from[1] if image.copied_from else ""],
        }
        return _fits(facts | _tag_facts(image.image_id), conditions)

    def _view(self, image: Image) -> dict[str, Any]:
        reason = {"code": "Client.InternalError", "message": image.reason} if image.reason else None
        return {
            "imageId": image.image_id,
            "imageLocation": f"{self._lab.account}/{image.name}",
            "imageState": image.state,
            "stateReason": reason,
            "imageOwnerId": self._lab.account,
            "isPublic": False,
            "creationDate": image.created,
            "architecture": "x86_64",
            "imageType": "machine",
            "name": image.name,
            "description": image.description or None,
            "platformDetails": "Linux/UNIX",
            "rootDeviceType": "ebs",
            "rootDeviceName": _ROOT_DEVICE,
            "blockDeviceMapping": [
                {
                    "deviceName": _ROOT_DEVICE,
                    "ebs": {
                        "snapshotId": image.disk.snapshot,
                        "volumeSize": image.disk.size,
                        "volumeType": "gp3",
                        "deleteOnTermination": True,
                        "encrypted": image.disk.encrypted,
                    },
                }
            ],
            "virtualizationType": "hvm",
            "hypervisor": "xen",
            "enaSupport": True,
            "sourceInstanceId": image.made_from,
            "sourceImageId": image.copied_from[0] if image.copied_from else None,
            "sourceImageRegion": image.copied_from[1] if image.copied_from else None,
            "tagSet": [{"key": tag["Key"], "value": tag["Value"]} for tag in ec2._tags.get(image.image_id, [])] or None,
        }


def ec2_reply(action: str, content: dict[str, Any]) -> Reply:
    """Return the answer to an action of EC2."""
    reply: Reply = ec2._xml(200, f"{action}Response", render(content, "item"))
    return reply


def _key_usable(key: str) -> bool:
    found = kms._resolve_key(key)
    return bool(found) and kms._check_key_state(found) is None


def _key_arn(key: str | None) -> str | None:
    """Return the ARN of a key, however it was named; the name itself where there is none such."""
    found = kms._resolve_key(key) if key else None
    return str(found["Arn"]) if found else key


def _later(moment: str, seconds: float) -> str:
    begun = datetime.datetime.fromisoformat(moment)
    return (begun + datetime.timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def _tag_facts(resource: str) -> dict[str, list[str]]:
    """Return what the filters on tags find at a resource."""
    given = {tag["Key"]: tag.get("Value", "") for tag in ec2._tags.get(resource, [])}
    return {"tag-key": list(given)} | {f"tag:{key}": [value] for key, value in given.items()}


def _fits(facts: dict[str, list[str]], conditions: dict[str, list[str]]) -> bool:
    for name, values in conditions.items():
        if name not in facts and not name.startswith("tag:"):
            # MiniStack ignores such a filter: an image too many would be found, and perhaps launched.
            raise AwsError("InvalidParameterValue", f"The filter '{name}' is invalid")
        if not any(ec2._filter_value_matches(value, values) for value in facts.get(name, [])):
            return False
    return True


def _require_snapshot(snapshot: str) -> None:
    if snapshot not in ec2._snapshots:
        raise AwsError("InvalidSnapshot.NotFound", f"The snapshot '{snapshot}' does not exist.")


def _snapshot_facts(snapshot: dict[str, Any]) -> dict[str, list[str]]:
    return {
        "snapshot-id": [snapshot["SnapshotId"]],
        "status": [snapshot["State"]],
        "volume-id": [snapshot["VolumeId"]],
        "owner-id": [snapshot["OwnerId"]],
        "description": [snapshot["Description"]],
        "encrypted": [str(bool(snapshot["Encrypted"])).lower()],
    } | _tag_facts(snapshot["SnapshotId"])


def _snapshot_view(snapshot: dict[str, Any]) -> dict[str, Any]:
    return {
        "snapshotId": snapshot["SnapshotId"],
        "volumeId": snapshot["VolumeId"],
        "volumeSize": snapshot["VolumeSize"],
        "status": snapshot["State"],
        "startTime": snapshot["StartTime"],
        "completionTime": snapshot.get("CompletionTime"),
        "progress": snapshot["Progress"],
        "ownerId": snapshot["OwnerId"],
        "description": snapshot["Description"],
        "encrypted": bool(snapshot["Encrypted"]),
        "kmsKeyId": snapshot.get("KmsKeyId"),
        "storageTier": snapshot["StorageTier"],
        "tagSet": [
            {"key": tag["Key"], "value": tag.get("Value", "")} for tag in ec2._tags.get(snapshot["SnapshotId"], [])
        ]
        or None,
    }
