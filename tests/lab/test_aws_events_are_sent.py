"""Events that AWS services send by themselves reach rules, and rate() schedules fire on the lab's clock."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.lab.functions import ROLE, make_function
from tests.lab.running import ACCOUNT, DR

if TYPE_CHECKING:
    from tests.lab.running import RunningLab


def _listen(lab: RunningLab, name: str, **rule: Any) -> Any:
    """Return a function that takes the next event a rule lets through, or nothing."""
    queues = lab.client("sqs", DR)
    url = queues.create_queue(QueueName=name)["QueueUrl"]
    events = lab.client("events", DR)
    events.put_rule(Name=name, **rule)
    events.put_targets(Rule=name, Targets=[{"Id": "queue", "Arn": f"arn:aws:sqs:{DR}:{ACCOUNT}:{name}"}])

    def take() -> dict[str, Any] | None:
        for message in queues.receive_message(QueueUrl=url).get("Messages", []):
            queues.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            event: dict[str, Any] = json.loads(message["Body"])
            return event
        return None

    return take


def _pattern(source: str, kind: str) -> str:
    return json.dumps({"source": [source], "detail-type": [kind]})


def test_a_parameter_change_is_announced(lab: RunningLab) -> None:
    take = _listen(lab, "parameter-changes", EventPattern=_pattern("aws.ssm", "Parameter Store Change"))
    parameters = lab.client("ssm", DR)

    parameters.put_parameter(Name="/a/b", Type="String", Value="1")
    parameters.put_parameter(Name="/a/b", Type="String", Value="2", Overwrite=True)
    parameters.delete_parameter(Name="/a/b")

    seen = [lab.wait_until(take)["detail"] for _ in range(3)]
    assert {event["operation"] for event in seen} == {"Create", "Update", "Delete"}
    assert {event["name"] for event in seen} == {"/a/b"}


def test_an_alarms_change_is_announced(lab: RunningLab) -> None:
    # The next evaluation says again that there is no data: its event may overtake this one.
    detail = {"alarmName": ["unreachable"], "state": {"value": ["ALARM"]}}
    pattern = {"source": ["aws.cloudwatch"], "detail-type": ["CloudWatch Alarm State Change"], "detail": detail}
    take = _listen(lab, "alarm-changes", EventPattern=json.dumps(pattern))
    metrics = lab.client("cloudwatch", DR)
    metrics.put_metric_alarm(
        AlarmName="unreachable",
        Namespace="t",
        MetricName="m",
        Statistic="Maximum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=1,
        ComparisonOperator="GreaterThanOrEqualToThreshold",
    )
    metrics.set_alarm_state(AlarmName="unreachable", StateValue="ALARM", StateReason="by hand")

    event = lab.wait_until(take)
    assert event["detail"]["state"]["reason"] == "by hand"


def test_an_executions_end_is_announced(lab: RunningLab) -> None:
    take = _listen(lab, "ends", EventPattern=_pattern("aws.states", "Step Functions Execution Status Change"))
    machines = lab.client("stepfunctions", DR)
    definition = {"StartAt": "No", "States": {"No": {"Type": "Fail", "Error": "Refused"}}}
    arn = machines.create_state_machine(name="fails", definition=json.dumps(definition), roleArn=ROLE)[
        "stateMachineArn"
    ]
    machines.start_execution(stateMachineArn=arn)

    statuses = {lab.wait_until(take)["detail"]["status"] for _ in range(2)}
    assert statuses == {"RUNNING", "FAILED"}


def test_a_rate_of_one_minute_fires_on_the_labs_clock(lab: RunningLab) -> None:
    take = _listen(lab, "every-minute", ScheduleExpression="rate(1 minute)")
    lab.wait_until(take)
    lab.client("events", DR).disable_rule(Name="every-minute")


def test_an_asynchronous_invocation_is_not_retried_when_that_is_configured(lab: RunningLab) -> None:
    queues = lab.client("sqs", DR)
    failures = queues.create_queue(QueueName="failures")["QueueUrl"]
    functions = make_function(lab, DR, "fails-once", "def handler(event, context):\n    raise ValueError('no')\n")
    functions.put_function_event_invoke_config(
        FunctionName="fails-once",
        MaximumRetryAttempts=0,
        DestinationConfig={"OnFailure": {"Destination": f"arn:aws:sqs:{DR}:{ACCOUNT}:failures"}},
    )
    functions.invoke(FunctionName="fails-once", InvocationType="Event")

    lab.wait_until(lambda: queues.receive_message(QueueUrl=failures).get("Messages"))
    log = lab.client("logs", DR).filter_log_events(logGroupName="/aws/lambda/fails-once", filterPattern="START")
    assert len(log["events"]) == 1


@pytest.mark.parametrize(("tier", "size"), [("Standard", 4097), ("Advanced", 8193)])
def test_a_parameter_that_is_too_long_for_its_tier_is_refused(lab: RunningLab, tier: str, size: int) -> None:
    parameters = lab.client("ssm", DR)
    with pytest.raises(parameters.exceptions.ClientError, match="ValidationException"):
        parameters.put_parameter(Name=f"/long/{tier}", Type="String", Value="x" * size, Tier=tier)


def test_an_sdk_error_of_a_task_has_the_name_that_aws_gives_it(lab: RunningLab) -> None:
    definition = {
        "StartAt": "Describe",
        "States": {
            "Describe": {
                "Type": "Task",
                "Resource": "arn:aws:states:::aws-sdk:rds:describeDBInstances",
                "Parameters": {"DbInstanceIdentifier": "nobody"},
                "End": True,
            }
        },
    }
    machines = lab.client("stepfunctions", DR)
    arn = machines.create_state_machine(name="names", definition=json.dumps(definition), roleArn=ROLE)[
        "stateMachineArn"
    ]
    execution = machines.start_execution(stateMachineArn=arn)["executionArn"]
    ended = lab.wait_until(
        lambda: (
            answer if (answer := machines.describe_execution(executionArn=execution))["status"] != "RUNNING" else None
        )
    )
    assert ended["error"] == "Rds.DbInstanceNotFoundException"
