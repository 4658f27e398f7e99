"""The functions against an AWS of moto's: what they change, and that asking again changes nothing more."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from pilotlight.aws import clients, compute, database, executions, notes, workload
from pilotlight.aws.record import Store
from pilotlight.decide import failover, protection
from pilotlight.decide.workload import to_active
from pilotlight.errors import FatalError, PreconditionFailed, TransientError
from pilotlight.model import Record, as_json
from tests.unit.core.conftest import Context, load
from tests.unit.core.samples import (
    DOOR,
    DR,
    EMPTY_GROUP,
    EXECUTION,
    HELD,
    IMAGE,
    OTHER,
    PRIMARY,
    REPLICA,
    SETTINGS,
    event,
    plan,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ACCOUNT = "123456789012"


def hold(table: str) -> Store:
    store = Store(table, PRIMARY)
    assert store.replace(store.read(), HELD)
    return store


class Rds:
    """A replica as RDS has it: promoting starts late, takes a while, and is refused where there is nothing to do."""

    def __init__(self, status: str = "available") -> None:
        self.instance: dict[str, Any] = {
            "DBInstanceStatus": status,
            "ReadReplicaSourceDBInstanceIdentifier": f"arn:aws:rds:{PRIMARY}:{ACCOUNT}:db:dev-db",
            "StatusInfos": [{"StatusType": "read replication", "Normal": False, "Status": "error"}],
            "BackupRetentionPeriod": 1,
        }
        self.promotions: list[dict[str, Any]] = []

    def describe_db_instances(self, **_: Any) -> dict[str, Any]:
        return {"DBInstances": [self.instance]}

    def promote_read_replica(self, **asked: Any) -> None:
        if self.promotions or self.instance["DBInstanceStatus"] != "available":
            raise ClientError({"Error": {"Code": "InvalidDBInstanceState", "Message": ""}}, "PromoteReadReplica")
        # The status still reads "available", and the source is still named: the trap.
        self.promotions.append(asked)

    def end_promotion(self) -> None:
        self.instance = {"DBInstanceStatus": "available", "BackupRetentionPeriod": 7}


@pytest.fixture
def rds(aws: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rds]:
    fake, real = Rds(), clients.near
    with monkeypatch.context() as patched:
        patched.setattr(clients, "near", lambda service: fake if service == "rds" else real(service))
        yield fake


def test_a_replica_is_promoted_once_with_the_planned_retention(rds: Rds, state_table: str) -> None:
    hold(state_table)
    promote = load("database").handler
    assert promote(event("promote"), Context()) == {"done": False, "status": "promotion requested", "waited": 0}
    # A second look before RDS shows it: refused by RDS, and no error.
    assert not promote(event("promote", waited=5), Context())["done"]
    rds.end_promotion()
    assert promote(event("promote", waited=10), Context())["done"]
    assert promote(event("promote"), Context())["done"]
    assert rds.promotions == [{"DBInstanceIdentifier": "dev-db", "BackupRetentionPeriod": 7}]


def test_the_promotion_is_noted_before_it_is_asked_for(rds: Rds, state_table: str) -> None:
    store = hold(state_table)
    seen: list[str] = []
    rds.promote_read_replica = lambda **_: seen.append(store.read().promotion)  # type: ignore[method-assign]
    load("database").handler(event("promote"), Context())
    assert seen == [store.read().promotion]
    assert seen[0]


def test_a_database_that_was_promoted_by_hand_is_noted_as_well(rds: Rds, state_table: str) -> None:
    store = hold(state_table)
    rds.end_promotion()
    assert load("database").handler(event("promote"), Context())["done"]
    assert store.read().promotion
    assert rds.promotions == []


def test_a_replica_that_is_backing_up_is_left_alone_until_it_is_available(rds: Rds, state_table: str) -> None:
    hold(state_table)
    promote = load("database").handler
    rds.instance["DBInstanceStatus"] = "backing-up"
    assert "backing-up" in promote(event("promote"), Context())["status"]
    assert rds.promotions == []
    rds.instance["DBInstanceStatus"] = "available"
    promote(event("promote", waited=5), Context())
    assert len(rds.promotions) == 1


def test_a_missing_database_is_a_fact(aws: Any) -> None:
    assert database.describe("dev-db", aws("rds")) is None


@pytest.mark.parametrize(
    ("function", "action"),
    [
        ("database", "lag"),
        ("database", "prove"),
        ("database", "commit"),
        ("database", "promote"),
        ("database", "open"),
        ("compute", "pin"),
        ("compute", "raise"),
        ("workload", "activate"),
        ("verify", "verify"),
        ("control", "record"),
        ("control", "finish"),
        ("control", "plan"),
        ("fence", "close"),
    ],
)
def test_a_step_of_another_epoch_touches_nothing(function: str, action: str, state_table: str) -> None:
    hold(state_table)
    stale = event(action, epoch=2, source=PRIMARY, version="1")
    with pytest.raises(FatalError, match="changed nothing"):
        load(function).handler(stale, Context())
    with pytest.raises(FatalError, match="changed nothing"):
        load(function).handler(stale | {"epoch": 3, "execution": OTHER}, Context())


@pytest.mark.parametrize(
    ("mode", "promotion", "insists", "refused"),
    [
        ("graceful", "", False, True),
        ("graceful", "", True, False),
        # Past the point of no return the source may be lost; of a lost one nothing is asked at all.
        ("graceful", "2026-11-02T03:04:05+00:00", False, False),
        ("ungraceful", "", False, False),
    ],
)
def test_a_planned_switch_leaves_no_newer_image_behind(
    mode: str, promotion: str, insists: bool, refused: bool, state_table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, control, asked = hold(state_table), load("control"), []
    seen = store.read()
    assert store.replace(seen, replace(seen, mode=mode, promotion=promotion))
    newer = replace(
        IMAGE, identifier="ami-9", created="2026-11-09T00:00:00.000Z", tags={"pilotlight:image": "published"}
    )

    def images(_: str, client: Any) -> tuple[Any, ...]:
        asked.append(client.meta.region_name)
        return (newer,) if client.meta.region_name == PRIMARY else (IMAGE,)

    monkeypatch.setattr(compute, "images", images)
    monkeypatch.setattr(control, "_settings", lambda _: SETTINGS)
    for adapter, name, found in (
        (database, "describe", REPLICA), (compute, "group", EMPTY_GROUP), (compute, "door", DOOR),
        (workload, "functions", ()),
    ):  # fmt: skip
        monkeypatch.setattr(adapter, name, lambda *_, found=found: found)
    step = event("plan", insists=insists)
    if refused:
        with pytest.raises(PreconditionFailed, match=f"{PRIMARY}, which is active, has a newer one, ami-9"):
            control.handler(step, Context())
    else:
        assert control.handler(step, Context())["image"] == IMAGE.identifier
        assert PRIMARY not in asked


@pytest.mark.parametrize(("function", "action"), [("database", "commit"), ("control", "record")])
def test_a_late_step_notes_nothing_in_somebody_elses_switch(
    function: str, action: str, state_table: str, overtaken: Callable[..., None]
) -> None:
    store = hold(state_table)
    overtaken(epoch=4, holder=OTHER, target=PRIMARY, active_region=DR)
    with pytest.raises(FatalError, match="changed nothing"):
        load(function).handler(event(action), Context())
    assert store.read() == replace(HELD, epoch=4, holder=OTHER, target=PRIMARY, active_region=DR)


def template(aws: Any) -> Any:
    ec2 = aws("ec2")
    ec2.create_launch_template(
        LaunchTemplateName="dev-app", LaunchTemplateData={"ImageId": "resolve:ssm:/x", "InstanceType": "t4g.small"}
    )
    return ec2


def test_an_image_is_pinned_once_and_the_rest_of_the_template_stays(aws: Any) -> None:
    ec2 = template(aws)
    assert compute.pinned_version("dev-app", "ami-2", ec2) == "2"
    assert compute.pinned_version("dev-app", "ami-2", ec2) == "2"
    versions = ec2.describe_launch_template_versions(LaunchTemplateName="dev-app")["LaunchTemplateVersions"]
    assert len(versions) == 2
    newest = max(versions, key=lambda version: int(version["VersionNumber"]))
    assert newest["LaunchTemplateData"]["ImageId"] == "ami-2"


def test_the_region_is_recorded_where_deployments_look(aws: Any, state_table: str) -> None:
    store = hold(state_table)
    aws("ssm").put_parameter(Name="/dev/pilotlight/active-region", Value=PRIMARY, Type="String")
    control = load("control").handler
    for _ in range(2):
        assert control(event("record"), Context())["active_region"] == DR
    assert store.read().active_region == DR
    assert aws("ssm").get_parameter(Name="/dev/pilotlight/active-region")["Parameter"]["Value"] == DR


def back(aws: Any, state_table: str) -> Store:
    """A planned switch to the primary that holds the lock."""
    for region in (PRIMARY, DR):
        aws("ssm", region).put_parameter(Name="/dev/pilotlight/active-region", Value=DR, Type="String")
    store = Store(state_table, PRIMARY)
    held = replace(HELD, mode="graceful", active_region=DR, source=DR, target=PRIMARY, since=2)
    assert store.replace(store.read(), held)
    return store


def read(aws: Any, region: str, name: str = "active-region") -> str:
    return str(aws("ssm", region).get_parameter(Name=f"/dev/pilotlight/{name}")["Parameter"]["Value"])


def test_a_way_back_is_recorded_in_the_primary_with_the_epoch_since_when(aws: Any, state_table: str) -> None:
    store = back(aws, state_table)
    control = load("control").handler
    for _ in range(2):
        assert control(event("record"), Context())["active_region"] == PRIMARY
    assert (store.read().active_region, store.read().since) == (PRIMARY, 3)
    assert (read(aws, PRIMARY), read(aws, DR)) == (PRIMARY, DR)
    # Taken over and recorded again, it is active since the first time.
    assert store.replace(store.read(), replace(store.read(), epoch=4))
    control(event("record", epoch=4), Context())
    assert (store.read().epoch, store.read().since) == (4, 3)


def test_that_a_region_was_made_active_on_purpose_is_known_after_its_standby_was_built(
    aws: Any, state_table: str
) -> None:
    """Then the alarm rings that the primary answers, as it always has: nothing goes back for that."""
    aws("ssm").put_parameter(Name="/dev/pilotlight/active-region", Value=PRIMARY, Type="String")
    store, control = Store(state_table, PRIMARY), load("control").handler
    assert store.replace(store.read(), replace(HELD, mode="graceful"))
    control(event("record"), Context())
    assert store.replace(store.read(), failover.released(store.read()))
    seen, now = store.read(), dt.datetime.now(dt.UTC)
    assert store.replace(seen, protection.take(seen, protection.Asked(), PRIMARY, OTHER, now))
    assert store.replace(store.read(), failover.released(store.read()))
    built = store.read()
    assert (built.active_region, built.mode, built.switched) == (DR, "reprotect", "graceful")
    # Recorded again by a run of another kind, it is what it was; and a loss is no purpose.
    assert store.replace(built, replace(built, lock="held", epoch=3, holder=EXECUTION, mode="ungraceful", target=DR))
    control(event("record"), Context())
    assert store.read().switched == "graceful"
    assert store.replace(store.read(), replace(store.read(), active_region=PRIMARY))
    control(event("record"), Context())
    assert store.read().switched == "ungraceful"


def test_what_is_left_follows_the_record_in_its_own_region(aws: Any, state_table: str) -> None:
    back(aws, state_table)
    planned = event("stand_down", source=DR, plan=as_json(plan(source=DR, target=PRIMARY, mode="graceful")))
    load("source").handler(planned, Context())
    assert (read(aws, PRIMARY), read(aws, DR)) == (DR, PRIMARY)


def test_the_image_is_pinned_and_recorded_in_the_target(aws: Any, state_table: str) -> None:
    back(aws, state_table)
    ec2 = aws("ec2", PRIMARY)
    ec2.create_launch_template(LaunchTemplateName="dev-app", LaunchTemplateData={"ImageId": "ami-1"})
    zone = ec2.describe_availability_zones()["AvailabilityZones"][0]["ZoneName"]
    aws("autoscaling", PRIMARY).create_auto_scaling_group(
        AutoScalingGroupName="dev-asg",
        LaunchTemplate={"LaunchTemplateName": "dev-app", "Version": "1"},
        MinSize=0,
        MaxSize=4,
        AvailabilityZones=[zone],
    )
    there = event("pin", plan=as_json(plan(source=DR, target=PRIMARY, mode="graceful")))
    assert load("compute").handler(there, Context()) == {"version": "2", "image": "ami-2"}
    assert read(aws, PRIMARY, "image-id") == "ami-2"
    with pytest.raises(aws("ssm").exceptions.ParameterNotFound):
        read(aws, DR, "image-id")


class Frozen:
    """A promoted database that an earlier switch left frozen behind its closed door; every client of its region."""

    def __init__(self) -> None:
        self.read_only, self.door, self.changes = "1", "sg-closed", []  # type: tuple[str, str, list[str]]

    def describe_db_instances(self, **_: Any) -> dict[str, Any]:
        groups = [{"VpcSecurityGroupId": self.door, "Status": "active"}]
        return {"DBInstances": [{"DBInstanceStatus": "available", "VpcSecurityGroups": groups}]}

    def get_paginator(self, _: str) -> Any:
        return self

    def paginate(self, **_: Any) -> list[dict[str, Any]]:
        return [{"Parameters": [{"ParameterName": "read_only", "ParameterValue": self.read_only}]}]

    def modify_db_parameter_group(self, **asked: Any) -> None:
        self.read_only = asked["Parameters"][0]["ParameterValue"]
        self.changes.append("thawed")

    def modify_db_instance(self, **asked: Any) -> None:
        (self.door,) = asked["VpcSecurityGroupIds"]
        self.changes.append("opened")

    def describe_security_groups(self, **_: Any) -> dict[str, Any]:
        doors = ("open", "closed")
        return {
            "SecurityGroups": [
                {"GroupId": f"sg-{door}", "Tags": [{"Key": "pilotlight:door", "Value": door}]} for door in doors
            ]
        }


def test_a_promoted_database_that_was_left_frozen_is_opened_and_noted_first(
    aws: Any, state_table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, frozen, real = hold(state_table), Frozen(), clients.near
    monkeypatch.setattr(clients, "near", lambda service: real(service) if service == "dynamodb" else frozen)
    opening = load("database").handler
    first = opening(event("open"), Context())
    assert (first["done"], first["was_frozen"], first["was_shut"]) == (False, True, True)
    assert frozen.changes == ["thawed", "opened"]
    assert store.read().promotion
    second = opening(event("open", waited=5), Context())
    assert (second["done"], second["was_frozen"], second["was_shut"]) == (True, False, False)
    assert len(frozen.changes) == 2


def test_a_promoted_database_that_is_open_is_left_alone(
    aws: Any, state_table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, there, real = hold(state_table), Frozen(), clients.near
    there.read_only, there.door = "{TrueIfReplica}", "sg-open"
    monkeypatch.setattr(clients, "near", lambda service: real(service) if service == "dynamodb" else there)
    assert load("database").handler(event("open"), Context())["done"]
    assert there.changes == []
    assert store.read().promotion == ""


def test_the_point_of_no_return_is_noted_once(aws: Any, state_table: str) -> None:
    store = hold(state_table)
    commit = load("database").handler
    noted = commit(event("commit"), Context())["noted"]
    assert noted
    assert store.replace(store.read(), replace(store.read(), promotion="2026-11-02T03:04:05+00:00"))
    assert commit(event("commit"), Context())["noted"] == "2026-11-02T03:04:05+00:00"


class Hangs:
    """A region that takes a connection and never answers."""

    def __getattr__(self, name: str) -> Any:
        def hang(**_: Any) -> None:
            raise ReadTimeoutError(endpoint_url="https://rds.eu-west-1.amazonaws.com")

        return hang


def test_a_source_is_opened_though_the_target_hangs(
    aws: Any, state_table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, frozen, real = back(aws, state_table), Frozen(), clients.near
    monkeypatch.setattr(clients, "patient", lambda service, region: Hangs())
    monkeypatch.setattr(clients, "near", lambda service: real(service) if service == "dynamodb" else frozen)
    asked = event("open", source=DR, plan=as_json(plan(source=DR, target=PRIMARY, mode="graceful", functions=())))
    source = load("source").handler
    assert source(asked, Context())["opened"]
    assert (frozen.read_only, frozen.door) == ("{TrueIfReplica}", "sg-open")
    # The record is near, and what it has noted stands.
    assert store.replace(store.read(), replace(store.read(), promotion="2026-11-02T03:04:05+00:00"))
    with pytest.raises(PreconditionFailed, match="point of no return"):
        source(asked, Context())


class Throttles:
    """A region that answers that it is asked too often."""

    def __getattr__(self, name: str) -> Any:
        def refuse(**_: Any) -> None:
            raise ClientError({"Error": {"Code": "Throttling", "Message": "Rate exceeded"}}, "DescribeDBInstances")

        return refuse


def test_a_target_that_throttles_is_asked_again_before_a_source_is_opened_beside_it(
    aws: Any, state_table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be a primary by now, whatever the record says: only one that is lost is not asked."""
    back(aws, state_table)
    frozen, real = Frozen(), clients.near
    monkeypatch.setattr(clients, "patient", lambda service, region: Throttles())
    monkeypatch.setattr(clients, "near", lambda service: real(service) if service == "dynamodb" else frozen)
    asked = event("open", source=DR, plan=as_json(plan(source=DR, target=PRIMARY, mode="graceful", functions=())))
    with pytest.raises(TransientError, match="Rate exceeded"):
        load("source").handler(asked, Context())
    assert frozen.changes == []


NAMED = {"Name": "/dev/pilotlight/config/workload-functions", "Value": "reports"}


class Team:
    """A team's functions, all off: what is tagged, and how each is switched."""

    meta = SimpleNamespace(region_name=DR)

    def list_tags(self, **_: Any) -> dict[str, Any]:
        return {"Tags": {}}

    def __init__(self) -> None:
        self.on: list[str] = []

    def get_paginator(self, name: str) -> Any:
        pages = {
            "get_resources": [{"ResourceTagMappingList": [{"ResourceARN": "arn:x:function:dev-orders", "Tags": []}]}],
            "get_parameters_by_path": [{"Parameters": [NAMED]}],
        }
        return type("Pages", (), {"paginate": lambda _self, **_: pages.get(name, [{"EventSourceMappings": []}])})()

    def get_function_concurrency(self, **_: Any) -> dict[str, int]:
        return {"ReservedConcurrentExecutions": 0}

    def delete_function_concurrency(self, FunctionName: str) -> None:  # noqa: N803 - AWS's own word
        self.on.append(FunctionName)


def alone(frozen: Frozen, team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave a region alone with its database and its functions: the other one hangs."""
    real = clients.near
    by_service = {"rds": frozen, "ec2": frozen, "dynamodb": real("dynamodb")}
    monkeypatch.setattr(clients, "patient", lambda service, region: Hangs())
    monkeypatch.setattr(clients, "near", lambda service: by_service.get(service, team))


def test_a_source_is_opened_without_a_plan_though_the_target_hangs(
    aws: Any, state_table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An earlier run left it closed, and the other region, which a plan would have to ask, is lost by now."""
    back(aws, state_table)
    frozen, team = Frozen(), Team()
    alone(frozen, team, monkeypatch)
    asked = event("open", source=DR, plan=None, method="replica")
    for _ in range(2):
        assert load("source").handler(asked, Context())["opened"]
        assert (frozen.read_only, frozen.door) == ("{TrueIfReplica}", "sg-open")
    assert set(team.on) == {"dev-orders", "reports"}


class Mapping(Team):
    """A function whose trigger is still on its way to disabled: Lambda takes no other word on it until it is there."""

    def __init__(self) -> None:
        super().__init__()
        self.state, self.reserved = "Disabling", {"ReservedConcurrentExecutions": 0}

    def get_function_concurrency(self, **_: Any) -> dict[str, int]:
        return self.reserved

    def delete_function_concurrency(self, FunctionName: str) -> None:  # noqa: N803 - AWS's own word
        self.reserved = {}

    def get_paginator(self, _: str) -> Any:
        mappings = [{"EventSourceMappings": [{"UUID": "orders", "State": self.state}]}]
        return type("Pages", (), {"paginate": lambda _self, **_: mappings})()

    def update_event_source_mapping(self, Enabled: bool, **_: Any) -> None:  # noqa: N803 - AWS's own word
        if self.state == "Disabling":
            raise ClientError({"Error": {"Code": "ResourceInUseException", "Message": ""}}, "UpdateEventSourceMapping")
        self.state = "Enabling" if Enabled else "Disabling"


def test_a_source_is_open_when_the_trigger_that_was_being_disabled_is_on(
    aws: Any, state_table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = back(aws, state_table)
    assert store.replace(store.read(), replace(store.read(), frozen="2026-11-02T03:04:05+00:00"))
    frozen, mapping = Frozen(), Mapping()
    alone(frozen, mapping, monkeypatch)
    asked, source = event("open", source=DR, plan=as_json(plan(source=DR, target=PRIMARY))), load("source").handler
    first = source(asked, Context())
    # The database waits for nothing.
    assert (frozen.read_only, frozen.door) == ("{TrueIfReplica}", "sg-open")
    assert (first["done"], first["left"]) == (False, "dev-orders (concurrency on; triggers orders Disabling)")
    assert store.read().frozen
    mapping.state = "Disabled"
    second = source(asked, Context())
    assert store.read().frozen == ""
    assert (second["done"], second["left"], mapping.state) == (True, "", "Enabling")


class Refuses(Team):
    """A team whose one function Lambda does not let anybody switch on."""

    def delete_function_concurrency(self, FunctionName: str) -> None:  # noqa: N803 - AWS's own word
        raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "not you"}}, "DeleteConcurrency")


@pytest.mark.parametrize("planned", [True, False])
def test_a_function_that_stays_off_closes_no_source_that_is_open(
    planned: bool, aws: Any, state_table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = back(aws, state_table)
    assert store.replace(store.read(), replace(store.read(), frozen="2026-11-02T03:04:05+00:00"))
    frozen = Frozen()
    alone(frozen, Refuses(), monkeypatch)
    going = as_json(plan(source=DR, target=PRIMARY)) if planned else None
    told = load("source").handler(event("open", source=DR, plan=going, method="replica"), Context())
    assert (frozen.read_only, frozen.door) == ("{TrueIfReplica}", "sg-open")
    assert (told["opened"], told["done"]) == (True, False)
    for part in ("dev-orders (concurrency 0", "AccessDeniedException"):
        assert part in told["left"]
    # Whoever comes next has to open it still.
    assert store.read().frozen


def test_a_failover_without_a_replica_names_the_newest_that_was_retired(
    aws: Any, state_table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold(state_table)
    for number in (2, 10):
        aws("rds").create_db_instance(
            DBInstanceIdentifier=f"dev-db-retired-{number}", DBInstanceClass="db.t4g.small", Engine="mysql"
        )
    control = load("control")
    monkeypatch.setattr(control, "_settings", lambda _: SETTINGS)
    with pytest.raises(PreconditionFailed, match="dev-db-retired-10 is there"):
        control.handler(event("plan"), Context())


@pytest.mark.parametrize("insists", [True, False])
def test_a_door_whose_tag_was_moved_keeps_no_failover_from_going_on(
    aws: Any, state_table: str, monkeypatch: pytest.MonkeyPatch, insists: bool
) -> None:
    """Past its promotion it goes on; one that begins asks first, since the database may be an old one."""
    hold(state_table)
    control, frozen, real = load("control"), Frozen(), clients.at
    moved = type("Ec2", (), {"describe_security_groups": lambda _, **__: {"SecurityGroups": []}})()
    fakes = {"rds": frozen, "ec2": moved}
    monkeypatch.setattr(clients, "at", lambda service, region: fakes.get(service) or real(service, region))
    monkeypatch.setattr(control, "_settings", lambda _: SETTINGS)
    monkeypatch.setattr(compute, "images", lambda *_: ())
    told = "Auto Scaling group dev-asg does not" if insists else 'which cannot be: 0 security groups.*{"force": true}'
    with pytest.raises(PreconditionFailed, match=told):
        control.handler(event("plan", insists=insists), Context())
    assert frozen.changes == []


@pytest.mark.parametrize(("moment", "done"), [(0, []), (1, ["thawed"]), (2, ["thawed", "opened"])])
@pytest.mark.parametrize("how", ["promotion", "active_region", "another"])
def test_an_opening_that_was_overtaken_changes_nothing_more(
    aws: Any, state_table: str, monkeypatch: pytest.MonkeyPatch, moment: int, done: list[str], how: str
) -> None:
    """The looks between its changes take up to a minute, and more where a region hangs."""
    back(aws, state_table)
    frozen, team = Frozen(), Team()
    alone(frozen, team, monkeypatch)
    read, looks, running = Store.read, iter(range(9)), list[str]()
    changes: dict[str, Any] = {
        "promotion": {"promotion": "2026-11-02T03:04:05+00:00"},
        "active_region": {"active_region": PRIMARY},
        "another": {"holder": OTHER, "epoch": 4},
    }

    def later(store: Store) -> Record:
        seen = read(store)
        return replace(seen, **changes[how]) if next(looks) >= moment else seen

    def runs(arn: str, **_: Any) -> bool:
        running.append(arn)
        return True

    monkeypatch.setattr(Store, "read", later)
    monkeypatch.setattr(executions, "is_running", runs)
    asked = event("open", source=DR, plan=None, method="replica")
    with pytest.raises(PreconditionFailed, match="two writers|another execution is running"):
        load("source").handler(asked, Context())
    assert (frozen.changes, team.on) == (done, [])
    # Nobody is asked whether it runs itself.
    assert set(running) <= {OTHER}


def test_it_is_noted_that_a_source_is_closed_before_anything_of_it_is(
    aws: Any, state_table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, real, noted = back(aws, state_table), clients.near, list[str]()

    def closing(*_: Any) -> workload.Standing:
        noted.append(store.read().frozen)
        raise TransientError("the function is killed")

    monkeypatch.setattr(clients, "near", lambda service: real(service) if service == "dynamodb" else Frozen())
    monkeypatch.setattr(workload, "change_each", closing)
    close = load("source").handler
    for _ in range(2):
        with pytest.raises(TransientError):
            close(event("close", source=DR), Context())
    assert noted == [store.read().frozen] * 2
    assert noted[0]
    # Whoever builds a standby finds it, and leaves the record as it is.
    assert store.replace(store.read(), replace(store.read(), lock="failed", holder="arn:x"))
    before = store.read()
    monkeypatch.setattr(clients, "near", real)
    standby = load("standby")
    monkeypatch.setattr(standby, "_settings", lambda _: SETTINGS)
    with pytest.raises(PreconditionFailed, match="began to close eu-central-1"):
        standby.handler(event("begin", input={}), Context())
    assert store.read() == before


def test_a_failure_is_told_though_the_target_hangs(aws: Any, state_table: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = back(aws, state_table)
    monkeypatch.setattr(clients, "patient", lambda service, region: Hangs())
    failed = load("control").handler(event("fail", error={"Error": "TransientError", "Cause": "no answer"}), Context())
    assert store.read().lock == "failed"
    assert "the database cannot be read (ReadTimeoutError)" in failed["cause"]
    assert f"{DR} stays the active region" in failed["cause"]


RESULT = {
    "database": {"drain": {"outcome": "applied", "received_unapplied": 0}},
    "compute": {"healthy": 2},
    "workload": {"functions": 1},
}


def test_the_lock_is_released_and_asking_again_gives_the_same_answer(state_table: str) -> None:
    store = hold(state_table)
    control = load("control").handler
    assert store.replace(store.read(), replace(store.read(), promotion="2026-11-02T03:04:05+00:00"))
    first = control(event("finish", result=RESULT), Context())
    # The note of the promotion is about a switch that is not over.
    assert (store.read().lock, store.read().promotion) == ("free", "")
    assert control(event("finish", result=RESULT), Context()) == first
    assert "close it by hand" in first["next"]
    assert "everything the replica had received was applied" in first["notification"]["message"]


def test_a_failure_leaves_the_lock_to_the_next_start_and_tells_how_things_stand(rds: Rds, state_table: str) -> None:
    store = hold(state_table)
    cause = json.dumps({"errorMessage": "2 of 2 targets are ill", "errorType": "PreconditionFailed"})
    failed = load("control").handler(event("fail", error={"Error": "PreconditionFailed", "Cause": cause}), Context())
    assert (store.read().lock, store.read().failure) == ("failed", "PreconditionFailed: 2 of 2 targets are ill")
    assert failed["error"] == "PreconditionFailed"
    for told in ("2 of 2 targets are ill", "still a replica", "group dev-asg is missing", "start the failover again"):
        assert told in failed["cause"]
    assert "FAILOVER FAILED" in failed["notification"]["subject"]
    # The runbook's table is by the error's name.
    assert failed["notification"]["message"].startswith("PreconditionFailed: 2 of 2 targets are ill\n")


def test_a_failure_of_an_overtaken_switch_leaves_the_record_alone(state_table: str) -> None:
    store = hold(state_table)
    load("control").handler(event("fail", epoch=2, error={"Error": "States.Timeout", "Cause": ""}), Context())
    assert store.read() == HELD


def test_a_reprotection_that_gives_way_to_a_failover_does_not_call_that_failed(state_table: str) -> None:
    hold(state_table)
    gone = event(
        "fail", epoch=2, execution=OTHER, error={"Error": "FatalError", "Cause": "this step belongs to epoch 2"}
    )
    told = load("control").handler(gone, Context())["notification"]
    assert "gave way to dr-failover, which is at work" in told["subject"]
    assert "FAILED" not in told["subject"] + told["message"]
    assert "FatalError: this step belongs to epoch 2" in told["message"]


def topic(aws: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    arn = aws("sns").create_topic(Name="dev-dr-notifications")["TopicArn"]
    queue = aws("sqs").create_queue(QueueName="inbox")["QueueUrl"]
    queue_arn = aws("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    aws("sns").subscribe(TopicArn=arn, Protocol="sqs", Endpoint=queue_arn)
    monkeypatch.setenv("NOTIFICATION_TOPIC_ARN", arn)
    return lambda: [
        json.loads(message["Body"])
        for message in aws("sqs").receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", [])
    ]


def test_a_notification_is_sent_once_however_often_it_is_delivered(
    aws: Any, state_table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    inbox = topic(aws, monkeypatch)
    told = {"kind": "succeeded", "subject": "line\nbreak " + "x" * 200, "message": "all of it"}
    notify = load("notify").handler
    assert notify(event("send", notification=told), Context()) == notify(event("send", notification=told), Context())
    messages = inbox()
    assert [message["Message"] for message in messages] == ["all of it"]
    assert len(messages[0]["Subject"]) == 100


def test_an_execution_that_was_stopped_frees_its_lock_and_is_told(
    aws: Any, state_table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = hold(state_table)
    inbox = topic(aws, monkeypatch)
    stopped = {"action": "ended", "execution": EXECUTION, "status": "ABORTED"}
    notify = load("notify").handler
    notify(stopped, Context())
    notify(stopped, Context())
    assert store.read().lock == "failed"
    assert len(inbox()) == 1


def test_an_execution_that_was_refused_is_nobodys_alarm(
    aws: Any, state_table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = hold(state_table)
    inbox = topic(aws, monkeypatch)
    refused = {"action": "ended", "execution": OTHER, "status": "FAILED", "error": "PreconditionFailed"}
    assert load("notify").handler(refused, Context()) == {"told": False, "withdrawn": False}
    assert store.read() == HELD
    assert inbox() == []


@pytest.mark.parametrize(("asker", "withdrawn"), [(OTHER, True), (EXECUTION, False)])
def test_a_question_goes_with_the_execution_that_asked_it(
    aws: Any, state_table: str, monkeypatch: pytest.MonkeyPatch, asker: str, withdrawn: bool
) -> None:
    topic(aws, monkeypatch)
    question = {"execution": asker, "what": "failover", "token": "t"}
    notes.write(state_table, "approval", question)
    stopped = {"action": "ended", "execution": OTHER, "status": "ABORTED"}
    assert load("notify").handler(stopped, Context())["withdrawn"] is withdrawn
    assert notes.read(state_table, "approval") == ({} if withdrawn else question)


def test_begin_takes_the_lock_once_and_refuses_before_it_reads_anything(aws: Any, state_table: str) -> None:
    begin = load("control").handler
    with pytest.raises(PreconditionFailed, match="'modus'"):
        begin({"action": "begin", "execution": EXECUTION, "input": {"modus": 1}}, Context())
    with pytest.raises(PreconditionFailed, match="/dev/pilotlight/config/.* is missing"):
        begin({"action": "begin", "execution": EXECUTION, "input": {}}, Context())
    assert Store(state_table, PRIMARY).read().epoch == 0


def test_a_function_goes_live_concurrency_first(aws: Any) -> None:
    calls: list[str] = []

    class Lambda:
        def __getattr__(self, name: str) -> Any:
            return lambda **_: calls.append(name)

    from tests.unit.core.samples import OFF

    workload.apply((to_active(OFF),), Lambda())
    assert calls == ["delete_function_concurrency", "update_event_source_mapping"]
