"""Promotes the replica, and looks at it by the SQL function of its own region."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from pilotlight.aws import clients, database, functions
from pilotlight.decide import failover, promotion, restore
from pilotlight.errors import PreconditionFailed, TransientError
from pilotlight.model import SNAPSHOT
from pilotlight.step import Call, current, serve

if TYPE_CHECKING:
    from pilotlight.model import Doors, Json

# And five more until a server that has nothing to say lets the clock be looked at. What cannot be read in that time is
# not proven, and read again: the server has it at hand by then.
_READING: Final = 8


def lag(call: Call) -> Json:
    """Say how far the replica is, as its region's SQL function sees it.

    Where there is none there is nothing to ask: whether one is needed is told when the source is known to be open.
    """
    if call.plan.method == SNAPSHOT or not call.plan.database_host:
        return {"heartbeat_age_seconds": None, "detail": "there is no replica", "waited": call.waited}
    return _ask(call, "drain", plan=call.payload["plan"], waited=call.waited)


def prove(call: Call) -> Json:
    """Say whether the target has the marker, and everything up to the source's position.

    What a restored database lacks by name may be the server's own writes since the snapshot: the source's log tells.
    """
    position, plan = str(call.payload["position"]), call.plan
    if plan.method != SNAPSHOT:
        return _ask(call, "prove", position=position)
    proof = _ask(call, "prove", position=position, restored=True)
    left = None
    if proof["marker"] and not proof["proven"]:
        asked = {"executed": proof["executed"], "name": call.environment.names.moved(call.epoch), "seconds": _READING}
        # Asked once: an ordinary client gives up sooner, and asks again while the first one still reads.
        source = clients.listening("lambda", plan.source)
        left = _ask_at(call, source, "compare", dict(call.payload["origin"]), **asked)
    return restore.proven(proof, left)


def commit(call: Call) -> Json:
    """Note that the point of no return is passed, before anything is brought up."""
    _note(call)
    return {"noted": call.store.read().promotion}


def promote(call: Call) -> Json:
    """Bring the database one move closer to promoted, and say how far it is."""
    plan = call.plan
    rds = clients.at("rds", plan.target)
    found = database.describe(plan.database, rds)
    move = promotion.next_move(found, plan.database, call.waited, plan.budgets.promotion)
    # One that is a primary already, promoted by hand, is noted as well: nothing may open the source beside it.
    if move in ("promote", "done"):
        _note(call)
    taken = move == "promote" and database.promote(plan.database, plan.backup_retention_days, rds)
    return {
        "done": move == "done",
        "status": "promotion requested" if taken else promotion.describe(found) if found else "",
        "waited": call.waited,
    }


def open_database(call: Call) -> Json:
    """Let the application into the promoted database. Looks first, and changes only what differs.

    One that was left before, by a failback that ended halfway, is frozen and behind its closed door. What stands where
    it should is left alone, so this costs an ordinary switch nothing but the look.
    """
    plan, environment = call.plan, call.environment
    rds = clients.at("rds", plan.target)
    doors = _doors(call)
    found = database.describe(plan.database, rds)
    thawed = database.follows_its_role(environment.names.parameter_group, rds)
    shut = promotion.is_shut(found, doors)
    finished = promotion.is_open(found, doors, thawed, plan.database, call.waited, plan.budgets.promotion)
    if shut or not thawed:
        # From here on there is a writer in the target.
        _note(call)
    if not thawed:
        database.set_read_only(environment.names.parameter_group, frozen=False, client=rds)
    if shut and doors is not None:
        database.set_door(plan.database, doors.open, rds)
    return {"done": finished, "was_frozen": not thawed, "was_shut": shut, "waited": call.waited}


def _doors(call: Call) -> Doors | None:
    try:
        return database.doors(call.environment.name, clients.at("ec2", call.plan.target))
    except PreconditionFailed:
        # A tag that somebody moved is no reason to stay down.
        return None


def beat(call: Call) -> Json:
    """Let the heart of the new primary beat."""
    return _ask(call, "beat")


def _ask(call: Call, action: str, **more: object) -> Json:
    """Let the target's own SQL function look or act: only it is inside that network."""
    plan = call.plan
    place = {"host": plan.database_host, "port": plan.database_port}
    return _ask_at(call, clients.at("lambda", plan.target), action, place, **more)


def _ask_at(call: Call, lambdas: Any, action: str, place: Json, **more: object) -> Json:
    return functions.ask(call.environment.names.sql, call.for_sql(action, place, **more), lambdas)


def _note(call: Call) -> None:
    """Record that there is no way back, before there is none: from here on nothing opens the source again.

    Compared once more, so that the write is of this switch: it fails where another one takes over meanwhile.
    """
    seen = call.store.read()
    failover.require_current(seen, call.epoch, call.execution)
    if not seen.promotion and not call.store.replace(seen, replace(seen, promotion=_now())):
        raise TransientError("the record changed while the promotion was being noted: try again")


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds")


handler = serve(
    "database",
    {
        "lag": current(lag),
        "prove": current(prove),
        "commit": current(commit),
        "promote": current(promote),
        "open": current(open_database),
        "beat": beat,
    },
)
