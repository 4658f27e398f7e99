from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from tests.lab.compute import Stage, control
from tests.lab.running import ACCOUNT, PRIMARY, RunningLab

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def stage(lab: RunningLab) -> Iterator[Stage]:
    made = Stage(lab, PRIMARY)
    yield made
    lab.bring_back(PRIMARY)
    made.close()


@pytest.fixture
def served(stage: Stage) -> Stage:
    """A group of two healthy instances behind a load balancer."""
    stage.make_load_balancer()
    stage.make_group(MinSize=2, MaxSize=4)
    stage.lab.wait_until(lambda: len(stage.healthy()) == 2, 60, "two healthy targets")
    return stage


def test_a_group_serves_through_its_load_balancer_once_its_instances_have_booted(stage: Stage) -> None:
    stage.make_load_balancer()
    assert stage.ask()[0] == 503
    # Slow enough that they are seen before they have booted.
    stage.lab.set_scale(10)
    stage.make_group(MinSize=2, MaxSize=4)
    stage.lab.wait_until(lambda: len(stage.group()["Instances"]) == 2)
    assert {each["LifecycleState"] for each in stage.group()["Instances"]} == {"Pending"}
    stage.lab.set_scale(50)
    stage.lab.wait_until(lambda: len(stage.healthy()) == 2, 60, "two healthy targets")
    assert stage.in_service() == stage.healthy()
    assert {stage.ask()[1]["instance"] for _ in range(4)} == stage.healthy()
    assert [each["StatusCode"] for each in stage.activities()] == ["Successful", "Successful"]


def test_instances_are_tagged_and_spread_over_the_zones(served: Stage) -> None:
    found = served.ec2.describe_instances(Filters=[{"Name": "tag:aws:autoscaling:groupName", "Values": [served.name]}])[
        "Reservations"
    ]
    zones = [instance["Placement"]["AvailabilityZone"] for each in found for instance in each["Instances"]]
    assert len(zones) == len(set(zones)) == 2


def test_an_instance_whose_process_is_killed_is_replaced(served: Stage) -> None:
    victim, facts = next(iter(served.instances().items()))
    os.kill(facts["pid"], signal.SIGKILL)
    served.lab.wait_until(lambda: victim not in served.in_service(), 60, "the loss to be seen")
    served.lab.wait_until(lambda: len(served.healthy() - {victim}) == 2, 60, "a replacement")
    causes = " ".join(each["Cause"] for each in served.activities())
    assert "EC2 health check" in causes


def test_a_sick_instance_is_replaced_after_the_grace_period(served: Stage) -> None:
    before = served.in_service()
    served.update(HealthCheckGracePeriod=60)
    control(served.lab, "sick-instances", region=PRIMARY)
    served.lab.wait_until(lambda: not before & served.in_service(), 60, "the sick ones to go")
    assert "ELB system health check" in " ".join(each["Cause"] for each in served.activities())
    control(served.lab, "sick-instances", region=PRIMARY, sick=False)
    served.update(HealthCheckGracePeriod=600)
    served.lab.wait_until(lambda: len(served.healthy()) == 2, 60, "two healthy targets")


def test_one_zone_of_a_group_may_go_and_the_other_serves_on(served: Stage) -> None:
    zones = {each["InstanceId"]: each["AvailabilityZone"] for each in served.group()["Instances"]}
    lost = control(served.lab, "zone-down", region=PRIMARY)
    assert {zones[identity] for identity in lost} == {min(zones.values())}
    assert len(lost) == 1
    served.lab.wait_until(lambda: served.healthy() == zones.keys() - set(lost), 60, "one target to be left")
    assert served.ask()[0] == 200
    served.lab.wait_until(lambda: len(served.healthy()) == 2, 60, "the replacement")


def test_launches_and_terminations_are_announced(stage: Stage) -> None:
    queues, events = stage.lab.client("sqs", PRIMARY), stage.lab.client("events", PRIMARY)
    url = queues.create_queue(QueueName=stage.name)["QueueUrl"]
    pattern = {"source": ["aws.autoscaling"], "detail": {"AutoScalingGroupName": [stage.name]}}
    events.put_rule(Name=stage.name, EventPattern=json.dumps(pattern))
    queue = f"arn:aws:sqs:{PRIMARY}:{ACCOUNT}:{stage.name}"
    events.put_targets(Rule=stage.name, Targets=[{"Id": "queue", "Arn": queue}])

    def take() -> dict[str, Any] | None:
        found = queues.receive_message(QueueUrl=url).get("Messages")
        event: dict[str, Any] | None = json.loads(found[0]["Body"]) if found else None
        return event

    stage.make_group(MinSize=0, MaxSize=1, DesiredCapacity=1)
    launched = stage.lab.wait_until(take)
    assert launched["detail-type"] == "EC2 Instance Launch Successful"
    assert {launched["detail"]["EC2InstanceId"]} == stage.in_service()
    stage.groups.set_desired_capacity(AutoScalingGroupName=stage.name, DesiredCapacity=0)
    assert stage.lab.wait_until(take)["detail-type"] == "EC2 Instance Terminate Successful"


def test_a_suspended_group_leaves_a_dead_instance_alone(served: Stage) -> None:
    served.groups.suspend_processes(AutoScalingGroupName=served.name, ScalingProcesses=["ReplaceUnhealthy"])
    assert [each["ProcessName"] for each in served.group()["SuspendedProcesses"]] == ["ReplaceUnhealthy"]
    victim, facts = next(iter(served.instances().items()))
    os.kill(facts["pid"], signal.SIGKILL)

    def health() -> str:
        return str({each["InstanceId"]: each["HealthStatus"] for each in served.group()["Instances"]}[victim])

    served.lab.wait_until(lambda: health() == "Unhealthy")
    served.lab.clock_passes(60)
    assert health() == "Unhealthy"
    served.groups.resume_processes(AutoScalingGroupName=served.name)
    served.lab.wait_until(lambda: victim not in served.in_service(), 60, "the replacement")


def test_a_launch_that_fails_is_an_activity_with_its_reason(stage: Stage) -> None:
    control(stage.lab, "launch-failures", region=PRIMARY)
    stage.make_group(MinSize=1, MaxSize=1)
    stage.lab.wait_until(stage.activities, 60, "an activity")
    activity = stage.activities()[0]
    assert activity["StatusCode"] == "Failed"
    assert "sufficient t3.micro capacity" in activity["StatusMessage"]
    assert stage.group()["Instances"] == []
    control(stage.lab, "launch-failures", region=PRIMARY, code=None)
    stage.lab.wait_until(stage.in_service, 60, "the launch to be tried again")


def test_an_image_that_is_gone_fails_the_launch(stage: Stage) -> None:
    stage.make_group(MinSize=0, MaxSize=1)
    image = stage.ec2.create_image(InstanceId=_running(stage), Name=stage.name, NoReboot=True)["ImageId"]
    stage.lab.wait_until(lambda: _state(stage, image) == "available")
    stage.ec2.create_launch_template_version(
        LaunchTemplateId=stage.template, SourceVersion="1", LaunchTemplateData={"ImageId": image}
    )
    stage.update(LaunchTemplate={"LaunchTemplateId": stage.template, "Version": "2"})
    stage.ec2.deregister_image(ImageId=image)
    stage.groups.set_desired_capacity(AutoScalingGroupName=stage.name, DesiredCapacity=1)
    stage.lab.wait_until(stage.activities, 60, "an activity")
    assert f"The image id '[{image}]' does not exist" in stage.activities()[0]["StatusMessage"]


@pytest.mark.parametrize(
    "change",
    [
        {"MinSize": 5},
        {"DesiredCapacity": 9},
        {"LaunchTemplate": {"LaunchTemplateName": "no-such-template"}},
        {"LaunchTemplate": {"Version": "99"}},
    ],
)
def test_a_change_that_makes_no_sense_is_refused_whole(stage: Stage, change: dict[str, Any]) -> None:
    stage.make_group(MinSize=0, MaxSize=4)
    if (template := change.get("LaunchTemplate")) and "LaunchTemplateName" not in template:
        change = {"LaunchTemplate": {"LaunchTemplateId": stage.template, **template}}
    before = stage.group()
    with pytest.raises(ClientError, match="ValidationError"):
        stage.update(HealthCheckGracePeriod=7, **change)
    assert stage.group() == before


def test_a_raised_minimum_raises_the_desired_capacity_and_a_lowered_maximum_lowers_it(stage: Stage) -> None:
    stage.make_group(MinSize=0, MaxSize=4)
    stage.update(MinSize=2)
    assert stage.group()["DesiredCapacity"] == 2
    stage.lab.wait_until(lambda: len(stage.in_service()) == 2, 60, "two instances")
    stage.update(MinSize=0, MaxSize=1)
    assert stage.group()["DesiredCapacity"] == 1
    stage.lab.wait_until(lambda: len(stage.group()["Instances"]) == 1, 60, "one instance")


def test_a_lost_region_loses_its_instances_and_listeners_and_starts_them_again_when_it_is_back(served: Stage) -> None:
    before = served.in_service()
    pids = [each["pid"] for each in served.instances().values()]
    served.lab.lose(PRIMARY)
    assert not any(_alive(pid) for pid in pids)
    with pytest.raises(ConnectionRefusedError):
        served.ask()
    served.lab.bring_back(PRIMARY)
    served.lab.wait_until(lambda: len(served.healthy() - before) == 2, 60, "two new instances")
    assert served.ask()[0] == 200


def test_a_group_with_instances_is_deleted_only_by_force(served: Stage) -> None:
    pids = [each["pid"] for each in served.instances().values()]
    with pytest.raises(ClientError, match="ResourceInUse"):
        served.groups.delete_auto_scaling_group(AutoScalingGroupName=served.name)
    served.groups.delete_auto_scaling_group(AutoScalingGroupName=served.name, ForceDelete=True)
    names = {"AutoScalingGroupNames": [served.name]}
    served.lab.wait_until(lambda: not served.groups.describe_auto_scaling_groups(**names)["AutoScalingGroups"])
    assert not any(_alive(pid) for pid in pids)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _running(stage: Stage) -> str:
    started = stage.ec2.run_instances(LaunchTemplate={"LaunchTemplateId": stage.template}, MinCount=1, MaxCount=1)[
        "Instances"
    ][0]
    return str(started["InstanceId"])


def _state(stage: Stage, image: str) -> str:
    return str(stage.ec2.describe_images(ImageIds=[image])["Images"][0]["State"])
