"""The steps of a re-protection against two regions that answer as AWS does: what they change, where, and only once."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from pilotlight.aws import clients, notes
from pilotlight.aws.record import Store
from pilotlight.errors import FatalError, PreconditionFailed
from pilotlight.model import Record, as_json
from tests.unit.core.conftest import Context, load
from tests.unit.core.samples import DR, EXECUTION, OTHER, PRIMARY
from tests.unit.core.test_what_lost_its_role_is_kept import LISTED, RETIRED, SOURCE, protect

ACCOUNT = "123456789012"
HELD = Record(
    active_region=DR, epoch=6, since=3, lock="held", holder=EXECUTION, target=PRIMARY, source=DR, mode="reprotect"
)

if TYPE_CHECKING:
    from collections.abc import Callable
DOORS = [{"GroupId": f"sg-{door}", "Tags": [{"Key": "pilotlight:door", "Value": door}]} for door in ("open", "closed")]


class Rds:
    """One region's RDS: instances and snapshots by name; a change is done at the next look."""

    def __init__(self, region: str) -> None:
        self.region = region
        self.instances: dict[str, dict[str, Any]] = {}
        self.snapshots: dict[str, dict[str, Any]] = {}
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def add(self, name: str, **fields: Any) -> dict[str, Any]:
        self.instances[name] = {
            "DBInstanceIdentifier": name,
            "DBInstanceArn": f"arn:aws:rds:{self.region}:{ACCOUNT}:db:{name}",
            "DbiResourceId": f"db-{name}-{len(self.instances)}",
            "DBInstanceStatus": "available",
            "DBInstanceClass": "db.t4g.medium",
            "StorageType": "gp3",
            "AllocatedStorage": 20,
            "Iops": 3000,
            "KmsKeyId": f"arn:aws:kms:{self.region}:{ACCOUNT}:key/k",
            "DBSubnetGroup": {"DBSubnetGroupName": "dev-db"},
            "DBParameterGroups": [{"DBParameterGroupName": "dev-db"}],
            "OptionGroupMemberships": [{"OptionGroupName": "default:mysql-8-4"}],
            "MultiAZ": True,
            "MaxAllocatedStorage": 200,
            "BackupRetentionPeriod": 7,
            "PreferredBackupWindow": "01:00-01:30",
            "PreferredMaintenanceWindow": "sun:03:00-sun:04:00",
            "EnabledCloudwatchLogsExports": ["error", "slowquery"],
            "DeletionProtection": True,
            "Endpoint": {"Address": f"{name}.{self.region}", "Port": 3306},
            "VpcSecurityGroups": [{"VpcSecurityGroupId": "sg-open", "Status": "active"}],
            "TagList": [
                {"Key": "pilotlight:environment", "Value": "dev"},
                {"Key": "aws:cloudformation:x", "Value": "y"},
            ],
        } | fields
        return self.instances[name]

    def describe_db_instances(self, DBInstanceIdentifier: str = "") -> dict[str, Any]:  # noqa: N803
        if DBInstanceIdentifier not in self.instances:
            raise _error("DBInstanceNotFound")
        return {"DBInstances": [self.instances[DBInstanceIdentifier]]}

    def get_paginator(self, _: str) -> Any:
        pages = [{"DBInstances": list(self.instances.values())}]

        class Paginator:
            def paginate(self) -> list[dict[str, Any]]:
                return pages

        return Paginator()

    def describe_db_snapshots(self, DBSnapshotIdentifier: str) -> dict[str, Any]:  # noqa: N803
        if DBSnapshotIdentifier not in self.snapshots:
            raise _error("DBSnapshotNotFound")
        return {"DBSnapshots": [self.snapshots[DBSnapshotIdentifier]]}

    def __getattr__(self, name: str) -> Any:
        def call(**asked: Any) -> None:
            self.calls.append((name, asked))
            if name == "create_db_snapshot":
                of = self.instances[asked["DBInstanceIdentifier"]]["DbiResourceId"]
                self.snapshots[asked["DBSnapshotIdentifier"]] = {"Status": "creating", "DbiResourceId": of}

        return call

    def did(self, name: str) -> list[dict[str, Any]]:
        return [asked for done, asked in self.calls if done == name]


class Sql:
    """The functions `dev-sql` of both regions, by what they are asked."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {
            "quiet": {"read_only": True, "connections": 0, "position": "a:1-9"},
            "position": {"executed": "a:1-5", "written": "a:1-5"},
            "compare": LISTED,
            "beat": {"beating": True},
            "heard": {"heartbeat_age_seconds": 3, "detail": ""},
        }
        self.asked: list[tuple[str, str]] = []

    def at(self, region: str) -> Any:
        sql = self

        class Lambda:
            def invoke(self, FunctionName: str, Payload: bytes) -> dict[str, Any]:  # noqa: N803
                assert FunctionName == "dev-sql"
                action = json.loads(Payload)["action"]
                sql.asked.append((region, action))
                return {"Payload": _Body(sql.answers[action])}

            def __getattr__(self, name: str) -> Any:
                raise AssertionError(name)

        return Lambda()


class _Body:
    def __init__(self, answer: Any) -> None:
        self._answer = answer

    def read(self) -> bytes:
        return json.dumps(self._answer).encode()


class World:
    """Both regions."""

    def __init__(self) -> None:
        self.rds = {region: Rds(region) for region in (PRIMARY, DR)}
        self.rds[DR].add("dev-db")
        self.sql = Sql()
        self.parameters: dict[str, str] = {}

    def client(self, service: str, region: str, real: Any) -> Any:
        if service == "rds":
            return self.rds[region]
        if service == "lambda":
            return self.sql.at(region)
        if service == "ec2":
            return type("Ec2", (), {"describe_security_groups": lambda _, **__: {"SecurityGroups": DOORS}})()
        return real(service, region)

    @property
    def old(self) -> Rds:
        return self.rds[PRIMARY]


def _error(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": ""}}, "")


@pytest.fixture
def world(aws: Any, state_table: str, monkeypatch: pytest.MonkeyPatch) -> World:
    made, real = World(), clients.at
    store = Store(state_table, PRIMARY)
    assert store.replace(store.read(), HELD)
    monkeypatch.setattr(clients, "at", lambda service, region: made.client(service, region, real))
    monkeypatch.setattr(clients, "listening", lambda service, region: made.client(service, region, real))
    return made


def step(action: str, **more: Any) -> dict[str, Any]:
    changes = more.pop("protection", {})
    payload = {"action": action, "epoch": 6, "execution": EXECUTION, "protection": as_json(protect(**changes))} | more
    answer: dict[str, Any] = load("standby").handler(payload, Context())
    return answer


@pytest.mark.parametrize(
    "action", ["plan", "close", "quiet", "compare", "snapshot", "retire", "build", "backups", "follow", "finish"]
)
def test_a_step_of_another_epoch_touches_nothing(action: str, world: World) -> None:
    for stale in ({"epoch": 5}, {"execution": OTHER}):
        with pytest.raises(FatalError, match="changed nothing"):
            step(action, rebuild=True, **stale)
    assert not any(rds.calls for rds in world.rds.values())
    assert world.sql.asked == []


@pytest.mark.parametrize("action", ["close", "retire", "backups"])
def test_a_step_that_ends_late_shuts_renames_and_opens_nothing_in_the_way_of_a_failover(
    action: str, world: World, overtaken: Callable[..., None]
) -> None:
    if action == "backups":
        replica(world, VpcSecurityGroups=[{"VpcSecurityGroupId": "sg-closed", "Status": "active"}])
    else:
        world.old.add("dev-db")
    overtaken(epoch=7, holder=OTHER, mode="ungraceful")
    with pytest.raises(FatalError, match="changed nothing"):
        step(action, divergence=LISTED, protection={"functions": ()})
    assert world.old.did("modify_db_instance") == world.old.did("modify_db_parameter_group") == []


def test_an_old_primary_is_shut_and_frozen_before_anything_else(world: World, aws: Any) -> None:
    world.old.add("dev-db")
    assert step("close", protection={"functions": ()})["closed"]
    assert [asked["VpcSecurityGroupIds"] for asked in world.old.did("modify_db_instance")] == [["sg-closed"]]
    frozen = world.old.did("modify_db_parameter_group")[0]["Parameters"][0]
    assert (frozen["ParameterName"], frozen["ParameterValue"]) == ("read_only", "1")
    active = aws("ssm", PRIMARY).get_parameter(Name="/dev/pilotlight/active-region")["Parameter"]["Value"]
    assert active == DR
    assert world.rds[DR].calls == []


def test_a_function_that_cannot_be_closed_leaves_nothing_else_open(world: World) -> None:
    world.old.add("dev-db")
    # This region's functions answer to nothing but `invoke`.
    with pytest.raises(FatalError, match="function reports: "):
        step("close", protection={"functions": ("reports",)})
    assert [asked["VpcSecurityGroupIds"] for asked in world.old.did("modify_db_instance")] == [["sg-closed"]]
    assert world.old.did("modify_db_parameter_group")


def test_a_replica_that_follows_is_neither_shut_nor_frozen(world: World) -> None:
    replica(world)
    step("close", protection={"functions": ()})
    assert world.old.did("modify_db_instance") == []
    assert world.old.did("modify_db_parameter_group") == []


def test_the_old_database_is_asked_until_it_is_quiet(world: World) -> None:
    world.old.add("dev-db")
    first = step("quiet")
    assert (first["done"], first["position"]) == (False, "a:1-9")
    assert step("quiet", waited=5, position=first["position"])["done"]
    assert world.sql.asked == [(PRIMARY, "quiet")] * 2


def test_a_replica_is_not_made_quiet(world: World) -> None:
    world.old.add("dev-db", ReadReplicaSourceDBInstanceIdentifier="arn:aws:rds:eu-west-3:1:db:gone")
    assert step("quiet")["done"]
    assert world.sql.asked == []


def test_what_never_crossed_is_asked_of_both_sides(world: World) -> None:
    world.old.add("dev-db")
    assert step("compare") == {"divergence": LISTED}
    assert world.sql.asked == [(DR, "position"), (PRIMARY, "compare")]


def test_a_run_that_is_started_again_compares_what_the_earlier_one_retired(world: World) -> None:
    world.old.add(RETIRED)
    assert step("compare", protection={"retire": False}) == {"divergence": LISTED}
    world.old.instances.clear()
    assert step("compare", protection={"retire": False, "retired": ""}) == {"divergence": None}


def test_a_final_snapshot_carries_the_tags_and_is_asked_for_once(world: World) -> None:
    world.old.add("dev-db")
    assert not step("snapshot", divergence=LISTED)["done"]
    assert not step("snapshot", divergence=LISTED, waited=5)["done"]
    (taken,) = world.old.did("create_db_snapshot")
    assert (taken["DBSnapshotIdentifier"], taken["DBInstanceIdentifier"]) == (f"{RETIRED}-final", "dev-db")
    tags = {tag["Key"]: tag["Value"] for tag in taken["Tags"]}
    assert tags["pilotlight:environment"] == "dev"
    assert tags["pilotlight:retired-epoch"] == "3"
    assert not [key for key in tags if key.startswith("aws:")]
    # The name is on the instance before the snapshot has it.
    assert [name for name, _ in world.old.calls] == ["add_tags_to_resource", "create_db_snapshot"]
    world.old.snapshots[f"{RETIRED}-final"]["Status"] = "available"
    assert step("snapshot", divergence=LISTED, waited=10)["done"]


def test_the_old_database_is_tagged_protected_and_renamed(world: World) -> None:
    world.old.add("dev-db")
    assert not step("retire", divergence=LISTED)["done"]
    (renamed,) = world.old.did("modify_db_instance")
    assert renamed == {
        "DBInstanceIdentifier": "dev-db",
        "NewDBInstanceIdentifier": RETIRED,
        "DeletionProtection": True,
        "ApplyImmediately": True,
    }
    (tagged,) = world.old.did("add_tags_to_resource")
    assert {"Key": "pilotlight:divergence-rows", "Value": "3"} in tagged["Tags"]
    world.old.instances[RETIRED] = world.old.instances.pop("dev-db")
    assert step("retire", divergence=LISTED, waited=5)["done"]


def test_a_replica_is_given_all_that_its_predecessor_had(world: World) -> None:
    world.old.add(RETIRED, EnabledCloudwatchLogsExports=["error"])
    assert not step("build")["done"]
    (asked,) = world.old.did("create_db_instance_read_replica")
    assert asked["DBInstanceIdentifier"] == "dev-db"
    assert (asked["SourceDBInstanceIdentifier"], asked["SourceRegion"]) == (SOURCE, DR)
    assert asked["VpcSecurityGroupIds"] == ["sg-open"]
    assert asked["KmsKeyId"] == f"arn:aws:kms:{PRIMARY}:{ACCOUNT}:key/k"
    assert (asked["DBSubnetGroupName"], asked["DBParameterGroupName"]) == ("dev-db", "dev-db")
    assert asked["EnableCloudwatchLogsExports"] == ["error"]
    assert (asked["MultiAZ"], asked["MaxAllocatedStorage"], asked["DeletionProtection"]) == (True, 200, True)
    assert asked["Tags"] == [{"Key": "pilotlight:environment", "Value": "dev"}]
    # RDS refuses a word about a small gp3's speed, and takes its own option group for granted.
    assert not {"Iops", "OptionGroupName"} & set(asked)
    (thawed,) = world.old.did("modify_db_parameter_group")
    assert thawed["Parameters"][0]["ParameterValue"] == "{TrueIfReplica}"
    assert world.rds[DR].calls == []


def test_a_replica_that_was_deleted_is_made_like_its_source_with_its_regions_own_key(world: World) -> None:
    step("build", protection={"retire": False, "retired": "", "snapshot": ""})
    (asked,) = world.old.did("create_db_instance_read_replica")
    assert asked["KmsKeyId"] == "alias/dev-pilotlight"
    assert asked["DBInstanceClass"] == "db.t4g.medium"


def test_a_replica_that_is_being_created_is_waited_for(world: World) -> None:
    world.old.add(RETIRED)
    world.old.add("dev-db", DBInstanceStatus="creating", ReadReplicaSourceDBInstanceIdentifier=SOURCE)
    assert not step("build", waited=5)["done"]
    assert world.old.calls == []


def replica(world: World, **fields: Any) -> dict[str, Any]:
    following = {"StatusType": "read replication", "Normal": True, "Status": "replicating"}
    return world.old.add(
        "dev-db", **{"ReadReplicaSourceDBInstanceIdentifier": SOURCE, "StatusInfos": [following]} | fields
    )


def test_backups_and_windows_are_the_predecessors(world: World) -> None:
    world.old.add(RETIRED, BackupRetentionPeriod=14, PreferredBackupWindow="02:00-02:30")
    made = replica(world, BackupRetentionPeriod=0)
    assert not step("backups")["done"]
    (asked,) = world.old.did("modify_db_instance")
    assert (asked["BackupRetentionPeriod"], asked["PreferredBackupWindow"]) == (14, "02:00-02:30")
    made |= {"BackupRetentionPeriod": 14, "PreferredBackupWindow": "02:00-02:30"}
    assert step("backups", waited=5)["done"]
    assert len(world.old.did("modify_db_instance")) == 1


def test_a_replica_behind_the_closed_door_gets_the_open_one(world: World) -> None:
    replica(world, VpcSecurityGroups=[{"VpcSecurityGroupId": "sg-closed", "Status": "active"}])
    assert step("backups", protection={"retired": ""})["done"]
    assert world.old.did("modify_db_instance")[0]["VpcSecurityGroupIds"] == ["sg-open"]


def test_it_follows_by_the_active_databases_heart(world: World) -> None:
    replica(world)
    assert step("follow")["done"]
    assert world.sql.asked == [(DR, "beat"), (PRIMARY, "heard")]
    world.sql.answers["heard"] = {"heartbeat_age_seconds": 400, "detail": ""}
    assert not step("follow", waited=5)["done"]


@pytest.fixture
def endpoint(aws: Any) -> Any:
    ssm = aws("ssm", PRIMARY)
    ssm.put_parameter(Name="/dev/pilotlight/database-endpoint", Value=f"dev-db.{PRIMARY}", Type="String")
    ssm.put_parameter(Name="/dev/pilotlight/database-port", Value="1", Type="String")
    return ssm


def test_the_end_corrects_what_the_application_reads_and_frees_the_lock(
    world: World, endpoint: Any, state_table: str
) -> None:
    replica(world)
    first = step("finish", divergence=LISTED)
    store = Store(state_table, PRIMARY)
    assert (store.read().lock, store.read().active_region, store.read().since) == ("free", DR, 3)
    assert endpoint.get_parameter(Name="/dev/pilotlight/database-port")["Parameter"]["Value"] == "3306"
    assert "database-port" in first["notification"]["message"]
    assert "database-endpoint" not in first["notification"]["message"]
    assert step("finish", divergence=LISTED)["next"] == first["next"]


def test_beginning_checks_the_input_first(world: World) -> None:
    with pytest.raises(PreconditionFailed, match="unknown field 'regoin'"):
        load("standby").handler({"action": "begin", "execution": OTHER, "input": {"regoin": DR}}, Context())


def test_a_standby_that_is_there_says_how_the_objects_are_gone_on_with(
    world: World, state_table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, app = Store(state_table, PRIMARY), load("standby")
    assert store.replace(store.read(), replace(HELD, lock="free"))
    monkeypatch.setattr(app, "_settings", lambda _: None)
    monkeypatch.setattr(app, "_is_protected", lambda *_: True)

    def told() -> str:
        begun = app.handler({"action": "begin", "execution": OTHER, "input": {}}, Context())
        assert begun["outcome"] == "already-protected"
        return str(begun["next"])

    assert told().endswith(f"This goes on with it: make objects ENVIRONMENT=dev DR_REGION={DR}")
    notes.write(state_table, "objects-return", {"since": HELD.since, "done": True})
    assert "objects" not in told()


def test_nothing_is_ever_deleted() -> None:
    from pathlib import Path

    for path in ("functions/standby/app.py", "layers/pilotlight/pilotlight/aws/standby.py"):
        assert "delete_" not in (Path(__file__).parents[3] / path).read_text()
