"""Parameters of the team's: they follow by event, are found without one, and cross the other way after a switch."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

from botocore.exceptions import ClientError

from tests.lab.running import ACCOUNT, ROOT
from tests.workflow.operator import DR, PRIMARY, Operator

FUNCTION = "dev-parameter-sync"


def test_a_change_follows_by_event_with_all_that_belongs_to_it(operator: Operator) -> None:
    put(
        operator, PRIMARY, "/dev/app/greeting", "hello", Description="what we say", Tags=[{"Key": "team", "Value": "a"}]
    )
    put(operator, PRIMARY, "/dev/app/token", "s3cret", "SecureString")
    put(operator, PRIMARY, "/dev/app/zones", "a,b,c", "StringList")
    operator.until(lambda: value(operator, DR, "/dev/app/greeting") == "hello", "the value is in DR")
    operator.until(lambda: value(operator, DR, "/dev/app/token") == "s3cret", "the secret is readable in DR")
    operator.until(lambda: value(operator, DR, "/dev/app/zones") == "a,b,c", "the list is in DR")
    here = operator.lab.client("ssm")
    told = here.describe_parameters(ParameterFilters=[{"Key": "Name", "Values": ["/dev/app/greeting"]}])["Parameters"][
        0
    ]
    assert told["Description"] == "what we say"
    tags = here.list_tags_for_resource(ResourceType="Parameter", ResourceId="/dev/app/greeting")["TagList"]
    assert {tag["Key"]: tag["Value"] for tag in tags}["team"] == "a"
    put(operator, PRIMARY, "/dev/app/greeting", "good day")
    operator.until(lambda: value(operator, DR, "/dev/app/greeting") == "good day", "the new value is in DR")
    operator.lab.client("ssm", PRIMARY).delete_parameter(Name="/dev/app/zones")
    operator.until(lambda: value(operator, DR, "/dev/app/zones") is None, "the deletion is in DR")


def test_what_no_event_told_is_found_by_comparing_and_first_only_shown(operator: Operator) -> None:
    events = operator.lab.client("events", PRIMARY)
    events.disable_rule(Name=FUNCTION)
    put(operator, PRIMARY, "/dev/app/quiet", "unheard")
    shown = reconcile(operator, PRIMARY, dry_run=True)
    assert "/dev/app/quiet" in json.dumps(shown)
    assert value(operator, DR, "/dev/app/quiet") is None
    reconcile(operator, PRIMARY)
    assert value(operator, DR, "/dev/app/quiet") == "unheard"
    # The rule follows the record, whoever turned it.
    assert events.describe_rule(Name=FUNCTION)["State"] == "ENABLED"
    assert operator.lab.client("events").describe_rule(Name=FUNCTION)["State"] == "DISABLED"


def test_the_standby_carries_nothing_and_the_orchestrators_own_never_cross(operator: Operator) -> None:
    put(operator, DR, "/dev/app/by-hand", "only here")
    reconcile(operator, DR)
    reconcile(operator, PRIMARY)
    assert value(operator, PRIMARY, "/dev/app/by-hand") is None
    assert value(operator, DR, "/dev/app/by-hand") == "only here"
    image = "/dev/pilotlight/image-id"
    assert value(operator, PRIMARY, image) != value(operator, DR, image)


def test_labels_and_policies_cross(operator: Operator) -> None:
    ssm = operator.lab.client("ssm", PRIMARY)
    policy = {"Type": "NoChangeNotification", "Version": "1.0", "Attributes": {"After": "30", "Unit": "Days"}}
    put(operator, PRIMARY, "/dev/app/level", "one", Tier="Advanced", Policies=json.dumps([policy]))
    put(operator, PRIMARY, "/dev/app/level", "two", Tier="Advanced", Policies=json.dumps([policy]))
    ssm.label_parameter_version(Name="/dev/app/level", ParameterVersion=1, Labels=["blue"])
    ssm.label_parameter_version(Name="/dev/app/level", ParameterVersion=2, Labels=["green"])
    operator.until(lambda: labels(operator, DR) == {"blue": "one", "green": "two"}, "both labels stand for the same")
    # An old version is written anew to have something to label, and the present one after it.
    operator.until(lambda: value(operator, DR, "/dev/app/level") == "two", "the present value stands again")
    (told,) = operator.lab.client("ssm").describe_parameters(
        ParameterFilters=[{"Key": "Name", "Values": ["/dev/app/level"]}]
    )["Parameters"]
    assert told["Tier"] == "Advanced"
    assert [json.loads(one["PolicyText"]) for one in told["Policies"]] == [policy]
    # Looking again changes nothing: what was compared was equal.
    assert reconcile(operator, PRIMARY)["updated"] == 0


def test_the_command_shows_what_differs_and_then_makes_it_equal(operator: Operator) -> None:
    operator.lab.client("events", PRIMARY).disable_rule(Name=FUNCTION)
    put(operator, PRIMARY, "/dev/app/by-command", "s3cret")
    shown = command(operator, DRY_RUN="1")
    assert "create   /dev/app/by-command  (missing)" in shown
    assert "compared eu-west-1 with eu-central-1" in shown
    assert value(operator, DR, "/dev/app/by-command") is None
    done = command(operator)
    assert "1 created" in done
    assert value(operator, DR, "/dev/app/by-command") == "s3cret"
    assert "s3cret" not in shown + done
    assert "0 created" in command(operator, LABELS="1")


def test_what_could_not_be_carried_is_told_and_heals_when_it_is_redriven(operator: Operator) -> None:
    events = operator.lab.client("events", PRIMARY)
    # The hour may strike in the middle of this, fail just so, and leave a dead letter of its own.
    events.disable_rule(Name=f"{FUNCTION}-hourly")
    events.disable_rule(Name=FUNCTION)
    put(operator, DR, "/dev/app/taken", "by hand", "SecureString")
    put(operator, PRIMARY, "/dev/app/taken", "the team's")
    operator.lab.client("lambda", PRIMARY).invoke(
        FunctionName=FUNCTION, InvocationType="Event", Payload=b'{"action": "reconcile"}'
    )
    sqs = operator.lab.client("sqs", PRIMARY)
    dead, queue = (sqs.get_queue_url(QueueName=f"{FUNCTION}{end}")["QueueUrl"] for end in ("-dlq", ""))
    operator.until(lambda: waiting(sqs, dead) == 1, "the failure is a dead letter")

    operator.lab.client("ssm").delete_parameter(Name="/dev/app/taken")
    arns = [sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
            for url in (dead, queue)]  # fmt: skip
    sqs.start_message_move_task(SourceArn=arns[0], DestinationArn=arns[1])
    operator.until(lambda: value(operator, DR, "/dev/app/taken") == "the team's", "the redriven message heals it")
    # The queue may still hold the event of the writing: delivered once the comparison had turned the rule on again,
    # refused like it, and back after fifteen minutes.
    operator.until(lambda: waiting(sqs, dead) == 0, "no dead letter is left")
    events.enable_rule(Name=f"{FUNCTION}-hourly")


def test_what_cannot_cross_holds_a_planned_switch_up_before_anything_is_closed(operator: Operator) -> None:
    put(operator, DR, "/dev/app/held", "by hand", "SecureString")
    put(operator, PRIMARY, "/dev/app/held", "the team's")
    ended = operator.fail_over(mode="graceful")
    assert ended.status == "FAILED"
    assert "/dev/app/held" in ended.cause
    assert "the team's" not in ended.cause
    assert operator.orders_is_on(PRIMARY)
    operator.lab.client("ssm").delete_parameter(Name="/dev/app/held")


def test_after_a_switch_they_cross_the_other_way_and_nothing_echoes(operator: Operator) -> None:
    operator.lab.client("events", PRIMARY).disable_rule(Name=FUNCTION)
    put(operator, PRIMARY, "/dev/app/greeting", "the last word")
    arn = operator.start(mode="graceful")
    ended = operator.end_of(arn)
    assert ended.status == "SUCCEEDED", ended.cause
    assert "Bring the parameters over" in operator.entered(arn)
    # No event told of it, and the switch took it along.
    assert [value(operator, region, "/dev/app/greeting") for region in (DR, PRIMARY)] == ["the last word"] * 2
    states = {region: operator.lab.client("events", region) for region in (PRIMARY, DR)}
    operator.until(lambda: states[DR].describe_rule(Name=FUNCTION)["State"] == "ENABLED", "DR's rule is on")
    operator.until(lambda: states[PRIMARY].describe_rule(Name=FUNCTION)["State"] == "DISABLED", "the primary's is off")
    put(operator, DR, "/dev/app/greeting", "moin")
    operator.until(lambda: value(operator, PRIMARY, "/dev/app/greeting") == "moin", "the value is in the primary")
    versions = [version(operator, region, "/dev/app/greeting") for region in (PRIMARY, DR)]
    reconcile(operator, PRIMARY)
    reconcile(operator, DR)
    operator.lab.clock_passes(60)
    assert [version(operator, region, "/dev/app/greeting") for region in (PRIMARY, DR)] == versions


def labels(operator: Operator, region: str) -> dict[str, str]:
    """Read what the labels of a parameter stand for."""
    try:
        history = operator.lab.client("ssm", region).get_parameter_history(Name="/dev/app/level")["Parameters"]
    except ClientError:
        return {}
    return {label: str(one["Value"]) for one in history for label in one["Labels"]}


def waiting(sqs: Any, url: str) -> int:
    """Count the messages of a queue, those that are being worked on too."""
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    told = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    return sum(int(told[name]) for name in names)


def command(operator: Operator, **variables: str) -> str:
    """Run the command that `make sync` runs, and return what it printed."""
    environment = os.environ | {
        "AWS_ENDPOINT_URL": operator.lab.endpoint,
        "AWS_ACCESS_KEY_ID": ACCOUNT,
        "AWS_SECRET_ACCESS_KEY": "lab",
        **variables,
    }
    told = subprocess.run(
        [ROOT / ".venv/bin/python", "-m", "scripts.sync", "dev", DR],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert told.returncode == 0, told.stdout + told.stderr
    return told.stdout


def put(operator: Operator, region: str, name: str, text: str, kind: str = "String", **more: Any) -> None:
    """Put a parameter as a team does."""
    overwrite = {} if "Tags" in more else {"Overwrite": True}
    operator.lab.client("ssm", region).put_parameter(Name=name, Value=text, Type=kind, **overwrite, **more)


def value(operator: Operator, region: str, name: str) -> str | None:
    """Read a parameter, decrypted; None if there is none."""
    try:
        found = operator.lab.client("ssm", region).get_parameter(Name=name, WithDecryption=True)
    except ClientError as error:
        if error.response["Error"]["Code"] != "ParameterNotFound":
            raise
        return None
    return str(found["Parameter"]["Value"])


def version(operator: Operator, region: str, name: str) -> int:
    """Read how often a parameter was written."""
    return int(operator.lab.client("ssm", region).get_parameter(Name=name)["Parameter"]["Version"])


def reconcile(operator: Operator, region: str, *, dry_run: bool = False) -> dict[str, Any]:
    """Let a region's function compare both sides, as the schedule does."""
    answer = operator.lab.client("lambda", region).invoke(
        FunctionName=FUNCTION, Payload=json.dumps({"action": "reconcile", "dry_run": dry_run}).encode()
    )
    told: dict[str, Any] = json.loads(answer["Payload"].read())
    assert "FunctionError" not in answer, told
    return told
