"""An image of the application is in DR before the day: made, copied, checked, published. Nothing else is started."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.lab.running import ACCOUNT
from tests.workflow.mail import Mailbox
from tests.workflow.operator import CONFIG, DR, PRIMARY, End, Operator

if TYPE_CHECKING:
    from collections.abc import Iterator

MARK, PAIR, SOURCE = "pilotlight:image", "pilotlight:pair", "pilotlight:source-image"
REFUSED: Final = "Given key ID is not accessible"


@dataclass(frozen=True)
class Image:
    """One image of ours in a region."""

    identifier: str
    state: str
    tags: dict[str, str]
    snapshots: tuple[str, ...]


@pytest.fixture(autouse=True)
def _faster(operator: Operator) -> Iterator[None]:
    # An image takes eight minutes on AWS.
    operator.lab.set_scale(100)
    yield
    operator.lab.set_scale(20)


def machine(region: str) -> str:
    return f"arn:aws:states:{region}:{ACCOUNT}:stateMachine:dev-image"


def start(operator: Operator, region: str, **fields: Any) -> str:
    given = {"input": json.dumps(fields)} if fields else {}
    arn: str = operator.lab.client("stepfunctions", region).start_execution(stateMachineArn=machine(region), **given)[
        "executionArn"
    ]
    return arn


def end(operator: Operator, arn: str) -> End:
    states = operator.lab.client("stepfunctions", arn.split(":")[3])
    ended = operator.until(
        lambda: (seen := states.describe_execution(executionArn=arn))["status"] != "RUNNING" and seen,
        f"{arn} has ended",
        120,
    )
    return End(ended["status"], json.loads(ended.get("output", "{}")), ended.get("error", ""), ended.get("cause", ""))


def run(operator: Operator, region: str, **fields: Any) -> End:
    return end(operator, start(operator, region, **fields))


def images(operator: Operator, region: str) -> dict[str, Image]:
    found = operator.lab.client("ec2", region).describe_images(
        Owners=["self"], Filters=[{"Name": "tag:pilotlight:environment", "Values": ["dev"]}]
    )["Images"]
    return {
        one["ImageId"]: Image(
            one["ImageId"],
            one["State"],
            {tag["Key"]: tag["Value"] for tag in one["Tags"]},
            tuple(disk["Ebs"]["SnapshotId"] for disk in one["BlockDeviceMappings"]),
        )
        for one in found
    }


def snapshots(operator: Operator, region: str) -> set[str]:
    found = operator.lab.client("ec2", region).describe_snapshots(OwnerIds=["self"])["Snapshots"]
    return {one["SnapshotId"] for one in found}


def current(operator: Operator, region: str) -> str:
    found = operator.lab.client("ssm", region).get_parameter(Name="/dev/pilotlight/image-id")
    return str(found["Parameter"]["Value"])


def keep(operator: Operator, region: str, pairs: int) -> None:
    operator.lab.client("ssm", region).put_parameter(
        Name=f"{CONFIG}/image-keep", Value=str(pairs), Type="String", Overwrite=True
    )


def refuse_the_key(operator: Operator, reason: str | None) -> None:
    operator.lab.control("compute", "image-copy-failures", region=DR, reason=reason)


def test_the_first_one_is_published_in_both_regions_with_where_it_comes_from(operator: Operator) -> None:
    here, there = (images(operator, region)[current(operator, region)] for region in (PRIMARY, DR))
    assert here.tags[PAIR] == there.tags[PAIR]
    assert (here.tags[MARK], there.tags[MARK]) == ("published", "published")
    assert there.tags[SOURCE] == here.identifier
    assert there.tags["pilotlight:created"] == here.tags["pilotlight:created"]
    assert (there.tags["pilotlight:epoch"], there.tags["pilotlight:source-region"]) == ("0", PRIMARY)
    assert there.tags["pilotlight:source-instance"].startswith("i-")
    (disk,) = operator.lab.client("ec2").describe_snapshots(SnapshotIds=list(there.snapshots))["Snapshots"]
    key = operator.lab.client("kms").describe_key(KeyId="alias/dev-pilotlight")["KeyMetadata"]["Arn"]
    assert (disk["Encrypted"], disk["KmsKeyId"]) == (True, key)
    # Nobody but the active region's schedule is on, and each region measures its own.
    states = [
        operator.lab.client("events", region).describe_rule(Name="dev-image")["State"] for region in (PRIMARY, DR)
    ]
    assert states == ["ENABLED", "DISABLED"]


def test_of_two_at_once_one_ends_quietly_and_what_nobody_needs_is_removed(operator: Operator) -> None:
    first = {region: images(operator, region)[current(operator, region)] for region in (PRIMARY, DR)}
    ec2 = operator.lab.client("ec2", PRIMARY)
    serving = [one["InstanceId"] for one in operator.group(PRIMARY)["Instances"]]
    ec2.create_tags(Resources=serving, Tags=[{"Key": "pilotlight:version", "Value": "2.3.1"}])
    keep(operator, PRIMARY, 1)
    # Of the first one an instance runs in DR, and a team has one of its own there.
    far = operator.lab.client("ec2")
    far.run_instances(ImageId=first[DR].identifier, MinCount=1, MaxCount=1)
    ours = far.copy_image(
        SourceImageId=first[PRIMARY].identifier, SourceRegion=PRIMARY, Name="the-teams-own", Encrypted=True,
        TagSpecifications=[
            {"ResourceType": "image", "Tags": [{"Key": "pilotlight:environment", "Value": "dev"}]}
        ],
    )["ImageId"]  # fmt: skip

    both = [start(operator, PRIMARY) for _ in range(2)]
    ended = [end(operator, arn) for arn in both]
    assert [one.status for one in ended] == ["SUCCEEDED", "SUCCEEDED"], [one.cause for one in ended]
    outcomes = {one.output["outcome"]: arn for one, arn in zip(ended, both, strict=True)}
    assert set(outcomes) == {"published", "running"}
    (quiet,) = [one for one in ended if one.output["outcome"] == "running"]
    assert outcomes["published"] in quiet.output["detail"]

    (published,) = [one.output for one in ended if one.output["outcome"] == "published"]
    assert published["version"] == "2.3.1"
    assert len(published["checked"]) == 6
    now = {region: images(operator, region)[current(operator, region)] for region in (PRIMARY, DR)}
    assert {region: one.identifier for region, one in now.items()} == published["published"]
    assert now[DR].tags["pilotlight:version"] == "2.3.1"
    # The first one went from the primary with its snapshot, and stays in DR, where something runs from it.
    assert first[PRIMARY].identifier not in images(operator, PRIMARY)
    assert not set(first[PRIMARY].snapshots) & snapshots(operator, PRIMARY)
    assert {first[DR].identifier, now[DR].identifier, ours} == set(images(operator, DR))
    assert set(first[DR].snapshots) | set(now[DR].snapshots) <= snapshots(operator, DR)
    measured = operator.lab.client("cloudwatch", PRIMARY).list_metrics(Namespace="PilotLight")["Metrics"]
    assert {"ImageRunsFailed", "ImageCopySeconds"} <= {one["MetricName"] for one in measured}


def test_a_run_that_is_stopped_is_told_though_it_catches_nothing(operator: Operator) -> None:
    mail = Mailbox(operator, PRIMARY, "dev-image")
    arn = start(operator, PRIMARY, fresh=True)
    operator.lab.client("stepfunctions", PRIMARY).stop_execution(executionArn=arn)
    assert arn in mail.next("IMAGE ABORTED")


def test_a_copy_whose_key_is_refused_is_told_and_never_chosen_and_is_made_the_next_time(operator: Operator) -> None:
    before = {region: current(operator, region) for region in (PRIMARY, DR)}
    mail = Mailbox(operator, PRIMARY, "dev-image")
    refuse_the_key(operator, REFUSED)
    failed = run(operator, PRIMARY)
    refuse_the_key(operator, None)
    assert (failed.status, failed.error) == ("FAILED", "PreconditionFailed")
    assert REFUSED in failed.cause
    assert REFUSED in mail.next("IMAGE FAILED")
    assert {region: current(operator, region) for region in (PRIMARY, DR)} == before
    (copy,) = [one for one in images(operator, DR).values() if one.tags.get(MARK) == "failed"]
    half_done = copy.tags[SOURCE]
    assert images(operator, PRIMARY)[half_done].tags[MARK] == "unfinished"

    # The next run goes on with the same image, by another copy, and cleans up behind both.
    again = run(operator, PRIMARY)
    assert (again.status, again.output["outcome"]) == ("SUCCEEDED", "published"), again.cause
    assert again.output["published"][PRIMARY] == half_done
    assert again.output["published"][DR] != copy.identifier
    assert copy.identifier not in images(operator, DR)
    assert before[DR] not in images(operator, DR)
    assert before[PRIMARY] not in images(operator, PRIMARY)
    removed = again.output["removed"]
    assert removed["problems"] == []
    assert not set(removed["snapshots"]) & (snapshots(operator, DR) | snapshots(operator, PRIMARY))


def test_a_failover_starts_from_the_newest_good_one_and_says_its_age(operator: Operator) -> None:
    good = current(operator, DR)
    # Newer, and not to be started from: one whose copy failed, and one that a run left half done.
    refuse_the_key(operator, REFUSED)
    assert run(operator, PRIMARY, fresh=True).status == "FAILED"
    refuse_the_key(operator, None)
    ec2 = operator.lab.client("ec2")
    torn = ec2.copy_image(
        SourceImageId=current(operator, PRIMARY), SourceRegion=PRIMARY, Name="torn", Encrypted=True,
        TagSpecifications=[
            {
                "ResourceType": "image",
                "Tags": [
                    {"Key": "pilotlight:environment", "Value": "dev"},
                    {"Key": MARK, "Value": "unfinished"},
                    {"Key": PAIR, "Value": "torn"},
                ],
            }
        ],
    )["ImageId"]  # fmt: skip
    operator.until(lambda: images(operator, DR)[torn].state == "available", "the half-made one is there")
    told = Mailbox(operator, DR, "dev-dr-notifications")

    operator.lab.set_scale(20)
    operator.lab.lose(PRIMARY, "reset")
    arn = operator.start()
    ended = operator.end_of(arn)
    assert ended.status == "SUCCEEDED", ended.cause
    operator.never_waited_for_the_primary(arn)
    (plan,) = [
        json.loads(event["stateExitedEventDetails"]["output"])
        for event in operator.history(arn)
        if event.get("stateExitedEventDetails", {}).get("name") == "Plan"
    ]
    assert plan["image"] == good
    assert plan["image_version"] == "2.3.1"
    assert 0 <= plan["image_age_hours"] < 1
    assert any(f"{good} (version 2.3.1, " in step and "old)" in step for step in plan["steps"])
    assert f"{good} (version 2.3.1, " in told.next("failed over")
    # The schedule follows the record.
    events = operator.lab.client("events")
    operator.until(lambda: events.describe_rule(Name="dev-image")["State"] == "ENABLED", "DR's schedule is on")


def test_after_it_dr_makes_its_own_with_the_primary_lost(operator: Operator) -> None:
    mail = Mailbox(operator, DR, "dev-image")
    before = current(operator, DR)
    alone = run(operator, DR)
    assert (alone.status, alone.output["outcome"]) == ("SUCCEEDED", "published-alone"), alone.cause
    assert list(alone.output["published"]) == [DR]
    assert current(operator, DR) == alone.output["published"][DR] != before
    assert images(operator, DR)[current(operator, DR)].tags["pilotlight:epoch"] == "1"
    told = mail.next(f"NOT copied to {PRIMARY}")
    assert "does not answer" in told


def test_and_the_primary_that_comes_back_makes_none(operator: Operator) -> None:
    operator.lab.bring_back(PRIMARY)
    quiet = run(operator, PRIMARY)
    assert (quiet.status, quiet.output["outcome"]) == ("SUCCEEDED", "standing-by"), quiet.cause
    assert DR in quiet.output["detail"]
