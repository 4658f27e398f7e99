"""EC2 images: made, copied, marked, looked into, removed; and what is measured of them."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from pilotlight.aws import clients, faults
from pilotlight.errors import TransientError
from pilotlight.model import DiskSnapshot, Key

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pilotlight.model import Instance

_VERSION = "pilotlight:version"
_LIVING = ("pending", "running", "shutting-down", "stopping", "stopped")
_GONE = frozenset({"InvalidAMIID.NotFound", "InvalidAMIID.Unavailable", "InvalidSnapshot.NotFound"})
_NO_TEMPLATE = frozenset({"InvalidLaunchTemplateId.NotFound", "InvalidLaunchTemplateId.VersionNotFound"})
_FILTERED_A_CALL = 200


def described(instances: Iterable[Instance], client: Any = None) -> tuple[Instance, ...]:
    """Add to a group's instances when each was started, and the application's version that its tag names."""
    known = {one.identifier: one for one in instances}
    if not known:
        return ()
    pages = (client or clients.near("ec2")).get_paginator("describe_instances").paginate(InstanceIds=list(known))
    return tuple(
        replace(
            known[found["InstanceId"]],
            launched=found["LaunchTime"].isoformat(),
            version={tag["Key"]: tag["Value"] for tag in found.get("Tags", [])}.get(_VERSION, ""),
        )
        for page in pages
        for reservation in page["Reservations"]
        for found in reservation["Instances"]
    )


def create(instance: str, name: str, tags: Mapping[str, str], client: Any = None) -> str:
    """Ask for an image of an instance that goes on running, its disks' snapshots tagged like it; return its id.

    Without a reboot it is what a power cut would leave: the application's data is in the database, not on the disk.

    Raises
    ------
    TransientError
        There is one of this name: an earlier call of this made it, and it is listed in a moment.
    """
    try:
        made = (client or clients.near("ec2")).create_image(
            InstanceId=instance, Name=name, NoReboot=True, TagSpecifications=_specified(tags)
        )
    except ClientError as error:
        raise _once_more(error, name) from error
    return str(made["ImageId"])


def copy(
    source: str, region: str, name: str, key: str, tags: Mapping[str, str], token: str, minutes: int, client: Any
) -> str:
    """Ask for a copy of another region's image under a key of this one; return its id. Accepted is not there.

    Parameters
    ----------
    source, region
        The image, and where it is.
    token
        The same one is answered with the same copy.
    minutes
        Within how many it has to be there, which is charged for; 0 for best effort.
    client
        Of the region that the copy is to be in.
    """
    in_time = {"SnapshotCopyCompletionDurationMinutes": minutes} if minutes else {}
    try:
        made = client.copy_image(
            SourceImageId=source,
            SourceRegion=region,
            Name=name,
            Encrypted=True,
            KmsKeyId=key,
            ClientToken=token,
            TagSpecifications=_specified(tags),
            **in_time,
        )
    except ClientError as error:
        raise _once_more(error, name) from error
    return str(made["ImageId"])


def _specified(tags: Mapping[str, str]) -> list[dict[str, Any]]:
    listed = [{"Key": name, "Value": value} for name, value in tags.items()]
    return [{"ResourceType": kind, "Tags": listed} for kind in ("image", "snapshot")]


def _once_more(error: ClientError, name: str) -> Exception:
    if faults.code(error) == "InvalidAMIName.Duplicate":
        return TransientError(f"an image {name} exists already and is not listed yet: look again")
    return error


def note(image: str, tags: Mapping[str, str], client: Any = None) -> None:
    """Put tags on an image, over what it has under these names."""
    (client or clients.near("ec2")).create_tags(
        Resources=[image], Tags=[{"Key": name, "Value": value} for name, value in tags.items()]
    )


def snapshots(identifiers: tuple[str, ...], client: Any) -> tuple[DiskSnapshot, ...]:
    """Describe snapshots by their ids; none for none."""
    return _listed(client, SnapshotIds=list(identifiers)) if identifiers else ()


def snapshots_with(tags: Mapping[str, str], client: Any) -> tuple[DiskSnapshot, ...]:
    """Describe our own snapshots that have tags; a value of ``*`` is any."""
    filters = [{"Name": f"tag:{name}", "Values": [value]} for name, value in tags.items()]
    return _listed(client, OwnerIds=["self"], Filters=filters)


def _listed(client: Any, **which: Any) -> tuple[DiskSnapshot, ...]:
    pages = client.get_paginator("describe_snapshots").paginate(**which)
    return tuple(
        DiskSnapshot(
            identifier=found["SnapshotId"],
            state=found["State"],
            encrypted=bool(found.get("Encrypted")),
            key=found.get("KmsKeyId", ""),
            tags={tag["Key"]: tag["Value"] for tag in found.get("Tags", [])},
            seconds=(found["CompletionTime"] - found["StartTime"]).total_seconds() if "CompletionTime" in found else -1,
        )
        for page in pages
        for found in page["Snapshots"]
    )


def key(alias: str, client: Any) -> Key:
    """Read a region's key: its state, its policy, and who was granted its use.

    A policy that may not be read is left empty.
    """
    found = client.describe_key(KeyId=alias)["KeyMetadata"]
    identifier = found["KeyId"]
    try:
        policy = client.get_key_policy(KeyId=identifier, PolicyName="default").get("Policy") or ""
    except ClientError as error:
        if faults.code(error) != "AccessDeniedException":
            raise
        policy = ""
    grants = client.get_paginator("list_grants").paginate(KeyId=identifier)
    return Key(
        arn=found["Arn"],
        state=found["KeyState"],
        policy=policy,
        grantees=tuple(grant.get("GranteePrincipal", "") for page in grants for grant in page["Grants"]),
    )


def in_use(identifiers: Iterable[str], ec2: Any, scaling: Any) -> frozenset[str]:
    """Find which images a region refers to.

    By instances that are not terminated, and by launch template versions that may start some: the latest and the
    default of every template, and whatever version a group names.
    """
    some = list(identifiers)
    found: set[str] = set()
    for start in range(0, len(some), _FILTERED_A_CALL):
        filters = [
            {"Name": "image-id", "Values": some[start : start + _FILTERED_A_CALL]},
            {"Name": "instance-state-name", "Values": list(_LIVING)},
        ]
        for page in ec2.get_paginator("describe_instances").paginate(Filters=filters):
            found |= {one["ImageId"] for group in page["Reservations"] for one in group["Instances"]}
    versions = ec2.get_paginator("describe_launch_template_versions")
    found |= _named(versions.paginate(Versions=["$Latest", "$Default"]))
    for template, named in _versions_of_groups(scaling).items():
        found |= _named_by(template, sorted(named), versions)
    return frozenset(found & set(some))


def _named_by(template: str, named: list[str], versions: Any) -> set[str]:
    """Read which images versions of a template name; what an instance was once started by may be deleted since."""
    try:
        return _named(versions.paginate(LaunchTemplateId=template, Versions=named))
    except ClientError as error:
        if faults.code(error) not in _NO_TEMPLATE:
            raise
    # One that is gone refuses the others with it.
    return {image for one in named for image in _named_by(template, [one], versions)} if len(named) > 1 else set()


def _named(pages: Any) -> set[str]:
    return {
        version["LaunchTemplateData"].get("ImageId", "") for page in pages for version in page["LaunchTemplateVersions"]
    }


def _versions_of_groups(scaling: Any) -> dict[str, set[str]]:
    found: defaultdict[str, set[str]] = defaultdict(set)
    for page in scaling.get_paginator("describe_auto_scaling_groups").paginate():
        for group in page["AutoScalingGroups"]:
            mixed = group.get("MixedInstancesPolicy", {}).get("LaunchTemplate", {})
            for template in (
                group.get("LaunchTemplate"),
                mixed.get("LaunchTemplateSpecification"),
                *(override.get("LaunchTemplateSpecification") for override in mixed.get("Overrides", [])),
                *(instance.get("LaunchTemplate") for instance in group.get("Instances", [])),
            ):
                if template:
                    found[template["LaunchTemplateId"]].add(template.get("Version", "$Default"))
    return found


def deregister(image: str, client: Any) -> str:
    """Deregister an image; say what is in the way, nothing where it is gone."""
    return _removed(image, lambda: client.deregister_image(ImageId=image))


def delete_snapshot(snapshot: str, client: Any) -> str:
    """Delete a snapshot; say what is in the way, nothing where it is gone."""
    return _removed(snapshot, lambda: client.delete_snapshot(SnapshotId=snapshot))


def _removed(what: str, remove: Any) -> str:
    try:
        remove()
    except ClientError as error:
        if faults.code(error) in _GONE:
            return ""
        if isinstance(faults.sorted_into_family(error), TransientError):
            raise
        return f"{what}: {error.response['Error'].get('Message', faults.code(error))}"
    return ""
