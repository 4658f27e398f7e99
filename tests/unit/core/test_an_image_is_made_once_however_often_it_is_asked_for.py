"""The image function's steps against two regions of moto's: what they change, and that asking again changes no more."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from pilotlight.aws import clients, compute, executions, images, notes
from pilotlight.decide import images as decide
from pilotlight.errors import FatalError, PreconditionFailed, TransientError
from pilotlight.model import Group, Target
from tests.unit.core.conftest import Context, load

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PRIMARY, DR = "eu-west-1", "eu-central-1"
ACCOUNT = "123456789012"
TOPIC = f"arn:aws:sns:{PRIMARY}:{ACCOUNT}:dev-image"
ONE, TWO = (f"arn:aws:states:{PRIMARY}:{ACCOUNT}:execution:dev-image:{name}" for name in ("one", "two"))


class There(Context):
    invoked_function_arn = f"arn:aws:lambda:{PRIMARY}:{ACCOUNT}:function:dev-image"


class Ec2:
    """EC2 of moto's, which gives no tags to a copy, nor to the snapshots of an image."""

    def __init__(self, real: Any) -> None:
        self._real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def create_image(self, TagSpecifications: Any, **asked: Any) -> Any:  # noqa: N803 - AWS's name
        return self._tagged(self._real.create_image(**asked), TagSpecifications)

    def copy_image(self, TagSpecifications: Any, **asked: Any) -> Any:  # noqa: N803 - AWS's name
        return self._tagged(self._real.copy_image(**asked), TagSpecifications)

    def _tagged(self, made: Any, specifications: Any) -> Any:
        (image,) = self._real.describe_images(ImageIds=[made["ImageId"]])["Images"]
        snapshots = [disk["Ebs"]["SnapshotId"] for disk in image["BlockDeviceMappings"]]
        self._real.create_tags(Resources=[image["ImageId"], *snapshots], Tags=specifications[0]["Tags"])
        return made


class World:
    """Two regions as they are deployed, seen by the primary's function."""

    def __init__(self, aws: Any) -> None:
        self.aws = aws
        self.handler = load("image").handler
        self.run: dict[str, Any] = {}
        self.instance = ""

    def ask(self, action: str, execution: str = ONE, **more: Any) -> dict[str, Any]:
        answer: dict[str, Any] = self.handler({"action": action, "execution": execution, **more}, There())
        return answer

    def step(self, action: str, **more: Any) -> dict[str, Any]:
        """Take a step as the state machine does, which remembers what each answered."""
        answer = self.ask(action, run=self.run, waited=0, **more)
        self.run |= answer
        return answer

    def record(self, region: str, active: str) -> None:
        self.aws("ssm", region).put_parameter(
            Name="/dev/pilotlight/active-region", Value=active, Type="String", Overwrite=True
        )

    def current(self, region: str) -> str:
        found = self.aws("ssm", region).get_parameter(Name="/dev/pilotlight/image-id")
        return str(found["Parameter"]["Value"])

    def images(self, region: str) -> dict[str, dict[str, str]]:
        found = self.aws("ec2", region).describe_images(
            Owners=["self"], Filters=[{"Name": "tag:pilotlight:environment", "Values": ["dev"]}]
        )["Images"]
        return {one["ImageId"]: {tag["Key"]: tag["Value"] for tag in one["Tags"]} for one in found}


@pytest.fixture(autouse=True)
def _few_images(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No thousands of public images, which moto reads for every region of every test."""
    (tmp_path / "amis.json").write_text("[]")
    monkeypatch.setenv("MOTO_AMIS_PATH", str(tmp_path / "amis.json"))


@pytest.fixture
def world(aws: Any, monkeypatch: pytest.MonkeyPatch) -> World:
    for name, value in {"AWS_REGION": PRIMARY, "NOTIFICATION_TOPIC_ARN": TOPIC, "STATE_TABLE": "dev-dr-state"}.items():
        monkeypatch.setenv(name, value)
    world = World(aws)
    for region in (PRIMARY, DR):
        world.record(region, PRIMARY)
        aws("ssm", region).put_parameter(Name="/dev/pilotlight/image-id", Value="ami-first", Type="String")
        key = aws("kms", region).create_key()["KeyMetadata"]["KeyId"]
        aws("kms", region).create_alias(AliasName="alias/dev-pilotlight", TargetKeyId=key)
        aws("events", region).put_rule(Name="dev-image", ScheduleExpression="rate(1 day)", State="DISABLED")
        ec2 = aws("ec2", region)
        first = ec2.register_image(Name="base")["ImageId"]
        ec2.create_launch_template(LaunchTemplateName="dev-app", LaunchTemplateData={"ImageId": first})
        aws("autoscaling", region).create_auto_scaling_group(
            AutoScalingGroupName="dev-asg",
            LaunchTemplate={"LaunchTemplateName": "dev-app", "Version": "1"},
            AvailabilityZones=[f"{region}a"],
            MinSize=1 if region == PRIMARY else 0,
            MaxSize=1,
        )
    for name, region in (("dev-image", PRIMARY), ("dev-dr-state", DR)):
        aws("dynamodb", region).create_table(
            TableName=name,
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
    aws("sns", PRIMARY).create_topic(Name="dev-image")
    group = aws("autoscaling", PRIMARY).describe_auto_scaling_groups()["AutoScalingGroups"][0]
    world.instance = group["Instances"][0]["InstanceId"]
    aws("ec2", PRIMARY).create_tags(Resources=[world.instance], Tags=[{"Key": "pilotlight:version", "Value": "2.3"}])
    monkeypatch.setattr(executions, "is_running", lambda arn, _=None, **__: arn == ONE)
    real = clients.at
    fakes = {region: Ec2(real("ec2", region)) for region in (PRIMARY, DR)}
    monkeypatch.setattr(
        clients, "at", lambda service, region: fakes[region] if service == "ec2" else real(service, region)
    )
    return world


def published(world: World) -> None:
    world.run = world.ask("begin", input={})
    for action in ("choose", "make", "make", "copy", "copy", "publish"):
        world.step(action)


# --- Whose turn it is


def test_the_active_region_begins_and_knows_how_it_is_set(world: World) -> None:
    begun = world.ask("begin", input={})
    assert (begun["outcome"], begun["region"], begun["other"], begun["together"]) == ("go", PRIMARY, DR, True)
    assert (begun["epoch"], begun["keep"], begun["copy_minutes"], begun["fresh"]) == (0, 3, 0, False)
    assert world.ask("begin", input={"fresh": True})["fresh"] is True


def test_another_region_s_turn_is_left_to_it(world: World) -> None:
    world.record(PRIMARY, DR)
    assert world.ask("begin", input={})["outcome"] == "standing-by"
    # And a record of its own that is older than DR's is not believed.
    world.record(PRIMARY, PRIMARY)
    world.record(DR, DR)
    assert world.ask("begin", input={})["outcome"] == "standing-by"


def test_a_run_that_only_carries_what_is_newer_ends_where_nothing_is(world: World) -> None:
    published(world)
    begun = world.ask("begin", input={"only_if_newer": True})
    assert (begun["outcome"], begun["detail"]) == ("nothing-newer", f"{DR} has the newest image of {PRIMARY}")
    # One that was published alone: there is no copy.
    world.aws("ec2", DR).deregister_image(ImageId=world.run["copy"])
    assert world.ask("begin", input={"only_if_newer": True})["outcome"] == "go"
    # And a region that could not be given it gets none now.
    world.aws("ssm", DR).delete_parameter(Name="/dev/pilotlight/active-region")
    assert world.ask("begin", input={"only_if_newer": True})["outcome"] == "nothing-newer"


def test_a_second_run_ends_and_one_after_a_killed_run_begins(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    assert world.ask("begin", ONE, input={})["outcome"] == "go"
    second = world.ask("begin", TWO, input={})
    assert second["outcome"] == "running"
    assert ONE in second["detail"]
    assert world.ask("begin", ONE, input={})["outcome"] == "go"
    monkeypatch.setattr(executions, "is_running", lambda *_, **__: False)
    assert world.ask("begin", TWO, input={})["outcome"] == "go"
    # What is left of the first one, should it be at work still, publishes and removes nothing.
    for action in ("publish", "prune"):
        with pytest.raises(PreconditionFailed, match="another run makes images"):
            world.ask(action, ONE, run={"together": True, "region": PRIMARY, "other": DR})


def test_a_run_that_step_functions_does_not_know_yet_has_its_turn(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It tells what was so a moment ago."""
    monkeypatch.setattr(executions, "is_running", lambda *_, absent=False: absent)
    assert world.ask("begin", ONE, input={})["outcome"] == "go"
    assert world.ask("begin", TWO, input={})["outcome"] == "running"
    note = {"holder": ONE, "taken_at": "2026-01-01T00:00:00+00:00"}
    notes.write("dev-image", "run", note, world.aws("dynamodb", PRIMARY))
    assert world.ask("begin", TWO, input={})["outcome"] == "go"


def test_where_the_other_region_does_not_answer_the_run_is_alone(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    real = clients.at

    def lost(service: str, region: str) -> Any:
        if region == DR:
            raise EndpointConnectionError(endpoint_url="https://there")
        return real(service, region)

    monkeypatch.setattr(clients, "at", lost)
    begun = world.ask("begin", input={})
    assert (begun["outcome"], begun["together"], begun["epoch"]) == ("go", False, -1)
    assert begun["detail"] == f"{DR} does not answer"


@pytest.mark.parametrize(
    ("code", "family"), [("AccessDeniedException", FatalError), ("ThrottlingException", TransientError)]
)
def test_a_region_that_refuses_is_not_one_that_is_lost(
    code: str, family: type[Exception], world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A permission that is missing would otherwise be told as an outage, and an image published alone, every night."""
    real = clients.at

    def refused(service: str, region: str) -> Any:
        if region == DR:
            raise ClientError({"Error": {"Code": code, "Message": "no"}}, "GetParameters")
        return real(service, region)

    monkeypatch.setattr(clients, "at", refused)
    with pytest.raises(family):
        world.ask("begin", input={})


# --- The way of an image


def test_an_image_goes_all_the_way_and_each_step_twice_makes_one(world: World) -> None:
    world.run = world.ask("begin", input={})
    chosen = world.step("choose")
    assert (chosen["instance"], chosen["version"], chosen["adopted"]) == (world.instance, "2.3", "")
    assert world.step("make")["done"] is False
    assert world.step("make")["done"] is True
    made = world.step("make")
    (here,) = world.images(PRIMARY).items()
    assert here[0] == made["image"]
    assert here[1][decide.MARK] == decide.UNFINISHED
    assert (here[1][decide.VERSION], here[1][decide.SOURCE_INSTANCE]) == ("2.3", world.instance)

    assert world.step("copy")["done"] is False
    copied = world.step("copy")
    assert copied["done"] is True
    (there,) = world.images(DR).items()
    assert there[0] == copied["copy"]
    assert (there[1][decide.MARK], there[1][decide.SOURCE_IMAGE]) == (decide.UNFINISHED, made["image"])
    assert (world.current(PRIMARY), world.current(DR)) == ("ami-first", "ami-first")

    for _ in range(2):
        assert world.step("publish")["published"] == {PRIMARY: made["image"], DR: copied["copy"]}
    assert (world.current(PRIMARY), world.current(DR)) == (made["image"], copied["copy"])
    for region in (PRIMARY, DR):
        (tags,) = world.images(region).values()
        assert tags[decide.MARK] == decide.PUBLISHED
        assert tags[decide.CREATED] == made["created"]


def test_the_next_run_goes_on_with_what_was_left(world: World) -> None:
    world.run = world.ask("begin", input={})
    for action in ("choose", "make", "make", "copy"):
        world.step(action)
    half_done, pair = world.run["image"], world.run["pair"]
    world.run = world.ask("begin", input={})
    again = world.step("choose")
    assert (again["adopted"], again["pair"]) == (half_done, pair)
    for action in ("make", "copy", "publish"):
        world.step(action)
    assert len(world.images(PRIMARY)) == len(world.images(DR)) == 1
    world.run = world.ask("begin", input={"fresh": True})
    assert world.step("choose")["adopted"] == ""


def test_a_run_that_ended_while_it_published_is_gone_on_with(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.run = world.ask("begin", input={})
    for action in ("choose", "make", "make", "copy", "copy"):
        world.step(action)
    before = world.run["image"], world.run["copy"]
    note = images.note

    def ends_after_the_copy(image: str, tags: Any, client: Any = None) -> None:
        if image == before[0]:
            raise ConnectionError
        note(image, tags, client)

    with monkeypatch.context() as patched:
        patched.setattr(images, "note", ends_after_the_copy)
        with pytest.raises(FatalError):
            world.step("publish")
    world.run = world.ask("begin", input={})
    assert world.step("choose")["adopted"] == before[0]
    for action in ("make", "copy", "publish"):
        world.step(action)
    assert (world.current(PRIMARY), world.current(DR)) == before
    assert {tags[decide.MARK] for region in (PRIMARY, DR) for tags in world.images(region).values()} == {"published"}


def test_an_instance_is_taken_when_its_load_balancer_finds_it_healthy(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = compute.group

    def group(*asked: Any) -> Group:
        found = real(*asked)
        assert found
        return replace(found, target_groups=("arn:group",))

    monkeypatch.setattr(compute, "group", group)
    state = "initial"

    def targets(groups: Any, client: Any) -> tuple[Target, ...]:
        assert (groups, client.meta.region_name) == (("arn:group",), PRIMARY)
        return (Target(world.instance, state, "Elb.InitialHealthChecking"),)

    monkeypatch.setattr(compute, "targets", targets)
    world.run = world.ask("begin", input={})
    assert world.step("choose") == {"done": False}
    with pytest.raises(PreconditionFailed, match="its target initial, Elb.InitialHealthChecking"):
        world.ask("choose", run=world.run, waited=decide.INSTANCE_BUDGET)
    state = "healthy"
    chosen = world.step("choose")
    assert (chosen["done"], chosen["instance"]) == (True, world.instance)


def test_a_step_after_a_switch_changes_nothing(world: World) -> None:
    published(world)
    before = world.current(DR)
    world.record(PRIMARY, DR)
    for action in ("publish", "prune"):
        with pytest.raises(PreconditionFailed, match=f"{DR} is recorded as active by now"):
            world.step(action)
    # A switch is recorded in DR first.
    world.record(PRIMARY, PRIMARY)
    world.record(DR, DR)
    for action in ("publish", "prune"):
        with pytest.raises(PreconditionFailed, match=f"{DR} is recorded as active in {DR} by now"):
            world.step(action)
    assert world.current(DR) == before
    world.run |= {"pair": "another"}
    with pytest.raises(PreconditionFailed):
        world.step("make")


def test_a_region_that_is_lost_meanwhile_is_left_out(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.run = world.ask("begin", input={})
    for action in ("choose", "make", "make", "copy", "copy"):
        world.step(action)
    real = clients.at

    def lost(service: str, region: str) -> Any:
        if region == DR:
            raise EndpointConnectionError(endpoint_url="https://there")
        return real(service, region)

    with monkeypatch.context() as away:
        away.setattr(clients, "at", lost)
        told = world.step("publish")
        assert (told["together"], told["detail"]) == (False, f"{DR} does not answer")
        assert told["published"] == {PRIMARY: world.run["image"]}
        assert world.step("prune") == {"images": [], "snapshots": [], "problems": []}
    assert (world.current(PRIMARY), world.current(DR)) == (world.run["image"], "ami-first")
    # Its copy is half done: the next run publishes it.
    world.run = world.ask("begin", input={})
    world.step("choose")
    assert world.run["adopted"]


def test_one_that_ec2_accepts_and_never_lists_is_given_up(world: World) -> None:
    world.run = world.ask("begin", input={})
    for action in ("choose", "make", "make", "copy"):
        world.step(action)
    tokens = [copied(world)]
    world.aws("ec2", DR).deregister_image(ImageId=world.run["copy"])
    late: dict[str, Any] = {"run": world.run, "waited": decide.UNLISTED_BUDGET}
    with pytest.raises(PreconditionFailed, match=f"the copy of {world.run['image']} in {DR} was asked for"):
        world.ask("copy", **late)
    # The next one is another attempt: EC2 would answer the same token with the one that is gone.
    tokens.append(copied(world))
    assert len(set(tokens)) == 2
    world.aws("ec2", PRIMARY).deregister_image(ImageId=world.run["image"])
    with pytest.raises(PreconditionFailed, match=f"image {world.run['pair']} in {PRIMARY} was asked for"):
        world.ask("make", **late)
    assert world.images(PRIMARY) == {}


def copied(world: World) -> str:
    """The token of the next copy."""
    (source,) = compute.images("dev", world.aws("ec2", PRIMARY))
    return decide.copy_token(source)


class Refusing:
    """EC2 of the other region, where a copy has failed for its key."""

    def __init__(self, real: Any) -> None:
        self._real = real
        self.tokens: list[str] = []
        self.names: list[str] = []
        self.failing = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def copy_image(self, **asked: Any) -> Any:
        self.tokens.append(asked["ClientToken"])
        self.names.append(asked["Name"])
        return self._real.copy_image(**asked)

    def get_paginator(self, name: str) -> Any:
        real, failing = self._real.get_paginator(name), self.failing
        if name != "describe_images":
            return real

        class Pages:
            def paginate(self, **asked: Any) -> Iterator[Any]:
                for page in real.paginate(**asked):
                    for image in page["Images"] if failing else ():
                        image |= {"State": "failed", "StateReason": {"Message": "Given key ID is not accessible"}}
                    yield page

        return Pages()


def test_a_copy_that_failed_is_marked_and_the_next_attempt_is_another(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = clients.at
    refusing = Refusing(real("ec2", DR))
    monkeypatch.setattr(
        clients, "at", lambda service, region: refusing if (service, region) == ("ec2", DR) else real(service, region)
    )
    world.run = world.ask("begin", input={})
    for action in ("choose", "make", "make", "copy"):
        world.step(action)
    with pytest.raises(PreconditionFailed, match="Given key ID is not accessible"):
        world.step("copy")
    (tags,) = world.images(DR).values()
    assert tags[decide.MARK] == decide.FAILED
    (source,) = world.images(PRIMARY).values()
    assert source[decide.TRIES] == "1"
    refusing.failing = False
    world.step("copy")
    assert len(set(refusing.tokens)) == len(set(refusing.names)) == 2
    assert world.step("copy")["copy"] in world.images(DR)


def test_a_name_that_exists_and_is_not_listed_yet_is_looked_for_again() -> None:
    class Ec2:
        def create_image(self, **_: Any) -> None:
            raise ClientError({"Error": {"Code": "InvalidAMIName.Duplicate", "Message": ""}}, "CreateImage")

    with pytest.raises(TransientError, match="look again"):
        images.create("i-1", "dev-app-1", {}, Ec2())


def test_a_time_is_bought_only_where_one_is_set() -> None:
    asked: list[dict[str, Any]] = []

    class Ec2:
        def copy_image(self, **given: Any) -> dict[str, str]:
            asked.append(given)
            return {"ImageId": "ami-2"}

    for minutes in (0, 45):
        images.copy("ami-1", PRIMARY, "n", "alias/k", {"a": "b"}, "token", minutes, Ec2())
    assert "SnapshotCopyCompletionDurationMinutes" not in asked[0]
    assert asked[1]["SnapshotCopyCompletionDurationMinutes"] == 45
    assert asked[0]["Encrypted"] is True
    assert [one["ResourceType"] for one in asked[0]["TagSpecifications"]] == ["image", "snapshot"]


# --- What is looked at, removed, measured


class Pages:
    """A client whose listings are given, and that notes what it is told to remove."""

    def __init__(self, **pages: Any) -> None:
        self._pages = pages
        self.asked: list[dict[str, Any]] = []

    def get_paginator(self, name: str) -> Any:
        world = self

        class Paginator:
            def paginate(self, **asked: Any) -> list[Any]:
                world.asked.append(asked)
                found = world._pages[name]
                return [found(asked)] if callable(found) else [found]

        return Paginator()


def test_what_any_template_or_instance_or_group_refers_to_is_in_use() -> None:
    def versions(asked: dict[str, Any]) -> dict[str, Any]:
        named = {"lt-1": "ami-group", "lt-2": "ami-mixed"}.get(asked.get("LaunchTemplateId", ""), "ami-latest")
        return {"LaunchTemplateVersions": [{"LaunchTemplateData": {"ImageId": named}}, {"LaunchTemplateData": {}}]}

    ec2 = Pages(
        describe_instances={"Reservations": [{"Instances": [{"ImageId": "ami-running"}]}]},
        describe_launch_template_versions=versions,
    )
    groups = [
        {"LaunchTemplate": {"LaunchTemplateId": "lt-1", "Version": "7"}},
        {"MixedInstancesPolicy": {"LaunchTemplate": {"LaunchTemplateSpecification": {"LaunchTemplateId": "lt-2"}}}},
        {"LaunchConfigurationName": "old"},
    ]
    scaling = Pages(describe_auto_scaling_groups={"AutoScalingGroups": groups})
    ours = ["ami-running", "ami-latest", "ami-group", "ami-mixed", "ami-free"]
    assert images.in_use(ours, ec2, scaling) == set(ours) - {"ami-free"}
    assert {"LaunchTemplateId": "lt-1", "Versions": ["7"]} in ec2.asked
    assert {"LaunchTemplateId": "lt-2", "Versions": ["$Default"]} in ec2.asked


@pytest.mark.parametrize("code", ["InvalidLaunchTemplateId.VersionNotFound", "InvalidLaunchTemplateId.NotFound"])
def test_what_an_instance_was_started_by_and_is_deleted_since_hides_nothing_else(code: str) -> None:
    def versions(asked: dict[str, Any]) -> dict[str, Any]:
        gone = asked.get("LaunchTemplateId") == "lt-gone" or "3" in asked["Versions"]
        if gone:
            raise ClientError({"Error": {"Code": code, "Message": "no"}}, "DescribeLaunchTemplateVersions")
        named = asked["Versions"][0].replace("$Latest", "latest")
        return {"LaunchTemplateVersions": [{"LaunchTemplateData": {"ImageId": f"ami-{named}"}}]}

    ec2 = Pages(describe_instances={"Reservations": []}, describe_launch_template_versions=versions)
    started = [{"LaunchTemplate": {"LaunchTemplateId": "lt-1", "Version": number}} for number in ("3", "4")]
    groups = [
        {"LaunchTemplate": {"LaunchTemplateId": "lt-1", "Version": "5"}, "Instances": started},
        {"LaunchTemplate": {"LaunchTemplateId": "lt-gone", "Version": "1"}},
    ]
    scaling = Pages(describe_auto_scaling_groups={"AutoScalingGroups": groups})
    assert images.in_use(["ami-3", "ami-4", "ami-5", "ami-latest"], ec2, scaling) == {"ami-4", "ami-5", "ami-latest"}


def test_another_refusal_than_that_it_is_gone_removes_nothing() -> None:
    def versions(asked: dict[str, Any]) -> dict[str, Any]:
        if "LaunchTemplateId" in asked:
            raise ClientError({"Error": {"Code": "UnauthorizedOperation", "Message": "no"}}, "Describe")
        return {"LaunchTemplateVersions": []}

    ec2 = Pages(describe_instances={"Reservations": []}, describe_launch_template_versions=versions)
    groups = [{"LaunchTemplate": {"LaunchTemplateId": "lt-1", "Version": "5"}}]
    with pytest.raises(ClientError):
        images.in_use(["ami-1"], ec2, Pages(describe_auto_scaling_groups={"AutoScalingGroups": groups}))


@pytest.mark.parametrize(
    ("code", "told"),
    [("InvalidAMIID.NotFound", ""), ("InvalidSnapshot.InUse", "snap-1: no"), ("UnauthorizedOperation", "snap-1: no")],
)
def test_what_is_gone_is_gone_and_what_is_in_the_way_is_told(code: str, told: str) -> None:
    class Ec2:
        def delete_snapshot(self, **_: Any) -> None:
            raise ClientError({"Error": {"Code": code, "Message": "no"}}, "DeleteSnapshot")

    assert images.delete_snapshot("snap-1", Ec2()) == told


def test_old_ones_are_removed_in_both_regions_and_nothing_without_the_other_one(world: World) -> None:
    published(world)
    old = dict(world.run)
    for region, image in ((PRIMARY, old["image"]), (DR, old["copy"])):
        yesterday = [{"Key": decide.CREATED, "Value": "2026-01-01T02:15:00.000Z"}]
        world.aws("ec2", region).create_tags(Resources=[image], Tags=yesterday)
    world.aws("ssm", PRIMARY).put_parameter(Name="/dev/pilotlight/config/image-keep", Value="1", Type="String")
    world.run = world.ask("begin", input={"fresh": True})
    world.step("choose")
    world.run["pair"] = "dev-app-later"
    for action in ("make", "make", "copy", "copy", "publish"):
        world.step(action)
    assert world.ask("prune", run=world.run | {"together": False})["images"] == []
    removed = world.ask("prune", run=world.run)
    assert removed["problems"] == []
    assert set(removed["images"]) == {old["image"], old["copy"]}
    assert len(removed["snapshots"]) == 2
    assert set(world.images(PRIMARY)) == {world.run["image"]}
    assert set(world.images(DR)) == {world.run["copy"]}
    again = world.ask("prune", run=world.run)
    assert again == {"images": [], "snapshots": [], "problems": []}


def test_the_schedule_follows_the_record_and_the_age_is_measured_by_role(world: World) -> None:
    events, metrics = world.aws("events", PRIMARY), world.aws("cloudwatch", PRIMARY)

    def roles() -> set[str]:
        found = metrics.list_metrics(Namespace="PilotLight", MetricName="ImageAgeHours")["Metrics"]
        return {d["Value"] for one in found for d in one["Dimensions"] if d["Name"] == "Role"}

    assert world.ask("watch")["age_hours"] == decide.NO_IMAGE_HOURS
    assert events.describe_rule(Name="dev-image")["State"] == "ENABLED"
    assert roles() == {"active"}
    world.record(PRIMARY, DR)
    world.ask("watch")
    assert events.describe_rule(Name="dev-image")["State"] == "DISABLED"
    assert roles() == {"active", "standby"}


def test_a_failure_is_told_even_where_it_cannot_be_measured(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str] = []
    monkeypatch.setattr("pilotlight.aws.notify.publish", lambda _arn, subject, message: sent.append(subject + message))

    def refuse(*_: Any) -> None:
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": ""}}, "PutMetricData")

    monkeypatch.setattr("pilotlight.aws.metrics.put", refuse)
    error = {"Error": "PreconditionFailed", "Cause": json.dumps({"errorMessage": "the key is Disabled"})}
    assert world.ask("fail", error=error) == {"error": "PreconditionFailed", "cause": "the key is Disabled"}
    assert "the key is Disabled" in sent[0]
    run = {"together": True, "region": PRIMARY, "other": DR, "pair": "p", "image": "ami-1", "detail": ""}
    assert world.ask("tell", run=run, removed={"problems": []}) == {"told": False}
    assert world.ask("tell", run=run | {"together": False}, removed={"problems": []}) == {"told": True}
    assert len(sent) == 2


def test_a_run_that_could_tell_nothing_is_told_of_by_the_rule(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[str, str, str]] = []
    monkeypatch.setattr("pilotlight.aws.notify.publish", lambda *told: sent.append(told))
    assert world.ask("ended", ONE, status="TIMED_OUT") == {"told": True}
    ((topic, subject, message),) = sent
    assert (topic, subject[:26]) == (TOPIC, "[dev] IMAGE TIMED_OUT in e")
    assert ONE in message
    assert "goes on with what is half done" in message
    metrics = world.aws("cloudwatch", PRIMARY).list_metrics(Namespace="PilotLight", MetricName="ImageRunsFailed")
    assert metrics["Metrics"]


def test_a_run_that_told_of_its_failure_is_not_told_of_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[Any] = []
    monkeypatch.setattr("pilotlight.aws.notify.publish", lambda *told: sent.append(told))
    assert world.ask("ended", ONE, status="FAILED", error="PreconditionFailed") == {"told": False}
    assert sent == []
    assert world.ask("ended", ONE, status="FAILED", error="States.DataLimitExceeded") == {"told": True}
    assert "FAILED by States.DataLimitExceeded" in sent[0][2]
