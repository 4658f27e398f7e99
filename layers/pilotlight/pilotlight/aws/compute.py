"""EC2, Auto Scaling and Elastic Load Balancing."""

from __future__ import annotations

import hashlib
from typing import Any

from pilotlight.aws import clients
from pilotlight.model import Capacity, Door, Group, Image, Instance, Target


def images(environment: str, client: Any = None) -> tuple[Image, ...]:
    """List our images in the region, whatever their state."""
    ec2 = client or clients.near("ec2")
    pages = ec2.get_paginator("describe_images").paginate(
        Owners=["self"], Filters=[{"Name": "tag:pilotlight:environment", "Values": [environment]}]
    )
    return tuple(_image(image) for page in pages for image in page["Images"])


def _image(image: dict[str, Any]) -> Image:
    disks = [mapping["Ebs"] for mapping in image.get("BlockDeviceMappings", []) if "Ebs" in mapping]
    return Image(
        identifier=image["ImageId"],
        name=image.get("Name", ""),
        state=image["State"],
        created=image["CreationDate"],
        snapshots_complete=all(disk.get("SnapshotId") for disk in disks),
        tags={tag["Key"]: tag["Value"] for tag in image.get("Tags", [])},
        snapshots=tuple(disk["SnapshotId"] for disk in disks if disk.get("SnapshotId")),
        owner=image.get("OwnerId", ""),
        reason=image.get("StateReason", {}).get("Message", ""),
    )


def group(name: str, client: Any = None) -> Group | None:
    """Read an Auto Scaling group, or None if there is none."""
    answer = (client or clients.near("autoscaling")).describe_auto_scaling_groups(AutoScalingGroupNames=[name])
    if not answer["AutoScalingGroups"]:
        return None
    found = answer["AutoScalingGroups"][0]
    template = found.get("LaunchTemplate", {})
    return Group(
        name=name,
        capacity=Capacity(found["MinSize"], found["DesiredCapacity"], found["MaxSize"]),
        launch_template=template.get("LaunchTemplateName", ""),
        version=template.get("Version", ""),
        instances=tuple(
            Instance(instance["InstanceId"], instance["LifecycleState"], instance["HealthStatus"])
            for instance in found.get("Instances", [])
        ),
        target_groups=tuple(found.get("TargetGroupARNs", [])),
        suspended=tuple(process["ProcessName"] for process in found.get("SuspendedProcesses", [])),
        role=found.get("ServiceLinkedRoleARN", ""),
    )


def launch_problems(name: str, client: Any = None) -> tuple[str, ...]:
    """Read why launches failed lately, newest first."""
    answer = (client or clients.near("autoscaling")).describe_scaling_activities(
        AutoScalingGroupName=name, MaxRecords=20
    )
    return tuple(
        activity.get("StatusMessage") or activity.get("Description", "failed")
        for activity in answer["Activities"]
        if activity["StatusCode"] == "Failed"
    )


def pinned_version(template: str, image: str, client: Any = None) -> str:
    """Make, or find, the launch template version that starts an image, and return its number.

    The version inherits everything else from the newest one. Asking again gives the same version: the newest one, where
    that starts this image, and only it is looked at; and the client token follows from the base and the image.
    """
    ec2 = client or clients.near("ec2")
    versions = ec2.describe_launch_template_versions(LaunchTemplateName=template, Versions=["$Latest"])
    latest = versions["LaunchTemplateVersions"][0]
    if latest["LaunchTemplateData"].get("ImageId") == image:
        return str(latest["VersionNumber"])
    base = str(latest["VersionNumber"])
    token = hashlib.sha256(f"{template}:{base}:{image}".encode()).hexdigest()[:64]
    made = ec2.create_launch_template_version(
        LaunchTemplateName=template,
        SourceVersion=base,
        VersionDescription=f"Pilot Light: {image}",
        LaunchTemplateData={"ImageId": image},
        ClientToken=token,
    )
    return str(made["LaunchTemplateVersion"]["VersionNumber"])


def resize(name: str, capacity: Capacity, template: str = "", version: str = "", client: Any = None) -> None:
    """Set a group's sizes and, if given, the launch template version it starts from. Accepted is not done."""
    pin = {"LaunchTemplate": {"LaunchTemplateName": template, "Version": version}} if version else {}
    (client or clients.near("autoscaling")).update_auto_scaling_group(
        AutoScalingGroupName=name,
        MinSize=capacity.minimum,
        DesiredCapacity=capacity.desired,
        MaxSize=capacity.maximum,
        **pin,
    )


def targets(target_groups: tuple[str, ...], client: Any = None) -> tuple[Target, ...]:
    """Read the health of every target of the groups."""
    elb = client or clients.near("elbv2")
    return tuple(
        Target(
            description["Target"]["Id"],
            description["TargetHealth"]["State"],
            description["TargetHealth"].get("Reason", ""),
        )
        for arn in target_groups
        for description in elb.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
    )


def door(load_balancer: str, client: Any = None) -> Door | None:
    """Find where a load balancer listens: HTTPS before HTTP; None if it or its listener is missing."""
    elb = client or clients.near("elbv2")
    try:
        balancer = elb.describe_load_balancers(Names=[load_balancer])["LoadBalancers"][0]
    except (elb.exceptions.LoadBalancerNotFoundException, IndexError):
        return None
    listeners = elb.describe_listeners(LoadBalancerArn=balancer["LoadBalancerArn"])["Listeners"]
    if not listeners:
        return None
    best = max(listeners, key=lambda listener: listener["Protocol"] == "HTTPS")
    return Door(balancer["DNSName"], best["Port"], best["Protocol"], balancer.get("CanonicalHostedZoneId", ""))
