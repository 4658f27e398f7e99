"""Whether what woke a workflow is a reason to switch: facts in, one rule applied, an outcome out.

An event only wakes. What counts is what is so now, so an event that comes late, twice or by mistake changes nothing.

Invariant: an unplanned failover begins by itself only where DR's probes fail *and* the replica has lost its source, at
the moment of the decision and not only when the alarm rang; nobody has switched automation off; no other switch runs;
and what it would lose is known to be small enough.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from pilotlight.decide.detection import STALL_SECONDS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pilotlight.model import Automation, Json, Policy, Record, Watch

type Outcome = Literal["go", "ask", "tell", "stand-down"]

UNKNOWN = -1
_THREE_BEATS = 15
_STALL = dt.timedelta(seconds=STALL_SECONDS)
# The heart beats by the database's clock, and a loss is seen by the probe's.
_CLOCKS = dt.timedelta(seconds=10)
PARTS_ARE_QUIET = "parts-are-quiet"
"""A composite alarm that was set by hand, or whose parts have changed since."""


@dataclass(frozen=True, slots=True)
class Replica:
    """DR's database as it is at the moment of the decision.

    ``receives`` says whether anything of the source still reaches it, None where it could not be asked.
    """

    exists: bool
    is_replica: bool = False
    status: str = ""
    receives: bool | None = None
    heartbeat_at: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is so at the moment of the decision.

    ``alarms`` maps an alarm's name to its state; ``alarm`` is the one that woke the workflow. ``hint`` is what AWS
    Health says of the region: shown, and never a reason.
    """

    now: str
    alarm: str
    alarms: Mapping[str, str]
    record: Record
    holder_running: bool
    automation: Automation
    watch: Watch | None
    replica: Replica
    hint: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Decision:
    """An outcome, the rule that gave it, and why in one sentence. ``loss_seconds`` is -1 where it cannot be told."""

    outcome: Outcome
    rule: str
    reason: str
    loss_seconds: int = UNKNOWN


def loss_seconds(watch: Watch | None, replica: Replica) -> int:
    """Estimate how many seconds of writes never reached the replica, -1 where that cannot be told.

    From the last heartbeat that the replica has to the moment at which the primary was lost by *both* signs: while one
    of them was well, it went on serving. A replica without a source loses what is written for as long as the endpoint
    answers, and an endpoint that fails loses nothing for as long as the replica receives. The source was lost up to
    `STALL_SECONDS` before that could be seen, so where the endpoint failed first, the estimate may be so much too
    small. What the replica has received and not yet applied makes it too large.

    A heartbeat that is younger than the loss of its source says that one of them is not to be believed.
    """
    beat = replica.heartbeat_at or (watch.heartbeat_at if watch else "")
    if watch is None or not beat:
        return UNKNOWN
    # One that answers again may have been written to until it last answered.
    gone, lost = watch.failing_since or (watch.source_lost_since and watch.ok_at), watch.source_lost_since
    if not (gone or lost):
        return UNKNOWN
    if _at(beat) - _at(lost or gone) > _CLOCKS:
        return UNKNOWN
    signs = [_at(gone)] if gone else []
    if lost:
        # Nothing else says when it was: the stall is not given to it for nothing.
        signs.append(_at(lost) - (_STALL if watch.failing_since else dt.timedelta()))
    return max(0, int((max(signs) - _at(beat)).total_seconds()))


def is_fresh(heartbeat_age_seconds: int | None) -> bool:
    """Whether a beat is so young that its sender lives: hearts beat every 5 s, so three were missed beyond it."""
    return heartbeat_age_seconds is not None and heartbeat_age_seconds < _THREE_BEATS


def failover(facts: Facts, policy: Policy, dr: str) -> Decision:
    """Decide whether an alarm is a reason to fail over to DR.

    The first rule that applies decides; they are in the order in which a person would ask.
    """
    loss = loss_seconds(facts.watch, facts.replica)
    return _first(
        loss,
        _nothing_to_do(facts, dr),
        _not_to_be_believed(facts),
        _forbidden(facts, dr),
        _to_be_asked(facts, policy, loss),
        Decision("go", "automatic", f"{_lost(facts)}; an estimated {loss} s of writes never left it"),
    )


def confirmed(facts: Facts, dr: str) -> Decision:
    """Decide once more when people have said yes: what they were asked about may be over by now.

    What they were told before they answered is theirs to weigh: neither the cool-down nor the maintenance switch stops
    them.
    """
    loss = loss_seconds(facts.watch, facts.replica)
    return _first(
        loss,
        _nothing_to_do(facts, dr),
        _not_to_be_believed(facts),
        Decision("go", "approved", f"{_lost(facts)}; people said yes"),
    )


def _nothing_to_do(facts: Facts, dr: str) -> Decision | None:
    record = facts.record
    if record.lock == "held" and facts.holder_running:
        return Decision("stand-down", "a-switch-runs", f"{record.holder} is switching already (epoch {record.epoch})")
    if record.active_region == dr and record.lock == "free":
        return Decision("stand-down", "already-active", f"{dr} is active already since epoch {record.since}")
    return None


def _not_to_be_believed(facts: Facts) -> Decision | None:
    state = facts.alarms.get(facts.alarm, "missing")
    if state != "ALARM":
        return Decision("stand-down", "alarm-is-over", f"the alarm {facts.alarm} is {state} now, not ALARM")
    quiet = sorted(name for name, told in facts.alarms.items() if told != "ALARM")
    if quiet:
        return Decision(
            "stand-down", PARTS_ARE_QUIET, f"{facts.alarm} rings, but not what it is made of: {', '.join(quiet)}"
        )
    watch = facts.watch
    if watch and watch.blind_since:
        return Decision(
            "tell",
            "dr-is-cut-off",
            f"DR reaches nothing outside since {watch.blind_since}, not even its witnesses: that says nothing of "
            f"{watch.region}",
        )
    if facts.replica.is_replica and facts.replica.receives:
        region = watch.region if watch else facts.record.active_region
        return Decision(
            "tell",
            "replica-still-receives",
            f"the probes do not reach {region}, but the replica still receives from it: it is alive, and only its way "
            "to DR or its front is not",
        )
    return None


def _forbidden(facts: Facts, dr: str) -> Decision | None:
    automation, record = facts.automation, facts.record
    if not automation.on:
        return Decision(
            "tell",
            "automation-is-off",
            f"automation is off since {automation.at} ({automation.by}): {automation.reason}",
        )
    if record.lock == "free" and record.cool_down_until and _at(facts.now) < _at(record.cool_down_until):
        return Decision(
            "tell", "cool-down", f"the last switch was a moment ago; its cool-down ends {record.cool_down_until}"
        )
    if not facts.replica.exists:
        return Decision("tell", "no-replica", f"there is no database in {dr} that could be promoted")
    return None


def _to_be_asked(facts: Facts, policy: Policy, loss: int) -> Decision | None:
    if policy.failover == "manual":
        return Decision("tell", "manual", f"{_lost(facts)}; failover is manual here")
    if loss == UNKNOWN:
        return Decision("ask", "loss-unknown", f"{_lost(facts)}; how many writes never left it cannot be told")
    if loss > policy.max_loss_seconds:
        return Decision(
            "ask",
            "loss-too-large",
            f"{_lost(facts)}; an estimated {loss} s of writes never left it, more than the {policy.max_loss_seconds} s "
            "that may be lost without asking",
        )
    if facts.watch and facts.watch.observers == "healthy":
        return Decision("ask", "observers-disagree", f"{_lost(facts)}; but health checkers elsewhere still reach it")
    if policy.failover == "approval":
        return Decision("ask", "approval", f"{_lost(facts)}; failover needs an approval here")
    return None


def _lost(facts: Facts) -> str:
    watch = facts.watch
    if watch is None:
        return f"{facts.record.active_region} is lost by both signs"
    return (
        f"{watch.region} is lost by both signs: no probe has got through since {watch.failing_since or '?'}, and the "
        f"replica has lost its source since {watch.source_lost_since or '?'}"
    )


def failback(facts: Facts, policy: Policy, primary: str, dr: str) -> Decision:
    """Decide whether the primary's return is a reason to go back to it.

    Nothing is urgent here, and nothing is lost by waiting: whatever is unclear ends it.
    """
    record = facts.record
    state = facts.alarms.get(facts.alarm, "missing")
    if record.active_region != dr:
        found: Decision | None = Decision("stand-down", "already-back", f"{record.active_region} is active")
    elif record.lock == "held" and facts.holder_running:
        found = Decision("stand-down", "a-switch-runs", f"{record.holder} is at work (epoch {record.epoch})")
    elif record.lock != "free":
        found = Decision("tell", "unfinished", f"the last run failed and is not finished: {record.failure[:300]}")
    elif state != "ALARM":
        found = Decision("stand-down", "alarm-is-over", f"the alarm {facts.alarm} is {state} now, not ALARM")
    elif not facts.automation.on:
        off = facts.automation
        found = Decision("tell", "automation-is-off", f"automation is off since {off.at} ({off.by}): {off.reason}")
    elif policy.failback == "manual":
        found = Decision("tell", "manual", f"{primary} answers again; going back is for people to start here")
    elif policy.failback == "approval":
        found = Decision("ask", "approval", f"{primary} answers again; going back needs an approval here")
    else:
        found = None
    return found or Decision("go", "automatic", f"{primary} answers again, steadily")


def _first(loss: int, *found: Decision | None) -> Decision:
    decided = next(decision for decision in found if decision is not None)
    return Decision(decided.outcome, decided.rule, decided.reason, loss)


def _at(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text)


# --- What people are told


_HEADLINE = {
    "ask": "{what}: YOUR ANSWER IS NEEDED",
    "tell": "no {what}: {rule}",
    "go": "{what} begins by itself",
    "stand-down": "no {what}: {rule}",
}
_RULES = {
    "a-switch-runs": "another one runs",
    "already-active": "it is done already",
    "already-back": "it is done already",
    "alarm-is-over": "the alarm is over",
    PARTS_ARE_QUIET: "the alarm rings without its parts",
    "rejected": "people said no",
    "no-answer": "nobody answered in time",
    "dr-is-cut-off": "DR itself is cut off",
    "replica-still-receives": "the replica still receives",
    "automation-is-off": "automation is off",
    "cool-down": "the last switch was a moment ago",
    "no-replica": "there is no replica",
    "manual": "it is for people to start",
    "unfinished": "the last run is not finished",
}


def told(decision: Decision, what: str, environment: str, facts: Facts, commands: Mapping[str, str]) -> Json:
    """Word the notification of a decision.

    Parameters
    ----------
    what
        ``failover`` or ``failback``.
    commands
        What can be done, in words, to the command that does it.
    """
    rule = _RULES.get(decision.rule, decision.rule)
    headline = _HEADLINE[decision.outcome].format(what=what, rule=rule)
    return {
        "kind": f"{what}-{decision.outcome}",
        "subject": f"[{environment}] {headline}"[:99],
        "message": "\n".join(
            (
                f"{decision.reason[:1].upper()}{decision.reason[1:]}.",
                "" if decision.outcome in ("ask", "go") else "Nothing was changed.",
                "",
                "What is known:",
                *(f"  {line}" for line in _known(decision, facts)),
                "",
                "What you can do:",
                *(f"  {does}:\n    {command}" for does, command in commands.items()),
            )
        ),
    }


def _known(decision: Decision, facts: Facts) -> list[str]:
    watch, replica = facts.watch, facts.replica
    lines = [f"alarms       {', '.join(f'{name} {state}' for name, state in sorted(facts.alarms.items()))}"]
    if watch:
        lines += [
            f"probes       of {watch.region}: {'fail since ' + watch.failing_since if watch.failing_since else 'well'}"
            f" (last well {watch.ok_at or 'unknown'}); checkers elsewhere: {watch.observers}",
        ]
    hears = {True: "receives", False: "does not receive", None: "could not be asked"}[replica.receives]
    loses = "unknown" if decision.loss_seconds == UNKNOWN else f"about {decision.loss_seconds} s of writes"
    lines += [
        f"replica      {replica.status or 'missing'}, {hears}; last heartbeat {replica.heartbeat_at or 'unknown'}",
        f"would lose   {loses}",
        f"recorded     {facts.record.active_region} active, epoch {facts.record.epoch}, lock {facts.record.lock}",
        f"automation   {'on' if facts.automation.on else 'OFF: ' + facts.automation.reason}",
    ]
    if facts.hint:
        hint = facts.hint
        lines.append(f"AWS Health   {hint.get('service')} {hint.get('statusCode')} since {hint.get('startTime')}")
    return lines


def commands(what: str, environment: str, dr: str, decision: Decision, arns: Mapping[str, str]) -> dict[str, str]:
    """Say what can be done after a decision: an action in words, and its exact command."""
    start = f"aws stepfunctions start-execution --region {dr} --state-machine-arn {arns[what]}"
    if decision.outcome == "ask":
        # The token is as long as an e-mail's line: `make` finds it by itself.
        answer = f"make {{}} ENVIRONMENT={environment} DR_REGION={dr} REASON='why'"
        return {"say yes": answer.format("approve"), "say no": answer.format("reject")}
    if decision.outcome == "go":
        return {"watch it": f"make status ENVIRONMENT={environment} DR_REGION={dr}"}
    if decision.rule == "automation-is-off":
        switched_on = f"make automation ON=1 ENVIRONMENT={environment} DR_REGION={dr}"
        return {f"start the {what} yourself": start, "let it start by itself again": switched_on}
    if decision.rule == "cool-down":
        return {"fail over all the same": f"{start} --input '{{\"force\": true}}'"}
    return {f"start the {what} yourself, if you know better": start}
