"""What had not crossed is known when the region is lost; after its return it is listed, and copied over nothing."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.lab.running import ACCOUNT, ROOT
from tests.workflow.clients import Clients, orders
from tests.workflow.operator import DR, PRIMARY, REPROTECT, Operator

BUCKETS = {region: f"dev-app-{ACCOUNT}-{region}" for region in (PRIMARY, DR)}
EVIDENCE = f"dev-evidence-{ACCOUNT}-{DR}"


@pytest.fixture(scope="module", autouse=True)
def no_grace(operator: Operator) -> None:
    """Lambda's time is real: a quarter of an hour of it is too long for a test."""
    operator.set("objects-grace-seconds", 2)


def test_drs_copies_of_the_secrets_open_its_database(operator: Operator) -> None:
    told = look_at_secrets(operator)
    assert told["good"], told
    assert told["told"] == f"each logs in to {DR}'s database; the same versions as at home"
    assert note(operator, "secrets") == told


def test_a_new_password_reaches_both_regions_while_the_application_serves(operator: Operator) -> None:
    old = password(operator, PRIMARY)
    with Clients(operator, PRIMARY) as clients:
        operator.until(lambda: len(clients.promised) > 5, "orders are placed")
        said = command(operator, "-m", "scripts.rotate")
        before = len(clients.promised)
        operator.until(lambda: len(clients.promised) > before + 5, "orders are placed with the new password")
    new = password(operator, PRIMARY)
    assert new != old
    assert password(operator, DR) == new
    assert new not in said
    assert old not in said
    # Each region's database lets in who has its own secret; the replica has the account by replication.
    assert set(clients.promised) <= orders(operator, PRIMARY)
    operator.until(lambda: look_at_secrets(operator)["good"], "DR's copies open its database again")


def test_a_rotation_that_was_killed_half_way_is_finished_by_the_next(operator: Operator) -> None:
    secrets = operator.lab.client("secretsmanager", PRIMARY)
    value = json.loads(secrets.get_secret_value(SecretId="dev/application")["SecretString"])
    secrets.put_secret_value(SecretId="dev/application", SecretString=json.dumps(value | {"password": "HalfWay123456"}))
    operator.until(lambda: not look_at_secrets(operator)["good"], "that is seen")
    told = note(operator, "secrets")
    assert "dev/application does not log in" in told["told"] or "dev/application is version" in told["told"]
    said = command(operator, "-m", "scripts.rotate", ALIGN="1")
    assert "HalfWay" not in said
    assert orders(operator, PRIMARY)
    command(operator, "-m", "scripts.rotate")
    assert password(operator, PRIMARY) != "HalfWay123456"
    assert orders(operator, PRIMARY)
    operator.until(lambda: look_at_secrets(operator)["good"], "all is good again")


def test_dr_knows_what_has_not_left_the_active_region(operator: Operator) -> None:
    put(operator, PRIMARY, "crossed.txt", "before")
    operator.until(lambda: text(operator, DR, "crossed.txt") == "before", "an object crosses")
    # An alarm judges what came after it was made, and looks at fifteen minutes.
    operator.until(lambda: failed_alarm(operator)["StateValue"] == "OK", "the alarm has looked", 120)
    operator.lab.control("objects", "hold", prefix="held/")
    operator.lab.control("objects", "refuse", prefix="refused/")
    put(operator, PRIMARY, "held/both.txt", "the primary's")
    put(operator, PRIMARY, "held/alone.txt", "never seen")
    put(operator, PRIMARY, "refused/report.bin", "kept with all it has", ContentType="application/x-report",
        CacheControl="max-age=60", Metadata={"author": "anna"}, Tagging="team=a&kind=report")  # fmt: skip
    put(operator, PRIMARY, "refused/changed.txt", "first")
    operator.until(lambda: note(operator, "objects").get("operations") == 2, "DR has heard of two")
    seen = note(operator, "objects")
    assert seen["region"] == PRIMARY
    assert seen["bytes"] == len("the primary's") + len("never seen")
    names = operator.lab.client("cloudwatch").list_metrics(Namespace="PilotLight")["Metrics"]
    assert {"ObjectsPendingOperations", "ObjectsSeenAge"} <= {metric["MetricName"] for metric in names}
    assert "had not left eu-west-1" in command(operator, "-m", "scripts.status", "dev", DR)


def failed_alarm(operator: Operator) -> dict[str, Any]:
    found = operator.lab.client("cloudwatch", PRIMARY).describe_alarms(AlarmNames=["dev-objects-failed"])
    alarm: dict[str, Any] = found["MetricAlarms"][0]
    return alarm


def test_s3_giving_up_rings_in_the_region_that_sends(operator: Operator) -> None:
    alarms = operator.lab.client("cloudwatch", PRIMARY)

    def rang() -> bool:
        # Five minutes later it is quiet again, and five minutes are seconds here.
        told = alarms.describe_alarm_history(AlarmName="dev-objects-failed", HistoryItemType="StateUpdate")
        return any("to ALARM" in item["HistorySummary"] for item in told["AlarmHistoryItems"])

    operator.until(rang, "dev-objects-failed rings in the primary", 90)


def test_a_lost_region_leaves_its_last_figures(operator: Operator) -> None:
    operator.lab.lose(PRIMARY)
    ended = operator.fail_over()
    assert ended.status == "SUCCEEDED", ended.cause
    objects = ended.output["objects"]
    assert objects["operations"] == 2
    assert objects["told"].startswith(f"2 operations, {objects['bytes']} bytes had not crossed")
    assert " before the " in objects["told"] or "seen at the " in objects["told"]
    operator.until(lambda: note(operator, "objects")["region"] == DR, "DR watches itself now")
    silent = note(operator, "objects")
    assert silent["heard_at"] == silent["asked_at"]


def test_dr_lives_by_its_own_secrets(operator: Operator) -> None:
    told = look_at_secrets(operator)
    assert told["good"], told
    assert told["told"] == f"each logs in to {DR}'s database; not compared, since {PRIMARY} does not answer"
    assert operator.order(operator.door(DR), "with-its-own-secret")
    assert "with-its-own-secret" in orders(operator, DR)
    before = password(operator, DR)
    said = command(operator, "-m", "scripts.rotate", fails=True)
    assert "is at home in eu-west-1, which does not answer" in said
    assert "nothing was changed" in said
    assert password(operator, DR) == before


def test_while_the_primary_is_away_parameters_wait_without_a_dead_letter(operator: Operator) -> None:
    ssm, functions = operator.lab.client("ssm"), operator.lab.client("lambda")
    ssm.put_parameter(Name="/dev/app/mode", Value="degraded", Type="String")
    for _ in range(2):
        answer = functions.invoke(FunctionName="dev-parameter-sync", Payload=b'{"action": "reconcile"}')
        told = json.loads(answer["Payload"].read())
        assert told["outcome"] == "the other region does not answer", told

    def waiting() -> int:
        # SQS's quarter of an hour is a real one here: what the function has refused comes again at once.
        return int(operator.lab.control("queues", "make-visible", region=DR, queue="dev-parameter-sync"))

    operator.until(waiting, "the parameter's event is there")
    operator.until(lambda: not waiting(), "it is let go")
    assert dead_letters(operator) == 0, failures(operator, "parameter-sync")
    names = operator.lab.client("cloudwatch").list_metrics(Namespace="PilotLight")["Metrics"]
    assert "ParametersUnanswered" in {metric["MetricName"] for metric in names}


def test_after_the_return_both_sides_are_compared_and_what_never_crossed_is_copied(operator: Operator) -> None:
    operator.until(lambda: text(operator, DR, "crossed.txt") == "before", "what had crossed is there")
    put(operator, DR, "held/both.txt", "DR's")
    put(operator, DR, "ordinary.txt", "one")
    put(operator, DR, "ordinary.txt", "two")
    operator.lab.bring_back(PRIMARY)
    # It still thinks that it serves.
    put(operator, PRIMARY, "held/both.txt", "the stray's")
    # What RDS takes to build a replica is not what is looked at here.
    operator.lab.set_scale(100)
    ended = operator.end_of(operator.start(REPROTECT), 400)
    operator.lab.set_scale(20)
    assert ended.status == "SUCCEEDED", ended.cause
    assert ended.output["outcome"] == "protected"
    objects = ended.output["objects"]
    assert objects["done"], objects
    assert objects["counts"]["written on both sides"] == 1
    assert objects["counts"]["never crossed"] == 3
    assert objects["outcomes"] == {"copied": 3}

    (both,) = listed(operator, objects["evidence"], "written on both sides")
    assert (both["key"], both["won"]) == ("held/both.txt", "active")
    assert {lost["side"] for lost in both["lost"]} == {"returned"}
    assert len(both["lost"]) == 2
    assert text(operator, DR, "held/both.txt") == "DR's", "nothing is overwritten"
    # And people can take it back.
    newest = max(both["lost"], key=lambda lost: str(lost["modified"]))["version"]
    assert text(operator, PRIMARY, "held/both.txt", VersionId=newest) in ("the stray's", "the primary's")

    assert text(operator, DR, "held/alone.txt") == "never seen"
    assert text(operator, DR, "refused/changed.txt") == "first"
    s3 = operator.lab.client("s3")
    copied = s3.get_object(Bucket=BUCKETS[DR], Key="refused/report.bin")
    assert copied["Body"].read() == b"kept with all it has"
    assert (copied["ContentType"], copied["CacheControl"]) == ("application/x-report", "max-age=60")
    assert copied["Metadata"] == {"author": "anna"}
    tags = {t["Key"]: t["Value"] for t in s3.get_object_tagging(Bucket=BUCKETS[DR], Key="refused/report.bin")["TagSet"]}
    assert tags.items() >= {"team": "a", "kind": "report"}.items()


def test_what_was_put_in_dr_is_in_the_primary_by_itself_and_nothing_echoes(operator: Operator) -> None:
    def version(region: str) -> tuple[str, int] | None:
        try:
            found = operator.lab.client("ssm", region).get_parameter(Name="/dev/app/mode")["Parameter"]
        except ClientError:
            return None
        return str(found["Value"]), int(found["Version"])

    operator.until(lambda: version(PRIMARY) == ("degraded", 1), "the parameter is in the primary")
    operator.lab.clock_passes(120)
    assert (version(PRIMARY), version(DR)) == (("degraded", 1), ("degraded", 1))
    assert dead_letters(operator) == 0, failures(operator, "parameter-sync")


def test_asked_again_it_copies_nothing_twice_and_finds_nothing_new(operator: Operator) -> None:
    before = versions(operator, DR)
    put(operator, DR, "refused/changed.txt", "second")
    said = command(operator, "-m", "scripts.objects", "dev", DR)
    assert "had never crossed" not in said
    assert "1 written on both sides" in said
    assert versions(operator, DR) == before + 1


def put(operator: Operator, region: str, key: str, body: str, **more: Any) -> str:
    """Write an object as the application does."""
    answer = operator.lab.client("s3", region).put_object(Bucket=BUCKETS[region], Key=key, Body=body.encode(), **more)
    return str(answer["VersionId"])


def text(operator: Operator, region: str, key: str, **more: Any) -> str | None:
    """Read an object; None where there is none."""
    try:
        answer = operator.lab.client("s3", region).get_object(Bucket=BUCKETS[region], Key=key, **more)
    except ClientError as error:
        if error.response["Error"]["Code"] not in ("NoSuchKey", "404"):
            raise
        return None
    return bytes(answer["Body"].read()).decode()


def versions(operator: Operator, region: str) -> int:
    """Count what a bucket has."""
    pages = operator.lab.client("s3", region).get_paginator("list_object_versions").paginate(Bucket=BUCKETS[region])
    return sum(len(page.get("Versions", ())) for page in pages)


def look_at_secrets(operator: Operator) -> dict[str, Any]:
    """Let DR look at its secrets now, as it does on its schedule."""
    answer = operator.lab.client("lambda").invoke(FunctionName="dev-dr-secrets", Payload=b'{"action": "watch"}')
    told: dict[str, Any] = json.loads(answer["Payload"].read())
    assert "FunctionError" not in answer, told
    return told


def password(operator: Operator, region: str) -> str:
    """Read the application's password in a region."""
    value = operator.lab.client("secretsmanager", region).get_secret_value(SecretId="dev/application")["SecretString"]
    return str(json.loads(value)["password"])


def dead_letters(operator: Operator) -> int:
    """Count the parameters' dead letters in DR."""
    sqs = operator.lab.client("sqs")
    url = sqs.get_queue_url(QueueName="dev-parameter-sync-dlq")["QueueUrl"]
    told = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"])
    return int(told["Attributes"]["ApproximateNumberOfMessages"])


def failures(operator: Operator, service: str) -> list[str]:
    """Find what a function said of its failures."""
    lines = (Path(operator.lab.status()["home"]) / "lab.log").read_text().splitlines()
    return [line for line in lines if '"level":"ERROR"' in line and f'"service":"{service}"' in line]


def note(operator: Operator, subject: str) -> dict[str, Any]:
    """Read one of DR's notes."""
    found = operator.lab.client("dynamodb").get_item(TableName="dev-dr-state", Key={"id": {"S": subject}})
    told: dict[str, Any] = json.loads(found["Item"]["body"]["S"]) if "Item" in found else {}
    return told


def listed(operator: Operator, place: str, kind: str) -> list[dict[str, Any]]:
    """Read what was listed, as people would."""
    prefix = place.removeprefix(f"s3://{EVIDENCE}/")
    s3 = operator.lab.client("s3")
    keys = [one["Key"] for one in s3.list_objects_v2(Bucket=EVIDENCE, Prefix=f"{prefix}part-")["Contents"]]
    lines = [line for key in keys for line in s3.get_object(Bucket=EVIDENCE, Key=key)["Body"].read().splitlines()]
    return [line for line in map(json.loads, lines) if line["kind"] == kind]


def command(operator: Operator, *words: str, fails: bool = False, **variables: str) -> str:
    """Run a command of the project as a person does, and return what it printed."""
    environment = os.environ | {
        "AWS_ENDPOINT_URL": operator.lab.endpoint,
        "AWS_ACCESS_KEY_ID": ACCOUNT,
        "AWS_SECRET_ACCESS_KEY": "lab",
        **variables,
    }
    told = subprocess.run(
        [ROOT / ".venv/bin/python", *words], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120
    )
    assert (told.returncode != 0) == fails, told.stdout + told.stderr
    return told.stdout + told.stderr
