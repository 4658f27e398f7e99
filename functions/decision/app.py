"""Decides whether what woke a workflow is a reason to switch, and asks people where it may not decide alone."""

from __future__ import annotations

import datetime as dt
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

from aws_lambda_powertools import Logger
from botocore.exceptions import BotoCoreError, ClientError

from pilotlight.aws import alarms, clients, database, executions, functions, notes, notify, parameters
from pilotlight.config import policy_from
from pilotlight.decide import decision as decide
from pilotlight.decide import detection, failover, promotion
from pilotlight.errors import PreconditionFailed, TransientError
from pilotlight.model import Automation, Json, Policy, as_json
from pilotlight.step import Call, serve

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pilotlight.model import Database

logger = Logger(service="decision")

_LONGER_THAN_A_BEAT = 7


def make(call: Call) -> Json:
    """Gather the facts, decide, and write down what was decided and why."""
    what, facts, policy = _what(call), _facts(call), _policy(call)
    environment = call.environment
    if what == "failover":
        decision = decide.failover(facts, policy, environment.dr_region)
    else:
        decision = decide.failback(facts, policy, environment.primary_region, environment.dr_region)
    if decision.rule == decide.PARTS_ARE_QUIET:
        # Or it would be silent when they ring.
        alarms.quieten(facts.alarm, decision.reason)
    made = _written(call, what, decision, facts, policy)
    again = _rings_again(decision, facts)
    return _written(call, what, again, facts, policy) if again else made


def _rings_again(decision: decide.Decision, facts: decide.Facts) -> decide.Decision | None:
    """Look at alarms that were quiet once more, after it was written that this execution does not look on any more.

    What they wake from now on reads that, and goes on by itself; what they woke before may have left it to this one.
    """
    if decision.rule not in (decide.ALARM_IS_OVER, decide.PARTS_ARE_QUIET):
        return None
    again = decide.rings_again(decision, facts.alarm, alarms.states(tuple({facts.alarm, *facts.alarms})))
    if again and decision.rule == decide.PARTS_ARE_QUIET:
        alarms.ring(facts.alarm, again.reason)
    return again


def confirm(call: Call) -> Json:
    """Take note of an answer; a yes is held against what is so by now."""
    what, answer = _what(call), call.payload["answer"]
    facts, policy, environment = _facts(call), _policy(call), call.environment
    pending = notes.read(environment.state_table, "approval")
    if pending.get("execution") == call.execution:
        notes.write(environment.state_table, "approval", {})
    regions = environment.primary_region, environment.dr_region
    return _written(call, what, decide.answered(what, facts, policy, regions, answer), facts, policy, answer)


def still(call: Call) -> Json:
    """Look at the maintenance switch once more, before a failback that an alarm started freezes anything."""
    environment = call.environment
    automation = Automation(**notes.read(environment.state_table, "automation"))
    decision = decide.goes_on(automation, environment.primary_region, environment.dr_region)
    if decision.outcome == "go":
        return as_json(decision)
    return _written(call, _what(call), decision, _facts(call), _policy(call))


def ask(call: Call) -> Json:
    """Put a question to the team: it waits in the notes, and in their mail, until somebody answers or its time is over.

    One question at a time: of several executions that would ask about the same thing, the first asks. A question about
    going back gives way to one about failing over. Asked again by the same execution, it has another token, and only
    that one is waited for; who was told of it is not told again.
    """
    environment, made = call.environment, call.payload["decision"]
    table, token = environment.state_table, str(call.payload["token"])
    pending, now = notes.read(table, "approval"), _now()
    own = pending.get("execution") == call.execution
    if not own and pending.get("what") == made["what"] and executions.is_running(str(pending.get("execution", ""))):
        executions.answer(token, {"answer": "asked-already", "by": "", "reason": "it is being asked about"})
        return {"asked": False}
    told = made["notification"]
    question = {
        "what": made["what"],
        "incident": made["incident"],
        "execution": call.execution,
        "token": token,
        "asked_at": pending["asked_at"] if own else now.isoformat(timespec="seconds"),
        "until": (now + dt.timedelta(seconds=made["answer_seconds"])).isoformat(timespec="seconds"),
        "no_answer": made["no_answer"],
        "reason": made["reason"],
        "known": told["message"],
        "mailed": own and bool(pending.get("mailed")),
    }
    if not notes.replace(table, "approval", pending, question):
        raise TransientError("another question was put at the same moment: nothing was asked yet, try again")
    if not question["mailed"]:
        notify.publish(environment.topic_arn, told["subject"], told["message"])
        # Not if it was answered meanwhile.
        notes.replace(table, "approval", question, question | {"mailed": True})
    return {"asked": True}


def _written(
    call: Call, what: str, decided: decide.Decision, facts: decide.Facts, policy: Policy, answer: Json | None = None
) -> Json:
    """Put a decision with its inputs into the record and into words."""
    environment, names, table = call.environment, call.environment.names, call.environment.state_table
    # Whoever has answered hears of it, whoever else goes on.
    looked = _looked(call, what, decided if answer is None else None, facts.now)
    # What was told before is no news to whoever looks on, and still the answer to whoever has just said yes.
    decision = decide.looking_on(decided, looked if answer is None else replace(looked, told=()))
    account = call.account
    arns = {
        name: f"arn:{call.context.invoked_function_arn.split(':')[1]}:states:{environment.dr_region}:{account}"
        f":stateMachine:{machine}"
        for name, machine in (("failover", names.failover), ("failback", names.failback))
    }
    can = decide.commands(what, environment.name, environment.dr_region, decision, arns, call.execution)
    made = {
        "what": what,
        **as_json(decision),
        "incident": f"{facts.alarm}-{call.payload['trigger'].get('at') or call.execution}",
        "inputs": as_json(facts) | {"policy": as_json(policy)},
        "answer": answer,
        "answer_seconds": policy.answer_seconds,
        "no_answer": policy.no_answer,
        "execution": call.execution,
        "told": sorted({*looked.told, *([decision.rule] if decision.outcome == "tell" else [])}),
        "waited": looked.waited,
        "at": facts.now,
    }
    # What ends quietly is in the execution alone, and does not cover what others decided: only what it said itself.
    # Nor does who only waits for another one to show that it looks on.
    quiet = decision.outcome == "stand-down" or decision.rule == decide.LOOKED_AT_ELSEWHERE
    if not quiet or (looked.waited and notes.read(table, "decision").get("execution") == call.execution):
        notes.write(table, "decision", made)
    logger.info("decided", what=what, outcome=decision.outcome, rule=decision.rule, reason=decision.reason)
    words = decide.told(
        decision, what, environment.name, facts, policy, can, looked=looked, answered=answer is not None
    )
    return made | {"notification": words}


def _looked(call: Call, what: str, decided: decide.Decision | None, now: str) -> decide.Looked:
    """Read what this execution has behind it, and where it would go on, whether another one does already.

    Whoever wrote last is the one that goes on: of several that begin at once, the others end at their next look.
    """
    elsewhere, since = "", False
    if decided and decided.again_seconds:
        last = notes.read(call.environment.state_table, "decision")
        other = str(last.get("execution", ""))
        if last.get("what") == what and last.get("again_seconds") and other != call.execution:
            elsewhere = other if executions.is_running(other) else ""
            began = dt.datetime.fromisoformat(now) - dt.timedelta(seconds=call.waited)
            since = dt.datetime.fromisoformat(str(last["at"])) > began
    before = call.payload.get("before") or {}
    return decide.Looked(call.waited, tuple(before.get("told", ())), elsewhere, since)


def _facts(call: Call) -> decide.Facts:
    """Look at everything a decision needs, at once: all of it is in DR."""
    environment, names = call.environment, call.environment.names
    what, table = _what(call), environment.state_table
    alarm = str(call.payload["trigger"].get("alarm", ""))
    if not alarm:
        raise PreconditionFailed(
            "'trigger' has no 'alarm': an automatic start names the alarm that rang. Nothing was changed. "
            "To start by hand, start with no input."
        )
    parts = (names.probe_failed, names.replica_lost_source) if what == "failover" else ()
    with ThreadPoolExecutor(5) as pool:
        told = pool.submit(alarms.states, (alarm, *parts))
        watch = pool.submit(notes.read, table, "watch")
        automation = pool.submit(notes.read, table, "automation")
        hint = pool.submit(notes.read, table, "health")
        replica = pool.submit(_replica, call)
        record = call.store.read()
        running = executions.is_held(record, absent=failover.just_taken(record, _now()), but=call.execution)
        seen = watch.result()
        return decide.Facts(
            now=_now().isoformat(timespec="seconds"),
            alarm=alarm,
            alarms=told.result(),
            record=record,
            holder_running=running,
            automation=Automation(**automation.result()),
            watch=detection.watch_from(seen),
            replica=replica.result(),
            hint=hint.result(),
        )


def _replica(call: Call) -> decide.Replica:
    names = call.environment.names
    try:
        found = database.describe(names.database, clients.near("rds"))
    except (BotoCoreError, ClientError) as error:
        # On the day, its control plane may be busy. The next look finds it.
        return decide.Replica(exists=False, unread=f"RDS says {type(error).__name__}: {error}")
    if found is None:
        return decide.Replica(exists=False)
    stands = decide.Replica(
        exists=True,
        is_replica=bool(found.source),
        promotable=found.status not in ("creating", *promotion.TERMINAL),
        status=promotion.describe(found),
    )
    if not found.source or not found.host:
        return stands
    try:
        heard = _ask(call, found)
    except Exception as error:  # noqa: BLE001 - a database that cannot be asked is a fact like any other
        return replace(stands, detail=f"{type(error).__name__}: {error}")
    return replace(
        stands,
        receives=_receives(call, found, heard),
        heartbeat_at=str(heard["heartbeat_at"]),
        detail=str(heard["detail"]),
    )


def _receives(call: Call, found: Database, heard: Json) -> bool:
    """Say whether anything of the source still arrives.

    A receiver calls itself connected for a minute after its source fell silent (replica_net_timeout), and a replica
    that is behind shows old beats while it receives new ones: where the two disagree, only a second look tells.
    """
    if not heard["source_connected"]:
        return False
    if decide.is_fresh(heard["heartbeat_age_seconds"]):
        return True
    time.sleep(_LONGER_THAN_A_BEAT)
    again = _ask(call, found)
    return bool(again["source_connected"] and again["received"] != heard["received"])


def _ask(call: Call, found: Database) -> Json:
    place: Mapping[str, object] = {"host": found.host, "port": found.port}
    payload = {"action": "heard", "execution": call.execution, "database": place}
    return functions.ask(call.environment.names.sql, payload, clients.near("lambda"))


def _policy(call: Call) -> Policy:
    path = call.environment.configuration
    return policy_from(parameters.under(path), path)


def _what(call: Call) -> str:
    what = call.payload.get("what")
    if what not in ("failover", "failback"):
        raise PreconditionFailed(f"'what' is {what!r}, not 'failover' or 'failback'; nothing was changed")
    return str(what)


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


handler = serve("decision", {"make": make, "ask": ask, "confirm": confirm, "still": still})
