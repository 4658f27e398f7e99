"""What had not crossed is known when the region is lost; after its return it is listed, and copied over nothing."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.lab.running import ACCOUNT, ROOT
from tests.workflow.operator import DR, PRIMARY, REPROTECT, Operator

BUCKETS = {region: f"dev-app-{ACCOUNT}-{region}" for region in (PRIMARY, DR)}
EVIDENCE = f"dev-evidence-{ACCOUNT}-{DR}"


@pytest.fixture(scope="module", autouse=True)
def no_grace(operator: Operator) -> None:
    """Lambda's time is real: a quarter of an hour of it is too long for a test."""
    operator.set("objects-grace-seconds", 2)


def test_dr_knows_what_has_not_left_the_active_region(operator: Operator) -> None:
    put(operator, PRIMARY, "crossed.txt", "before")
    operator.until(lambda: text(operator, DR, "crossed.txt") == "before", "an object crosses")
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
    assert "had not left eu-west-1" in command(operator, "scripts/objects.py", "status")


def test_s3_giving_up_rings_in_the_region_that_sends(operator: Operator) -> None:
    alarms = operator.lab.client("cloudwatch", PRIMARY)

    def rings() -> bool:
        found = alarms.describe_alarms(AlarmNames=["dev-objects-failed"])["MetricAlarms"]
        return bool(found[0]["StateValue"] == "ALARM")

    operator.until(rings, "dev-objects-failed rings in the primary", 90)


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


def test_while_the_primary_is_away_parameters_wait_without_a_dead_letter(operator: Operator) -> None:
    ssm, functions = operator.lab.client("ssm"), operator.lab.client("lambda")
    ssm.put_parameter(Name="/dev/app/mode", Value="degraded", Type="String")
    for _ in range(2):
        answer = functions.invoke(FunctionName="dev-parameter-sync", Payload=b'{"action": "reconcile"}')
        told = json.loads(answer["Payload"].read())
        assert told["outcome"] == "the other region does not answer", told
    assert dead_letters(operator) == 0
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
    ended = operator.end_of(operator.start(REPROTECT), 400)
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
    assert dead_letters(operator) == 0


def test_asked_again_it_copies_nothing_twice_and_finds_nothing_new(operator: Operator) -> None:
    before = versions(operator, DR)
    put(operator, DR, "refused/changed.txt", "second")
    said = command(operator, "scripts/objects.py", "compare")
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


def dead_letters(operator: Operator) -> int:
    """Count the parameters' dead letters in DR."""
    sqs = operator.lab.client("sqs")
    url = sqs.get_queue_url(QueueName="dev-parameter-sync-dlq")["QueueUrl"]
    told = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"])
    return int(told["Attributes"]["ApproximateNumberOfMessages"])


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


def command(operator: Operator, *words: str, **variables: str) -> str:
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
    assert told.returncode == 0, told.stdout + told.stderr
    return told.stdout
