"""Auto Scaling's shapes: requests, template properties and answers, by the names of a group's record."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from lab.emulator.compute.wire import Params, flag, many, number, one, tags

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lab.scaling import Activity, Member, Sizes

# A request that gives no grace period gets none; only the console proposes 300 s. MiniStack says 300 either way.
NO_GRACE: Final = 0


def given(params: Params) -> dict[str, Any]:
    """Return what a request gives."""
    wanted: dict[str, Any] = {}
    for key in ("MinSize", "MaxSize", "DesiredCapacity", "DefaultCooldown", "HealthCheckGracePeriod"):
        if (value := number(params, key)) is not None:
            wanted[key] = value
    for key in ("HealthCheckType", "VPCZoneIdentifier"):
        if text := one(params, key):
            wanted[key] = text
    for key in ("AvailabilityZones", "TerminationPolicies", "TargetGroupARNs"):
        if values := many(params, f"{key}.member"):
            wanted[key] = values
    if one(params, "NewInstancesProtectedFromScaleIn"):
        wanted["NewInstancesProtectedFromScaleIn"] = flag(params, "NewInstancesProtectedFromScaleIn")
    template = {
        key: text
        for key in ("LaunchTemplateId", "LaunchTemplateName", "Version")
        if (text := one(params, f"LaunchTemplate.{key}"))
    }
    if template:
        wanted["LaunchTemplate"] = template
    return wanted


def given_tags(params: Params) -> list[dict[str, Any]]:
    """Return the tags of a request."""
    return [
        {**tag, "PropagateAtLaunch": flag(params, f"Tags.member.{index}.PropagateAtLaunch")}
        for index, tag in enumerate(tags(params, "Tags.member"), start=1)
    ]


def wanted_by(props: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a template's properties give; what they leave out has CloudFormation's defaults."""
    wanted: dict[str, Any] = {
        "MinSize": int(props["MinSize"]),
        "MaxSize": int(props["MaxSize"]),
        "DefaultCooldown": int(props.get("Cooldown", 300)),
        "HealthCheckType": props.get("HealthCheckType", "EC2"),
        "HealthCheckGracePeriod": int(props.get("HealthCheckGracePeriod", NO_GRACE)),
        "VPCZoneIdentifier": ",".join(_listed(props.get("VPCZoneIdentifier"))),
        "TerminationPolicies": props.get("TerminationPolicies", ["Default"]),
        "NewInstancesProtectedFromScaleIn": is_true(props.get("NewInstancesProtectedFromScaleIn")),
        "TargetGroupARNs": _listed(props.get("TargetGroupARNs")),
        "LaunchTemplate": {key: str(value) for key, value in (props.get("LaunchTemplate") or {}).items()},
        "Tags": [
            {
                "Key": str(tag["Key"]),
                "Value": str(tag.get("Value", "")),
                "PropagateAtLaunch": is_true(tag.get("PropagateAtLaunch")),
            }
            for tag in props.get("Tags") or []
        ],
    }
    if zones := props.get("AvailabilityZones"):
        wanted["AvailabilityZones"] = _listed(zones)
    if props.get("DesiredCapacity") not in (None, ""):
        wanted["DesiredCapacity"] = int(props["DesiredCapacity"])
    return wanted


def _listed(value: Any) -> list[str]:
    if isinstance(value, str):
        return [each.strip() for each in value.split(",") if each.strip()]
    return [str(each) for each in value or []]


def is_true(value: Any) -> bool:
    """Say whether a template's value is true: it may be text."""
    return str(value).lower() == "true"


def health_of(member: Member) -> str:
    """Return an instance's health in DescribeAutoScalingGroups' words."""
    return "Healthy" if member.healthy else "Unhealthy"


def member_view(member: Member) -> dict[str, Any]:
    """Return an instance as DescribeAutoScalingGroups shows it."""
    return {
        "InstanceId": member.instance_id,
        "InstanceType": member.instance_type,
        "AvailabilityZone": member.zone,
        "LifecycleState": member.lifecycle,
        "HealthStatus": health_of(member),
        "LaunchTemplate": member.template,
        "ProtectedFromScaleIn": member.protected,
    }


def group_view(
    record: Mapping[str, Any],
    sizes: Sizes,
    members: list[Member],
    target_groups: list[str],
    suspended: Mapping[str, str],
) -> dict[str, Any]:
    """Return a group as DescribeAutoScalingGroups shows it."""
    return {
        "AutoScalingGroupName": record["AutoScalingGroupName"],
        "AutoScalingGroupARN": record["AutoScalingGroupARN"],
        "LaunchTemplate": record["LaunchTemplate"],
        "MinSize": sizes.minimum,
        "MaxSize": sizes.maximum,
        "DesiredCapacity": sizes.desired,
        "DefaultCooldown": record["DefaultCooldown"],
        "AvailabilityZones": record["AvailabilityZones"],
        "LoadBalancerNames": [],
        "TargetGroupARNs": target_groups,
        "HealthCheckType": record["HealthCheckType"],
        "HealthCheckGracePeriod": record["HealthCheckGracePeriod"],
        "Instances": [member_view(member) for member in members],
        "CreatedTime": record["CreatedTime"],
        "SuspendedProcesses": [
            {"ProcessName": process, "SuspensionReason": reason} for process, reason in suspended.items()
        ],
        "VPCZoneIdentifier": record["VPCZoneIdentifier"],
        "EnabledMetrics": [],
        "Status": record["Status"] or None,
        "Tags": record["Tags"],
        "TerminationPolicies": record["TerminationPolicies"],
        "NewInstancesProtectedFromScaleIn": record["NewInstancesProtectedFromScaleIn"],
    }


def activity_view(record: Mapping[str, Any], activity: Activity) -> dict[str, Any]:
    """Return a line of DescribeScalingActivities."""
    return {
        "ActivityId": activity.activity_id,
        "AutoScalingGroupName": record["AutoScalingGroupName"],
        "AutoScalingGroupARN": record["AutoScalingGroupARN"],
        "Description": activity.description,
        "Cause": activity.cause,
        "StartTime": activity.start,
        "EndTime": activity.end or None,
        "StatusCode": activity.status,
        "StatusMessage": activity.message or None,
        "Progress": activity.progress,
    }
