"""Where a failback begins, what its children are asked for, and what people are told of it."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from pilotlight.decide import failback, restore, tell
from pilotlight.errors import PreconditionFailed
from pilotlight.model import Record
from tests.unit.core.conftest import Context, load
from tests.unit.core.samples import DR, EXECUTION, PRIMARY, PROMOTED, REPLICA

FREE = Record(active_region=DR, epoch=2, since=2)
BACK = dataclasses.replace(FREE, active_region=PRIMARY, epoch=4)
PARENT = f"arn:aws:states:{DR}:123456789012:execution:dev-dr-failback:one"


def begins(record: Record, database: Any = REPLICA, *, running: bool = False, closed: bool = False) -> str:
    return failback.start(record, running, PRIMARY, DR, database, closed=closed)


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"mode": "graceful"}, "'mode'"),
        ({"method": "magic"}, "'method'"),
        ({"force": "false"}, "'force'"),
        ({"reason": 7}, "'reason'"),
        ([], "not an object"),
    ],
)
def test_wrong_input_is_refused_by_name(given: object, field: str) -> None:
    with pytest.raises(PreconditionFailed, match=field) as refused:
        failback.check(given)
    assert "Nothing was changed" in str(refused.value)


def test_no_input_means_by_replica() -> None:
    assert failback.check(None) == failback.check({}) == failback.Wish("replica", force=False, reason="")
    assert failback.check({"method": "snapshot", "force": True, "reason": "x"}) == failback.Wish("snapshot", True, "x")


def test_with_dr_active_it_begins_at_the_beginning() -> None:
    assert begins(FREE, PROMOTED) == "protect-primary"


def test_what_failed_before_the_promotion_begins_at_the_beginning() -> None:
    """It has opened DR by itself."""
    stopped = dataclasses.replace(FREE, lock="failed", mode="graceful", target=PRIMARY, holder=EXECUTION)
    assert begins(stopped, PROMOTED) == "protect-primary"
    for lock in ("held", "failed"):
        protecting = dataclasses.replace(stopped, lock=lock, mode="reprotect")
        assert begins(protecting, PROMOTED) == "protect-primary"


def test_what_was_killed_before_the_promotion_begins_by_opening_dr() -> None:
    """The door may be open and the functions off: a kill knows no order."""
    held = dataclasses.replace(FREE, lock="held", mode="graceful", target=PRIMARY, holder=EXECUTION)
    for killed in (held, dataclasses.replace(held, lock="failed")):
        closing = dataclasses.replace(killed, frozen="at ten")
        assert begins(closing, PROMOTED) == begins(killed, PROMOTED, closed=True) == "reopen"
        # Before that, nothing of DR is closed.
        assert begins(killed, PROMOTED) == "protect-primary"
    # A failover to DR that came after such a switch, and did not end.
    after = dataclasses.replace(held, mode="ungraceful", target=DR, frozen="at ten")
    assert begins(after, PROMOTED) == "reopen"
    assert begins(dataclasses.replace(after, lock="free", frozen=""), PROMOTED) == "protect-primary"


@pytest.mark.parametrize("lock", ["held", "failed"])
def test_once_the_promotion_was_asked_for_the_switch_is_finished_first(lock: Any) -> None:
    asked = dataclasses.replace(FREE, lock=lock, mode="graceful", target=PRIMARY, promotion="noon", holder=EXECUTION)
    assert begins(asked, PROMOTED) == "switch"
    assert begins(asked, PROMOTED, closed=True) == "switch"
    # Recorded already, and killed before the lock was released.
    assert begins(dataclasses.replace(asked, active_region=PRIMARY), PROMOTED) == "switch"


def test_a_dr_that_was_left_closed_is_opened_first_which_the_switch_does() -> None:
    assert begins(FREE, PROMOTED, closed=True) == "reopen"
    # Closed for good, because the primary is active.
    assert begins(BACK, PROMOTED, closed=True) == "protect-dr"


def test_with_the_primary_active_only_dr_is_left_to_protect() -> None:
    for database in (PROMOTED, None, dataclasses.replace(REPLICA, replication="error", replication_normal=False)):
        assert begins(BACK, database) == "protect-dr"
    killed = dataclasses.replace(BACK, lock="failed", mode="reprotect", target=DR)
    assert begins(killed, PROMOTED) == "protect-dr"


def test_when_all_is_well_nothing_is_done() -> None:
    assert begins(BACK) == "already-back"
    assert begins(Record(active_region=PRIMARY)) == "already-back"


def test_it_does_not_begin_beside_another_one() -> None:
    held = dataclasses.replace(FREE, lock="held", holder=EXECUTION)
    with pytest.raises(PreconditionFailed, match="holds the lock"):
        begins(held, PROMOTED, running=True)


def test_an_unfinished_failover_is_finished_first() -> None:
    half = dataclasses.replace(BACK, lock="failed", mode="ungraceful", target=DR, promotion="noon")
    with pytest.raises(PreconditionFailed, match="Start the failover again"):
        begins(half, PROMOTED)


def test_children_are_named_after_their_parent_and_differ() -> None:
    long = "a" * 80, "a" * 79 + "b"
    names = [failback.child_name(parent, part) for parent in long for part in ("protect-primary", "switch-again")]
    assert len(set(names)) == 4
    assert all(len(name) <= 80 for name in names)
    assert failback.child_name("incident-1", "switch") == "incident-1-switch"


def planned(**wish: Any) -> dict[str, Any]:
    return failback.plan(failback.Wish(**wish), "protect-primary", PARENT, "dev", PRIMARY, DR, 100)


def test_by_snapshot_the_old_database_only_goes_out_of_the_way() -> None:
    assert planned()["protect_primary"]["input"] == {"region": PRIMARY, "rebuild": True}
    assert planned(method="snapshot")["protect_primary"]["input"] == {"region": PRIMARY, "rebuild": False}
    switch = planned(method="snapshot", force=True, reason="why")["switch"]
    assert switch["name"] == "one-switch"
    assert switch["input"] == {
        "mode": "graceful",
        "target": PRIMARY,
        "method": "snapshot",
        "force": True,
        "reason": "why",
    }


def test_the_downtime_of_a_snapshot_grows_with_the_storage_and_is_called_an_estimate() -> None:
    assert restore.freeze_minutes(1000) > restore.freeze_minutes(100) > 30
    assert "an estimate" in planned(method="snapshot")["freeze_estimate"]
    assert "about 61 minutes for 100 GiB" in planned(method="snapshot")["notification"]["message"]
    assert "minutes" in planned()["freeze_estimate"]


def child(**fields: Any) -> dict[str, str]:
    told = {"ExecutionArn": EXECUTION, "Status": "FAILED"} | fields
    return {"Error": "States.TaskFailed", "Cause": json.dumps(told)}


def test_a_childs_error_and_cause_are_its_parents() -> None:
    error = child(Error="PreconditionFailed", Cause="the replica is missing.")
    told = failback.failed(planned(), "Switch over to the primary", error, FREE)
    assert told["error"] == "PreconditionFailed"
    for part in (
        "'Switch over to the primary'",
        "the replica is missing.",
        EXECUTION,
        f"{DR} is the active region",
        "start the failback again",
    ):
        assert part in told["cause"]


def test_a_child_that_was_stopped_says_nothing_and_is_named_all_the_same() -> None:
    told = failback.failed(planned(), "Re-protect the primary", child(Status="ABORTED"), FREE)
    assert "ended ABORTED without a word" in told["cause"]


def test_a_child_that_never_began_has_a_plain_error() -> None:
    error = {"Error": "StepFunctions.ExecutionLimitExceededException", "Cause": "too many"}
    told = failback.failed(planned(), "Re-protect the primary", error, FREE)
    assert told["error"] == error["Error"]
    assert "too many" in told["cause"]


@pytest.mark.parametrize(
    ("cause", "said"),
    [
        (json.dumps({"errorMessage": "the table is away", "stackTrace": ["line 1"]}), "the table is away."),
        ("Lambda did not say", "Lambda did not say."),
        ("[1]", "[1]."),
        ("", "without a reason; look at the history of the execution."),
    ],
)
def test_a_step_of_its_own_is_told_by_its_message_alone(cause: str, said: str) -> None:
    error = {"Error": "TransientError", "Cause": cause}
    told = failback.failed(planned(), "See whether automation is still on", error, FREE)
    assert f"TransientError: {said}" in told["cause"]
    assert "stackTrace" not in told["cause"]


def test_how_the_regions_stand_is_told_by_the_record() -> None:
    asked = dataclasses.replace(FREE, lock="failed", target=PRIMARY, promotion="noon")
    for record, told in ((asked, "no way back"), (BACK, f"{PRIMARY} is active and serves"), (FREE, "nothing irrev")):
        assert told in failback.failed(planned(), "x", child(), record)["cause"]


THIRD = "Re-protect the DR region"
SWITCH = "Switch over to the primary"


def test_one_that_gave_way_to_a_failover_does_not_call_the_lost_region_active() -> None:
    """Its third part gives way when the primary, just active again, is lost: that one is recorded as active."""
    taken = dataclasses.replace(BACK, lock="held", mode="ungraceful", holder=EXECUTION, source=PRIMARY, target=DR)
    told = failback.failed(planned(), THIRD, child(Error="FatalError", Cause="this step belongs to epoch 2."), taken)
    mail = told["notification"]
    assert mail["subject"] == "[dev] FAILBACK STOPPED: another execution is at work"
    assert f"{EXECUTION} holds the lock" in mail["message"]
    assert "active and serves" not in mail["message"]
    assert f"\n  make status ENVIRONMENT=dev DR_REGION={DR}\n" in mail["message"]
    # A child of its own that was killed is nobody else.
    own = dataclasses.replace(taken, mode="reprotect", holder=EXECUTION.rsplit(":", 1)[0] + ":one-protect-dr")
    told = failback.failed(planned(), THIRD, child(Status="ABORTED"), own)
    assert "FAILBACK STOPPED: eu-west-1 is active" in told["notification"]["subject"]
    assert "make failback" in told["notification"]["message"]


@pytest.mark.parametrize(
    ("changes", "fields", "down"),
    [
        ({}, {"Cause": f"{tell.STILL_CLOSED} (busy): open it"}, "THE SERVICE IS DOWN"),
        ({"promotion": "noon"}, {"Cause": "0 of 2 targets are healthy"}, "THE SERVICE IS DOWN"),
        ({}, {"Status": "ABORTED"}, "THE SERVICE MAY BE DOWN"),
        ({"lock": "held"}, {"Error": "States.Runtime"}, "THE SERVICE MAY BE DOWN"),
        ({}, {"Error": "PreconditionFailed", "Cause": "the replica is missing."}, ""),
        # A step of the switch ran out of time, and the switch opened DR again.
        ({}, {"Error": "States.Timeout", "Cause": "no answer."}, ""),
        ({"mode": "reprotect"}, {"Status": "ABORTED"}, ""),
        ({"lock": "free"}, {"Status": "ABORTED"}, ""),
    ],
)
def test_a_switch_that_left_dr_closed_is_told_of_by_its_parent_as_well(
    changes: dict[str, Any], fields: dict[str, str], down: str
) -> None:
    record = dataclasses.replace(
        FREE, lock="failed", mode="graceful", source=DR, target=PRIMARY, holder=f"{EXECUTION}-switch"
    )
    mail = failback.failed(planned(), SWITCH, child(**fields), dataclasses.replace(record, **changes))["notification"]
    assert mail["subject"].startswith(f"[dev] {down or 'FAILBACK STOPPED'}: ")
    assert ("is active" in mail["subject"]) is not bool(down)
    assert len(mail["subject"]) < 90
    assert ("nothing irreversible was done" in mail["message"]) is not bool(down)


def test_what_is_kept_is_named_at_the_end() -> None:
    kept = {"region": PRIMARY, "retired": "dev-db-retired-2"}
    told = failback.succeeded(planned(), {"primary": kept, "switchover": None, "dr": {"region": DR, "retired": ""}})
    assert "dev-db-retired-2 in eu-west-1" in told["next"]
    assert "make retired" not in failback.succeeded(planned(), {"primary": None, "switchover": {}, "dr": None})["next"]


def test_the_function_joins_the_record_and_the_database(aws: Any, state_table: str) -> None:
    aws("dynamodb").put_item(
        TableName=state_table,
        Item={"id": {"S": "switch"}, "active_region": {"S": DR}, "epoch": {"N": "2"}, "lock": {"S": "free"}},
    )
    aws("rds").create_db_instance(
        DBInstanceIdentifier="dev-db", Engine="mysql", DBInstanceClass="db.t4g.medium", AllocatedStorage=100
    )
    for door in ("open", "closed"):
        group = aws("ec2").create_security_group(GroupName=door, Description=door)["GroupId"]
        tags = {"pilotlight:environment": "dev", "pilotlight:door": door}
        aws("ec2").create_tags(Resources=[group], Tags=[{"Key": name, "Value": value} for name, value in tags.items()])
    app = load("failback")
    told = app.handler({"action": "plan", "execution": PARENT, "input": {"method": "snapshot"}}, Context())
    assert (told["start"], told["protect_dr"]["name"]) == ("protect-primary", "one-protect-dr")
    assert "100 GiB" in told["freeze_estimate"]
    ended = {"action": "fail", "execution": PARENT, "failback": told, "at": "x", "error": child(Cause="because.")}
    stopped = app.handler(ended, Context())
    assert "because." in stopped["cause"]
    mail = stopped["notification"]["message"].splitlines()
    assert mail[-2:] == [
        "  make failback ENVIRONMENT=dev DR_REGION=eu-central-1 METHOD=snapshot",
        "(docs/runbooks/failback.md, 5. When it stops)",
    ]
    children = {"primary": None, "switchover": None, "dr": None}
    finished = app.handler({"action": "finish", "execution": PARENT, "failback": told, "children": children}, Context())
    assert finished["notification"]["subject"].startswith("[dev] failed back")
