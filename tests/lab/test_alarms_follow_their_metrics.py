"""Alarms follow their metrics by dimension, on the lab's clock, tell EventBridge, and rest in a lost region."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.lab.running import ACCOUNT, DR

if TYPE_CHECKING:
    from tests.lab.running import RunningLab

NAMESPACE = "PilotLight"


class Watched:
    """A metric with a dimension of its own and what is asked of it."""

    def __init__(self, lab: RunningLab) -> None:
        self.lab = lab
        self.name = f"watched-{uuid.uuid4().hex[:8]}"
        self.cloudwatch = lab.client("cloudwatch", DR)

    def put(self, value: float, subject: str = "") -> None:
        dimension = {"Name": "Subject", "Value": subject or self.name}
        datum = {"MetricName": "Reachable", "Dimensions": [dimension], "Value": value}
        self.cloudwatch.put_metric_data(Namespace=NAMESPACE, MetricData=[datum])

    def alarm(self, **more: Any) -> None:
        self.cloudwatch.put_metric_alarm(
            **{
                "AlarmName": self.name,
                "Namespace": NAMESPACE,
                "MetricName": "Reachable",
                "Dimensions": [{"Name": "Subject", "Value": self.name}],
                "Statistic": "Minimum",
                "Period": 60,
                "EvaluationPeriods": 1,
                "Threshold": 1,
                "ComparisonOperator": "LessThanThreshold",
                **more,
            }
        )

    def state(self, name: str = "") -> str:
        found = self.cloudwatch.describe_alarms(
            AlarmNames=[name or self.name], AlarmTypes=["MetricAlarm", "CompositeAlarm"]
        )
        return str((found["MetricAlarms"] + found["CompositeAlarms"])[0]["StateValue"])

    def becomes(self, state: str, name: str = "") -> None:
        self.lab.wait_until(lambda: self.state(name) == state, what=f"{name or self.name} in {state}")

    def was(self, state: str) -> bool:
        told = self.cloudwatch.describe_alarm_history(AlarmName=self.name, HistoryItemType="StateUpdate")
        return any(f"to {state}" in item["HistorySummary"] for item in told["AlarmHistoryItems"])

    def has_been(self, state: str) -> None:
        """Wait for a state that may be over before anybody looks."""
        self.lab.wait_until(lambda: self.was(state), what=f"{self.name} in {state} or past it")


@pytest.fixture
def watched(lab: RunningLab) -> Watched:
    return Watched(lab)


def test_an_alarm_follows_the_data_of_its_own_dimension(watched: Watched) -> None:
    watched.alarm()
    watched.put(0, subject="another")
    watched.put(1)
    watched.has_been("OK")
    assert not watched.was("ALARM")
    watched.put(0)
    watched.has_been("ALARM")
    watched.becomes("INSUFFICIENT_DATA")  # nothing more comes


def test_missing_data_breaches_where_the_alarm_says_so(watched: Watched) -> None:
    watched.alarm(TreatMissingData="breaching")
    watched.becomes("ALARM")


def test_a_state_set_by_hand_lasts_until_the_next_evaluation(watched: Watched) -> None:
    watched.alarm(TreatMissingData="notBreaching")
    watched.becomes("OK")
    watched.cloudwatch.set_alarm_state(AlarmName=watched.name, StateValue="ALARM", StateReason="by hand")
    watched.becomes("OK")
    assert watched.was("ALARM")


def test_a_composite_alarm_of_a_stack_needs_both_and_says_so(watched: Watched) -> None:
    """From data to the event that a rule would start a failover by, and the message to a topic."""
    lab, name = watched.lab, watched.name
    one, other, both = f"{name}-one", f"{name}-other", f"{name}-both"
    queues, events = lab.client("sqs", DR), lab.client("events", DR)
    urls = {kind: queues.create_queue(QueueName=f"{name}-{kind}")["QueueUrl"] for kind in ("events", "messages")}
    events.put_rule(
        Name=name, EventPattern=json.dumps({"detail": {"alarmName": [both], "state": {"value": ["ALARM"]}}})
    )
    events.put_targets(Rule=name, Targets=[{"Id": "queue", "Arn": f"arn:aws:sqs:{DR}:{ACCOUNT}:{name}-events"}])
    anyone = {"Effect": "Allow", "Principal": "*", "Action": "sqs:SendMessage", "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [anyone]})
    queues.set_queue_attributes(QueueUrl=urls["messages"], Attributes={"Policy": policy})
    topics = lab.client("sns", DR)
    topic = topics.create_topic(Name=name)["TopicArn"]
    topics.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=f"arn:aws:sqs:{DR}:{ACCOUNT}:{name}-messages")
    common = {
        "Namespace": NAMESPACE,
        "Statistic": "Minimum",
        "Period": 60,
        "EvaluationPeriods": 1,
        "Threshold": 1,
        "ComparisonOperator": "LessThanThreshold",
        "TreatMissingData": "ignore",
        "MetricName": "Reachable",
    }

    def template(rule: str) -> str:
        def alarm(alarm_name: str) -> dict[str, Any]:
            dimensions = [{"Name": "Subject", "Value": alarm_name}]
            properties = {**common, "AlarmName": alarm_name, "Dimensions": dimensions}
            return {"Type": "AWS::CloudWatch::Alarm", "Properties": properties}

        composite = {"AlarmName": both, "AlarmRule": rule, "AlarmActions": [topic], "AlarmDescription": "lost"}
        resources = {
            "One": alarm(one),
            "Other": alarm(other),
            "Both": {
                "Type": "AWS::CloudWatch::CompositeAlarm",
                "Properties": composite,
                "DependsOn": ["One", "Other"],
            },
        }
        outputs = {"Name": {"Value": {"Ref": "Both"}}, "Arn": {"Value": {"Fn::GetAtt": ["Both", "Arn"]}}}
        return json.dumps({"Resources": resources, "Outputs": outputs})

    stacks = lab.client("cloudformation", DR)
    stacks.create_stack(StackName=name, TemplateBody=template(f'ALARM("{one}")'))
    stacks.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
    (made,) = stacks.describe_stacks(StackName=name)["Stacks"]
    told = {output["OutputKey"]: output["OutputValue"] for output in made["Outputs"]}
    assert told == {"Name": both, "Arn": f"arn:aws:cloudwatch:{DR}:{ACCOUNT}:alarm:{both}"}
    rule = f'ALARM("{one}") AND ALARM("{other}")'
    stacks.update_stack(StackName=name, TemplateBody=template(rule))
    stacks.get_waiter("stack_update_complete").wait(StackName=name, WaiterConfig={"Delay": 1})

    watched.put(0, subject=one)
    watched.becomes("ALARM", one)
    assert watched.state(both) == "OK"
    watched.put(0, subject=other)
    watched.becomes("ALARM", both)

    def take(url: str) -> Any:
        found = queues.receive_message(QueueUrl=url).get("Messages")
        return json.loads(found[0]["Body"]) if found else None

    event = lab.wait_until(lambda: take(urls["events"]))
    detail = event["detail"]
    assert (event["source"], event["detail-type"]) == ("aws.cloudwatch", "CloudWatch Alarm State Change")
    assert event["resources"] == [told["Arn"]]
    assert detail["previousState"]["value"] == "OK"
    assert detail["configuration"] == {"alarmRule": rule, "description": "lost"}
    assert json.loads(detail["state"]["reasonData"])["triggeringAlarms"]
    message = json.loads(lab.wait_until(lambda: take(urls["messages"]))["Message"])
    assert (message["AlarmName"], message["NewStateValue"]) == (both, "ALARM")

    stacks.delete_stack(StackName=name)
    stacks.get_waiter("stack_delete_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
    left = watched.cloudwatch.describe_alarms(
        AlarmNames=[both, one, other], AlarmTypes=["MetricAlarm", "CompositeAlarm"]
    )
    assert (left["MetricAlarms"], left["CompositeAlarms"]) == ([], [])


def test_the_event_of_a_metric_alarm_names_its_metric_and_its_data(watched: Watched) -> None:
    lab, name = watched.lab, watched.name
    queues, events = lab.client("sqs", DR), lab.client("events", DR)
    url = queues.create_queue(QueueName=name)["QueueUrl"]
    events.put_rule(
        Name=name, EventPattern=json.dumps({"detail": {"alarmName": [name], "state": {"value": ["ALARM"]}}})
    )
    events.put_targets(Rule=name, Targets=[{"Id": "queue", "Arn": f"arn:aws:sqs:{DR}:{ACCOUNT}:{name}"}])
    watched.alarm(TreatMissingData="notBreaching")
    watched.becomes("OK")
    watched.put(0.5)

    found = lab.wait_until(lambda: queues.receive_message(QueueUrl=url).get("Messages"))
    detail = json.loads(found[0]["Body"])["detail"]
    (metric,) = detail["configuration"]["metrics"]
    assert metric["metricStat"]["metric"] == {
        "namespace": NAMESPACE,
        "name": "Reachable",
        "dimensions": {"Subject": name},
    }
    assert json.loads(detail["state"]["reasonData"])["recentDatapoints"] == [0.5]
    assert detail["previousState"]["value"] == "OK"
    assert detail["previousState"]["reason"].startswith("Threshold Crossed: no datapoints were received")


def test_nothing_is_evaluated_in_a_lost_region(watched: Watched) -> None:
    watched.alarm(TreatMissingData="notBreaching")
    watched.becomes("OK")
    # No minute ends between the two.
    watched.lab.set_scale(1)
    watched.put(0)
    watched.lab.lose(DR)
    watched.lab.set_scale(100)
    watched.lab.clock_passes(200)
    assert watched.lab.status()["alarms"][DR][watched.name] == "OK"
    watched.lab.set_scale(50)
    watched.lab.bring_back(DR)
    watched.put(0)
    watched.has_been("ALARM")


def test_what_was_put_is_found_by_the_time_that_passed_on_aws(watched: Watched) -> None:
    watched.put(3)
    watched.put(5)
    watched.put(9, subject="another")
    watched.lab.clock_passes(130)
    now, dimensions = datetime.now(UTC), [{"Name": "Subject", "Value": watched.name}]
    metric = {"Namespace": NAMESPACE, "MetricName": "Reachable", "Dimensions": dimensions}

    def sums(minutes: int) -> tuple[float, float]:
        span = {"StartTime": now - timedelta(minutes=minutes), "EndTime": now + timedelta(minutes=1)}
        statistics = watched.cloudwatch.get_metric_statistics(**metric, **span, Period=3600, Statistics=["Sum"])
        query = {"Id": "m1", "MetricStat": {"Metric": metric, "Period": 3600, "Stat": "Sum"}}
        data = watched.cloudwatch.get_metric_data(**span, MetricDataQueries=[query])
        # Where an hour begins between the two, they are two points.
        return sum(point["Sum"] for point in statistics["Datapoints"]), sum(data["MetricDataResults"][0]["Values"])

    assert sums(60) == (8, 8)
    assert sums(1) == (0, 0)


def test_a_queue_that_an_alarm_watches_is_counted(watched: Watched) -> None:
    queues, name = watched.lab.client("sqs", DR), watched.name
    url = queues.create_queue(QueueName=name)["QueueUrl"]
    watched.alarm(
        Namespace="AWS/SQS",
        MetricName="ApproximateNumberOfMessagesVisible",
        Dimensions=[{"Name": "QueueName", "Value": name}],
        Statistic="Maximum",
        ComparisonOperator="GreaterThanOrEqualToThreshold",
    )
    watched.becomes("OK")
    queues.send_message(QueueUrl=url, MessageBody="{}")
    watched.becomes("ALARM")
    queues.purge_queue(QueueUrl=url)
    watched.becomes("OK")


def test_nothing_is_judged_while_time_runs_too_fast_for_who_puts_data(watched: Watched) -> None:
    watched.alarm(TreatMissingData="notBreaching")
    watched.becomes("OK")
    watched.lab.set_scale(200)
    try:
        watched.put(0)
        watched.lab.clock_passes(400)
        assert watched.state() == "OK"
    finally:
        watched.lab.set_scale(50)
