"""Auto Scaling groups that really launch, watch and replace instances.

MiniStack keeps a group's record and invents its instances. Here the record stays MiniStack's, so that tags, policies
and hooks go on working, and everything that concerns instances is ours: decided in ``lab.scaling``, done here.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from ministack.services import autoscaling, cloudformation, ec2
from ministack.services.cloudformation import provisioners

from lab.durations import duration
from lab.emulator import here
from lab.emulator.compute.shapes import (
    NO_GRACE,
    activity_view,
    given,
    given_tags,
    group_view,
    health_of,
    is_true,
    member_view,
    wanted_by,
)
from lab.emulator.compute.wire import AwsError, Params, Reply, filters, flag, many, now, number, one, render
from lab.emulator.events import send
from lab.scaling import Activity, Backoff, InvalidSizeError, Member, Sizes, emptiest, missing, surplus

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lab.emulator.compute.instances import Fleet
    from lab.emulator.compute.targets import Targets
    from lab.emulator.compute.templates import Chosen, Templates
    from lab.world import Lab

_TYPE: Final = "AWS::AutoScaling::AutoScalingGroup"
_PROCESSES: Final = (
    "Launch",
    "Terminate",
    "HealthCheck",
    "ReplaceUnhealthy",
    "AZRebalance",
    "AlarmNotification",
    "ScheduledActions",
    "AddToLoadBalancer",
    "InstanceRefresh",
)
_KEPT_ACTIVITIES: Final = 100


@dataclass(eq=False)
class Group:
    """A group: MiniStack's record of it, and what it does."""

    name: str
    region: str
    record: dict[str, Any]
    sizes: Sizes
    target_groups: list[str] = field(default_factory=list)
    members: list[Member] = field(default_factory=list)
    activities: list[Activity] = field(default_factory=list)
    suspended: dict[str, str] = field(default_factory=dict)
    backoff: Backoff = field(default_factory=Backoff)
    acts_at: float = 0.0
    deleting: bool = False

    def may(self, process: str) -> bool:
        """Say whether a process is not suspended."""
        return process not in self.suspended

    def begin(self, description: str, cause: str) -> Activity:
        """Open a line of the group's activities."""
        activity = Activity(str(uuid.uuid4()), description, f"At {now()} {cause}", now())
        self.activities.insert(0, activity)
        del self.activities[_KEPT_ACTIVITIES:]
        return activity


class Groups:
    """The groups of every region.

    Parameters
    ----------
    lab
        Its clock.
    fleet
        Launches and ends instances.
    targets
        Where a group's instances are registered.
    templates
        What instances are launched from.
    """

    def __init__(self, lab: Lab, fleet: Fleet, targets: Targets, templates: Templates) -> None:
        self._lab = lab
        self._fleet = fleet
        self._targets = targets
        self._templates = templates
        self._groups: dict[tuple[str, str], Group] = {}

    def install(self) -> None:
        """Take over CloudFormation's groups."""
        provisioners._RESOURCE_HANDLERS[_TYPE].update(
            create=self._provision, update=self._reprovision, update_with_logical_id=True, delete=self._unprovision
        )

    def handlers(self) -> dict[str, Callable[[Params], Reply]]:
        """Return what answers which action of Auto Scaling."""
        return {
            "CreateAutoScalingGroup": self.CreateAutoScalingGroup,
            "UpdateAutoScalingGroup": self.UpdateAutoScalingGroup,
            "DeleteAutoScalingGroup": self.DeleteAutoScalingGroup,
            "SetDesiredCapacity": self.SetDesiredCapacity,
            "DescribeAutoScalingGroups": self.DescribeAutoScalingGroups,
            "DescribeAutoScalingInstances": self.DescribeAutoScalingInstances,
            "DescribeScalingActivities": self.DescribeScalingActivities,
            "SuspendProcesses": self.SuspendProcesses,
            "ResumeProcesses": self.ResumeProcesses,
            "AttachLoadBalancerTargetGroups": self.AttachLoadBalancerTargetGroups,
            "DetachLoadBalancerTargetGroups": self.DetachLoadBalancerTargetGroups,
            "DescribeLoadBalancerTargetGroups": self.DescribeLoadBalancerTargetGroups,
            "SetInstanceHealth": self.SetInstanceHealth,
            "TerminateInstanceInAutoScalingGroup": self.TerminateInstanceInAutoScalingGroup,
        }

    # What groups do

    def tick(self, region: str) -> None:
        """Let the groups of a region look at their instances, and act when it is time.

        Parameters
        ----------
        region
            The region that the caller acts in.
        """
        for group in [group for (where, _), group in self._groups.items() if where == region]:
            for member in list(group.members):
                self._advance(group, member)
            if group.deleting and not group.members:
                self._forget(group)
            elif self._lab.clock.aws_now() >= group.acts_at:
                group.acts_at = self._lab.clock.aws_now() + duration("asg-tick")
                self._judge(group)
                self._scale(group)

    def _advance(self, group: Group, member: Member) -> None:
        """Move one instance along its life cycle as far as it has got."""
        instance = self._fleet.get(member.instance_id)
        state = instance.state if instance else "terminated"
        if member.lifecycle == "Pending" and state == "running":
            if group.may("AddToLoadBalancer"):
                for target_group in group.target_groups:
                    self._targets.register(target_group, member.instance_id)
            member.lifecycle = "InService"
            member.in_service_since = self._lab.clock.aws_now()
            member.activity.finish("Successful", now())
            self._announce(group, "EC2 Instance Launch Successful", member.activity, member)
        elif member.lifecycle == "Terminating":
            if instance and state in ("pending", "running", "stopped"):
                if not any(self._targets.health(each, member.instance_id) for each in group.target_groups):
                    self._fleet.terminate(instance)
            elif state == "terminated":
                group.members.remove(member)
                member.activity.finish("Successful", now())
                self._announce(group, "EC2 Instance Terminate Successful", member.activity, member)

    def _announce(self, group: Group, kind: str, activity: Activity, member: Member | None = None) -> None:
        """Tell EventBridge, as Auto Scaling does for every group.

        https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-event-reference.html
        """
        arn, instance = group.record["AutoScalingGroupARN"], member.instance_id if member else ""
        detail = {
            "StatusCode": "InProgress" if activity.status == "Successful" else activity.status,
            "AutoScalingGroupName": group.name,
            "ActivityId": activity.activity_id,
            "RequestId": activity.activity_id,
            "EC2InstanceId": instance,
            "Details": {"Availability Zone": member.zone if member else ""},
            "Description": activity.description,
            "Cause": activity.cause,
            "StatusMessage": activity.message,
            "StartTime": activity.start,
            "EndTime": activity.end,
            "Origin": "EC2",
            "Destination": "AutoScalingGroup",
        }
        resources = [arn, f"arn:aws:ec2:{group.region}:{self._lab.account}:instance/{instance}"] if instance else [arn]
        send(self._lab, group.region, "aws.autoscaling", kind, detail, resources)

    def _judge(self, group: Group) -> None:
        """Mark unhealthy instances and take them out."""
        for member in group.members:
            if member.lifecycle == "Terminating":
                continue
            if group.may("HealthCheck") and member.healthy and (fault := self._fault(group, member)):
                member.healthy = False
                self._lab.log(f"{group.name} in {group.region}: {member.instance_id} is unhealthy, {fault}")
            if not member.healthy and group.may("ReplaceUnhealthy") and group.may("Terminate"):
                cause = self._fault(group, member) or "a user health-check"
                self._take_out(group, member, f"an instance was taken out of service in response to {cause}.")

    def _fault(self, group: Group, member: Member) -> str | None:
        instance = self._fleet.get(member.instance_id)
        # EC2's word counts at once, the load balancer's only after the grace period.
        if instance is None or instance.state not in ("pending", "running"):
            return "an EC2 health check indicating it has been terminated or stopped"
        if group.record["HealthCheckType"] != "ELB" or member.lifecycle != "InService":
            return None
        age = self._lab.clock.aws_now() - member.in_service_since
        if age < group.record["HealthCheckGracePeriod"]:
            return None
        healths = [self._targets.health(each, member.instance_id) for each in group.target_groups]
        if any(health and health.state == "unhealthy" for health in healths):
            return "an ELB system health check failure"
        return None

    def _scale(self, group: Group) -> None:
        if group.may("Terminate"):
            for member in surplus(group.members, group.sizes.desired):
                counted = len(group.members)
                self._take_out(
                    group,
                    member,
                    "an instance was taken out of service in response to a difference between desired and actual"
                    f" capacity, shrinking the capacity from {counted} to {group.sizes.desired}.",
                )
        if group.may("Launch") and not group.deleting and self._lab.clock.aws_now() >= group.backoff.until:
            for _ in range(missing(group.members, group.sizes.desired)):
                if not self._launch(group):
                    break

    def _launch(self, group: Group) -> bool:
        activity = group.begin(
            "Launching a new EC2 instance",
            "an instance was started in response to a difference between desired and actual capacity,"
            f" increasing the capacity to {group.sizes.desired}.",
        )
        try:
            chosen = self._chosen(group.record["LaunchTemplate"])
            subnet, zone = emptiest(_places(group.record), group.members)
            instance = self._fleet.launch(chosen.data, subnet=subnet, zone=zone, tags=_inherited_tags(group, chosen))
        except AwsError as error:
            group.backoff.failed(self._lab.clock.aws_now())
            activity.finish("Failed", now(), f"{error.message} Launching EC2 instance failed.")
            activity.description += f".  Status Reason: {activity.message}"
            self._announce(group, "EC2 Instance Launch Unsuccessful", activity)
            self._lab.log(f"{group.name} in {group.region}: {activity.description}")
            return False
        group.backoff.succeeded()
        activity.description += f": {instance.instance_id}"
        activity.progress = 30
        group.members.append(
            Member(
                instance_id=instance.instance_id,
                zone=zone,
                template={
                    "LaunchTemplateId": chosen.template_id,
                    "LaunchTemplateName": chosen.name,
                    "Version": str(chosen.version),
                },
                instance_type=instance.record["InstanceType"],
                activity=activity,
                protected=bool(group.record["NewInstancesProtectedFromScaleIn"]),
            )
        )
        return True

    def _take_out(self, group: Group, member: Member, cause: str) -> None:
        if member.activity.status == "InProgress":
            member.activity.finish("Cancelled", now(), "The instance was taken out before it was in service.")
        member.activity = group.begin(f"Terminating EC2 instance: {member.instance_id}", cause)
        draining = [each for each in group.target_groups if self._targets.health(each, member.instance_id)]
        if draining:
            member.activity.status = "WaitingForELBConnectionDraining"
        member.lifecycle = "Terminating"
        for target_group in draining:
            self._targets.deregister(target_group, member.instance_id)

    def _forget(self, group: Group) -> None:
        self._groups.pop((group.region, group.name), None)
        autoscaling._delete_asg({"AutoScalingGroupName": group.name})

    # Changing a group, for the API and for CloudFormation alike

    def _make(self, name: str, wanted: Mapping[str, Any]) -> Group:
        if (here(), name) in self._groups:
            raise AwsError(
                "AlreadyExists",
                f"AutoScalingGroup by this name already exists - A group with the name {name} already exists",
            )
        if wanted.get("MinSize") is None or wanted.get("MaxSize") is None:
            raise AwsError("ValidationError", "MinSize and MaxSize are required")
        if not wanted.get("LaunchTemplate"):
            raise AwsError(
                "ValidationError", "The lab launches from launch templates only: give the group a LaunchTemplate."
            )
        sizes = _sized(
            lambda: Sizes(wanted["MinSize"], wanted["MaxSize"], wanted["MinSize"]).update(
                desired=wanted.get("DesiredCapacity")
            )
        )
        record = {
            "AutoScalingGroupName": name,
            "AutoScalingGroupARN": autoscaling._asg_arn(name),
            "LaunchConfigurationName": "",
            "LaunchTemplate": {},
            "DefaultCooldown": 300,
            "AvailabilityZones": [f"{here()}a"],
            "HealthCheckType": "EC2",
            "HealthCheckGracePeriod": NO_GRACE,
            "Instances": [],
            "CreatedTime": now(),
            "VPCZoneIdentifier": "",
            "TerminationPolicies": ["Default"],
            "NewInstancesProtectedFromScaleIn": False,
            "Tags": [],
            "Status": "",
        }
        group = Group(name, here(), record, sizes)
        self._apply(group, wanted)
        autoscaling._asgs[name] = record
        autoscaling._tags[name] = record["Tags"] = [
            {**tag, "ResourceId": name, "ResourceType": "auto-scaling-group"} for tag in wanted.get("Tags") or []
        ]
        self._groups[group.region, name] = group
        return group

    def _apply(self, group: Group, wanted: Mapping[str, Any]) -> None:
        """Set what ``wanted`` holds and leave the rest; nothing is changed when something in it is refused."""
        sizes = _sized(
            lambda: group.sizes.update(
                minimum=wanted.get("MinSize"), maximum=wanted.get("MaxSize"), desired=wanted.get("DesiredCapacity")
            )
        )
        changes = {key: value for key, value in wanted.items() if key in group.record and key != "Tags"}
        if template := wanted.get("LaunchTemplate"):
            changes["LaunchTemplate"] = self._valid_template(template)
        for target_group in wanted.get("TargetGroupARNs") or []:
            if not self._targets.exists(target_group):
                raise AwsError("ValidationError", f"Target group {target_group} not found")
        if changes.get("VPCZoneIdentifier"):
            changes["AvailabilityZones"] = sorted({zone for _, zone in _places(changes)})
        group.record.update(changes)
        group.sizes = sizes
        group.record.update(MinSize=sizes.minimum, MaxSize=sizes.maximum, DesiredCapacity=sizes.desired)
        if "TargetGroupARNs" in wanted:
            self._retarget(group, wanted["TargetGroupARNs"])
        # A change is a reason to try at once what failed before.
        group.backoff.succeeded()
        group.acts_at = self._lab.clock.aws_now() + duration("asg-tick") / 2

    def _retarget(self, group: Group, target_groups: list[str]) -> None:
        before, group.target_groups = group.target_groups, list(target_groups)
        in_service = [member.instance_id for member in group.members if member.lifecycle == "InService"]
        for instance_id in in_service:
            for left in set(before) - set(target_groups):
                self._targets.deregister(left, instance_id)
            for joined in set(target_groups) - set(before):
                self._targets.register(joined, instance_id)

    def _chosen(self, template: Mapping[str, str]) -> Chosen:
        return self._templates.choose(
            template.get("LaunchTemplateId", ""), template.get("LaunchTemplateName", ""), template.get("Version", "")
        )

    def _valid_template(self, template: Mapping[str, str]) -> dict[str, str]:
        """Return the template as the group keeps it. Auto Scaling tries a launch on paper before it takes one."""
        try:
            chosen = self._chosen(template)
            self._fleet.check(chosen.data)
        except AwsError as error:
            raise AwsError(
                "ValidationError", f"You must use a valid fully-formed launch template. {error.message}"
            ) from error
        return {
            "LaunchTemplateId": chosen.template_id,
            "LaunchTemplateName": chosen.name,
            "Version": str(template.get("Version") or "$Default"),
        }

    def _get(self, name: str) -> Group:
        if group := self._groups.get((here(), name)):
            return group
        raise AwsError("ValidationError", f"AutoScalingGroup name not found - AutoScalingGroup '{name}' not found")

    def _of_instance(self, instance_id: str) -> tuple[Group, Member]:
        for (region, _), group in self._groups.items():
            for member in group.members:
                if region == here() and member.instance_id == instance_id:
                    return group, member
        raise AwsError(
            "ValidationError", f"Instance Id not found - No managed instance found for instance ID: {instance_id}"
        )

    # CloudFormation

    def _provision(self, logical_id: str, props: dict[str, Any], stack: str) -> tuple[str, dict[str, str]]:
        name = props.get("AutoScalingGroupName") or provisioners._physical_name(stack, logical_id, max_len=255)
        try:
            group = self._make(name, wanted_by(props))
        except AwsError as error:
            raise ValueError(f"{error.code}: {error.message}") from error
        return name, _attributes(group)

    def _reprovision(
        self, physical_id: str, old: dict[str, Any], new: dict[str, Any], stack: str, logical_id: str
    ) -> tuple[str, dict[str, str]]:
        name = new.get("AutoScalingGroupName") or provisioners._physical_name(stack, logical_id, max_len=255)
        if name != physical_id or (here(), name) not in self._groups:
            made = self._provision(logical_id, new, stack)
            provisioners._delete_predecessor(self._unprovision, physical_id, old)
            return made
        group = self._groups[here(), name]
        wanted, before = wanted_by(new), wanted_by(old)
        if _ignores_unmodified_sizes(stack, logical_id):
            # What an operator or a failover has set since the last deploy is not the deploy's to undo.
            for size in ("MinSize", "MaxSize", "DesiredCapacity"):
                if wanted.get(size) == before.get(size):
                    wanted.pop(size, None)
        try:
            self._apply(group, wanted)
        except AwsError as error:
            raise ValueError(f"{error.code}: {error.message}") from error
        declared = {tag["Key"] for tag in before["Tags"]} | {tag["Key"] for tag in wanted["Tags"]}
        group.record["Tags"] = [tag for tag in group.record["Tags"] if tag["Key"] not in declared] + [
            {**tag, "ResourceId": name, "ResourceType": "auto-scaling-group"} for tag in wanted["Tags"]
        ]
        autoscaling._tags[name] = group.record["Tags"]
        return physical_id, _attributes(group)

    def _unprovision(self, physical_id: str, _props: dict[str, Any]) -> None:
        if group := self._groups.get((here(), physical_id)):
            self._end_all(group)
            self._forget(group)

    def _end_all(self, group: Group) -> None:
        for member in group.members:
            for target_group in group.target_groups:
                self._targets.deregister(target_group, member.instance_id)
            if instance := self._fleet.get(member.instance_id):
                self._fleet.terminate(instance)

    # Actions

    def CreateAutoScalingGroup(self, params: Params) -> Reply:
        """Make a group."""
        self._make(one(params, "AutoScalingGroupName"), {**given(params), "Tags": given_tags(params)})
        return _reply("CreateAutoScalingGroup")

    def UpdateAutoScalingGroup(self, params: Params) -> Reply:
        """Change what is given; that it is accepted says nothing of capacity."""
        self._apply(self._get(one(params, "AutoScalingGroupName")), given(params))
        return _reply("UpdateAutoScalingGroup")

    def SetDesiredCapacity(self, params: Params) -> Reply:
        """Change the desired capacity within the bounds."""
        group = self._get(one(params, "AutoScalingGroupName"))
        desired = number(params, "DesiredCapacity")
        if desired is None:
            raise AwsError("ValidationError", "DesiredCapacity is required")
        sizes = _sized(lambda: group.sizes.set_desired(desired))
        self._apply(group, {"DesiredCapacity": sizes.desired})
        return _reply("SetDesiredCapacity")

    def DeleteAutoScalingGroup(self, params: Params) -> Reply:
        """Delete a group, with its instances if that is forced."""
        group = self._get(one(params, "AutoScalingGroupName"))
        if group.members and not flag(params, "ForceDelete"):
            raise AwsError(
                "ResourceInUse",
                "You cannot delete an AutoScalingGroup while there are instances or pending Spot instance request(s)"
                " still in the group.",
            )
        group.sizes = Sizes(0, 0, 0)
        group.deleting = True
        group.record["Status"] = "Delete in progress"
        for member in group.members:
            if member.lifecycle != "Terminating":
                self._take_out(group, member, "the group was deleted.")
        return _reply("DeleteAutoScalingGroup")

    def DescribeAutoScalingGroups(self, params: Params) -> Reply:
        """List groups and their instances."""
        names = many(params, "AutoScalingGroupNames.member")
        conditions = filters(params, prefix="Filters.member", values="Values.member")
        found = [
            group_view(group.record, group.sizes, group.members, group.target_groups, group.suspended)
            for (region, name), group in sorted(self._groups.items())
            if region == here() and (not names or name in names) and _tagged(group, conditions)
        ]
        return _reply("DescribeAutoScalingGroups", {"AutoScalingGroups": found})

    def DescribeAutoScalingInstances(self, params: Params) -> Reply:
        """List the instances of all groups."""
        wanted = many(params, "InstanceIds.member")
        found = [
            {"AutoScalingGroupName": group.name, **member_view(member), "HealthStatus": health_of(member).upper()}
            for (region, _), group in sorted(self._groups.items())
            for member in group.members
            if region == here() and (not wanted or member.instance_id in wanted)
        ]
        return _reply("DescribeAutoScalingInstances", {"AutoScalingInstances": found})

    def DescribeScalingActivities(self, params: Params) -> Reply:
        """List what groups have done, the newest first."""
        name = one(params, "AutoScalingGroupName")
        wanted = many(params, "ActivityIds.member")
        found = [
            activity_view(group.record, activity)
            for (region, _), group in self._groups.items()
            for activity in group.activities
            if region == here() and (not name or group.name == name) and (not wanted or activity.activity_id in wanted)
        ]
        if limit := number(params, "MaxRecords"):
            found = found[:limit]
        return _reply("DescribeScalingActivities", {"Activities": found})

    def SuspendProcesses(self, params: Params) -> Reply:
        """Suspend processes of a group: all, or those that are named."""
        group = self._get(one(params, "AutoScalingGroupName"))
        for process in many(params, "ScalingProcesses.member") or _PROCESSES:
            group.suspended[process] = f"User suspended at {now()}"
        return _reply("SuspendProcesses")

    def ResumeProcesses(self, params: Params) -> Reply:
        """Resume processes of a group: all, or those that are named."""
        group = self._get(one(params, "AutoScalingGroupName"))
        for process in many(params, "ScalingProcesses.member") or _PROCESSES:
            group.suspended.pop(process, None)
        return _reply("ResumeProcesses")

    def AttachLoadBalancerTargetGroups(self, params: Params) -> Reply:
        """Register the group's instances in more target groups."""
        group = self._get(one(params, "AutoScalingGroupName"))
        joined = many(params, "TargetGroupARNs.member")
        self._apply(group, {"TargetGroupARNs": list(dict.fromkeys([*group.target_groups, *joined]))})
        return _reply("AttachLoadBalancerTargetGroups")

    def DetachLoadBalancerTargetGroups(self, params: Params) -> Reply:
        """Take the group's instances out of target groups."""
        group = self._get(one(params, "AutoScalingGroupName"))
        left = many(params, "TargetGroupARNs.member")
        self._apply(group, {"TargetGroupARNs": [each for each in group.target_groups if each not in left]})
        return _reply("DetachLoadBalancerTargetGroups")

    def DescribeLoadBalancerTargetGroups(self, params: Params) -> Reply:
        """List the group's target groups."""
        group = self._get(one(params, "AutoScalingGroupName"))
        found = [{"LoadBalancerTargetGroupARN": each, "State": "InService"} for each in group.target_groups]
        return _reply("DescribeLoadBalancerTargetGroups", {"LoadBalancerTargetGroups": found})

    def SetInstanceHealth(self, params: Params) -> Reply:
        """Set an instance's health by hand."""
        _, member = self._of_instance(one(params, "InstanceId"))
        member.healthy = one(params, "HealthStatus") == "Healthy"
        return _reply("SetInstanceHealth")

    def TerminateInstanceInAutoScalingGroup(self, params: Params) -> Reply:
        """End an instance, and lower the desired capacity if that is asked for."""
        group, member = self._of_instance(one(params, "InstanceId"))
        if flag(params, "ShouldDecrementDesiredCapacity"):
            self._apply(group, {"DesiredCapacity": group.sizes.desired - 1})
        if member.lifecycle != "Terminating":
            self._take_out(group, member, "instance was taken out of service in response to a user request.")
        return _reply("TerminateInstanceInAutoScalingGroup", {"Activity": activity_view(group.record, member.activity)})


def _places(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    subnets = [each.strip() for each in record["VPCZoneIdentifier"].split(",") if each.strip()]
    if not subnets:
        return [("", zone) for zone in record["AvailabilityZones"]]
    return [(subnet, ec2._subnets.get(subnet, {}).get("AvailabilityZone", f"{here()}a")) for subnet in subnets]


def _sized(change: Callable[[], Sizes]) -> Sizes:
    try:
        return change()
    except InvalidSizeError as error:
        raise AwsError("ValidationError", str(error)) from error


def _ignores_unmodified_sizes(stack: str, logical_id: str) -> bool:
    # The update handlers are not told the resource's UpdatePolicy: it is in the stack's template.
    template = (cloudformation._stacks.get(stack) or {}).get("_template") or {}
    resource = (template.get("Resources") or {}).get(logical_id) or {}
    policy = (resource.get("UpdatePolicy") or {}).get("AutoScalingScheduledAction") or {}
    return is_true(policy.get("IgnoreUnmodifiedGroupSizeProperties"))


def _attributes(group: Group) -> dict[str, str]:
    return {"AutoScalingGroupARN": group.record["AutoScalingGroupARN"], "Arn": group.record["AutoScalingGroupARN"]}


def _inherited_tags(group: Group, chosen: Chosen) -> list[dict[str, str]]:
    ours = [{"Key": t["Key"], "Value": t["Value"]} for t in group.record["Tags"] if t.get("PropagateAtLaunch")]
    return [
        *ours,
        {"Key": "aws:autoscaling:groupName", "Value": group.name},
        {"Key": "aws:ec2launchtemplate:id", "Value": chosen.template_id},
        {"Key": "aws:ec2launchtemplate:version", "Value": str(chosen.version)},
    ]


def _tagged(group: Group, conditions: Mapping[str, list[str]]) -> bool:
    has = {tag["Key"]: tag["Value"] for tag in group.record["Tags"]}
    for name, values in conditions.items():
        if name == "tag-key":
            held = any(value in has for value in values)
        elif name == "tag-value":
            held = any(value in values for value in has.values())
        elif name.startswith("tag:"):
            held = has.get(name[4:]) in values
        else:
            raise AwsError("ValidationError", f"Filter type {name} is not valid")
        if not held:
            return False
    return True


def _reply(action: str, content: Mapping[str, Any] | None = None) -> Reply:
    result = f"<{action}Result>{render(content, 'member')}</{action}Result>" if content else ""
    reply: Reply = autoscaling._xml(200, f"{action}Response", result)
    return reply
