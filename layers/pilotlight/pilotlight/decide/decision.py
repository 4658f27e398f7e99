"""Whether what woke a workflow is a reason to switch: facts in, one rule applied, an outcome out.

An event only wakes. What counts is what is so now, so an event that comes late, twice or by mistake changes nothing.

Invariant: an unplanned failover begins by itself only where DR's probes fail *and* the replica has lost its source, at
the moment of the decision and not only when the alarm rang; nobody has switched automation off; no other switch runs;
and what it would lose is known to be small enough.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from pilotlight.decide.detection import STALL_SECONDS
from pilotlight.model import GRACEFUL, REPROTECT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pilotlight.model import Automation, Json, Policy, Record, Watch

type Outcome = Literal["go", "ask", "tell", "wait", "stand-down"]

UNKNOWN = -1
_THREE_BEATS = 15
_STALL = dt.timedelta(seconds=STALL_SECONDS)
# The heart beats by the database's clock, and a loss is seen by the probe's.
_CLOCKS = dt.timedelta(seconds=10)
LOOK_AGAIN_SECONDS = 60
"""After a no that may pass by itself: the alarm rings once, and stays as it is for the whole outage."""
LISTEN_AGAIN_SECONDS = 15
MOST_LOOKING_SECONDS = 3 * 3600
"""For so long an execution decides again: it has an end, and the question and the switch come before that."""
OBSERVERS_SEE_SECONDS = 45
"""From the loss until every health checker elsewhere has missed it: two looks of 10 s and the time-out of the last one
make 30 s; the rest is for clocks. Of a minute that began later they say what is so."""
OBSERVERS_PATIENCE_SECONDS = 210
"""For so long they are waited for: the first minute that begins after `OBSERVERS_SEE_SECONDS` ends at most 120 s later
(165 s), is published half a minute after that, and is read by the probe's next look (15 s)."""
PARTS_ARE_QUIET = "parts-are-quiet"
"""A composite alarm that was set by hand, or whose parts have changed since."""
ALARM_IS_OVER = "alarm-is-over"
LOOKED_AT_ELSEWHERE = "looked-at-elsewhere"
"""Another execution decides again, as it seems: it is given a minute to show it."""
_A_REPROTECTION_RUNS = "a-reprotection-runs"


@dataclass(frozen=True, slots=True)
class Replica:
    """DR's database as it is at the moment of the decision.

    ``promotable`` is False where no waiting makes a primary of it, or it is only being made. ``receives`` says whether
    anything of the source still reaches it, None where it could not be asked. ``unread`` says why RDS does not tell
    whether it exists, empty where it does.
    """

    exists: bool
    is_replica: bool = False
    promotable: bool = True
    status: str = ""
    receives: bool | None = None
    heartbeat_at: str = ""
    detail: str = ""
    unread: str = ""


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
    """An outcome, the rule that gave it, and why in one sentence. ``loss_seconds`` is -1 where it cannot be told.

    ``again_seconds`` says after how long it is decided again while the alarm rings, 0 for never. ``last`` marks a no
    that was decided again for as long as it may be.
    """

    outcome: Outcome
    rule: str
    reason: str
    loss_seconds: int = UNKNOWN
    again_seconds: int = 0
    last: bool = False


@dataclass(frozen=True, slots=True)
class Looked:
    """What an execution that decides again has behind it: seconds waited, and the rules that the team was told of.

    ``elsewhere`` names another execution that decides again about the same, empty for none. ``since`` says whether that
    one has decided since this one began: before, it may have been about to end.
    """

    waited: int = 0
    told: tuple[str, ...] = ()
    elsewhere: str = ""
    since: bool = False


def loss_seconds(watch: Watch | None, replica: Replica) -> int:
    """Estimate how many seconds of writes never reached the replica, -1 where that cannot be told.

    From the last heartbeat that the replica has to the moment at which the primary was lost by *both* signs: while one
    of them was well, it went on serving. A replica without a source loses what is written for as long as the endpoint
    answers, and an endpoint that fails loses nothing for as long as the replica receives.

    Both moments are those of looks, so the estimate is too large by up to the distance of two. It is not too small: the
    replica has what came until it was last seen to receive. Where nobody saw that, the source was lost up to
    `STALL_SECONDS` before it could be seen, and where the endpoint failed first, the estimate may be so much too small.
    What the replica has received and not yet applied makes it larger.

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
        signs.append(_source_lost(watch))
    return max(0, int((max(signs) - _at(beat)).total_seconds()))


def _source_lost(watch: Watch) -> dt.datetime:
    """Say since when nothing of the source came any more."""
    # An endpoint that answers again may have been written to: nothing is taken off what was seen.
    if not watch.failing_since:
        return _at(watch.source_lost_since)
    return _at(watch.received_at) if watch.received_at else _at(watch.source_lost_since) - _STALL


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
        _forbidden(facts, policy, dr),
        _to_be_asked(facts, policy, loss),
        Decision("go", "automatic", f"{_lost(facts)}; an estimated {loss} s of writes never left it"),
    )


def rings_again(decision: Decision, alarm: str, states: Mapping[str, str]) -> Decision | None:
    """Say whether an alarm rings that was found over, or without its parts, when this was decided.

    While that was so, another execution that it woke may have ended, since this one looked on.

    Parameters
    ----------
    alarm
        The one that woke the workflow.
    states
        The alarms now, after it was written down that this execution does not look on.
    """
    judged = [state for name, state in states.items() if (name == alarm) is (decision.rule == ALARM_IS_OVER)]
    if decision.rule not in (ALARM_IS_OVER, PARTS_ARE_QUIET) or not judged or set(judged) != {"ALARM"}:
        return None
    return Decision(
        "wait",
        "rings-again",
        f"{alarm} rings again since it was looked at",
        decision.loss_seconds,
        again_seconds=LISTEN_AGAIN_SECONDS,
    )


def looking_on(decision: Decision, looked: Looked) -> Decision:
    """Say what becomes of a no that may pass by itself: told once, looked at again by one execution, not for ever.

    Parameters
    ----------
    decision
        As the rules gave it.
    looked
        What the execution that decides has behind it.
    """
    if not decision.again_seconds:
        return decision
    if looked.elsewhere and not looked.since:
        return replace(
            decision,
            outcome="wait",
            rule=LOOKED_AT_ELSEWHERE,
            reason=f"{looked.elsewhere} decides again every minute, and has not done so since: {decision.reason}",
            again_seconds=LOOK_AGAIN_SECONDS,
        )
    if looked.elsewhere:
        return replace(
            decision,
            outcome="stand-down",
            rule="looked-at-already",
            reason=f"{looked.elsewhere} decides again every minute already: {decision.reason}",
            again_seconds=0,
        )
    if looked.waited >= MOST_LOOKING_SECONDS:
        return replace(decision, outcome="tell", again_seconds=0, last=True)
    if decision.outcome == "tell" and decision.rule in looked.told:
        return replace(decision, outcome="wait")
    return decision


def answered(
    what: str, facts: Facts, policy: Policy, regions: tuple[str, str], answer: Mapping[str, str | None]
) -> Decision:
    """Decide once more when an answer has come, or none in time: what was asked about may be over by now.

    What people were told before they answered is theirs to weigh: neither the cool-down nor the maintenance switch
    stops them. Where nobody has answered, nobody has weighed anything, and every rule holds.

    Parameters
    ----------
    regions
        The primary's and DR's, in this order.
    answer
        ``answer`` (``approve``, or anything else), ``by`` (``nobody`` where the time was over) and ``reason``.
    """
    primary, dr = regions
    nobody = answer.get("by") == "nobody"
    reason = answer.get("reason") or "no reason given"
    said = reason if nobody else f"{answer.get('by') or 'somebody'}: {reason}"
    loss = loss_seconds(facts.watch, facts.replica)
    if answer.get("answer") == "asked-already":
        return Decision("stand-down", "asked-already", said, loss)
    if answer.get("answer") != "approve":
        return Decision("tell", "no-answer" if nobody else "rejected", said, loss)
    by_default = Decision("go", "no-answer-approved", f"{said}, and the team has set that it begins then", loss)
    if what == "failover":
        found = _first(
            loss,
            _nothing_to_do(facts, dr),
            _not_to_be_believed(facts),
            _forbidden(facts, policy, dr) if nobody else None,
            replace(by_default, reason=f"{_lost(facts)}; {by_default.reason}")
            if nobody
            else Decision("go", "approved", f"{_lost(facts)}; people said yes ({said})"),
        )
    else:
        found = failback(facts, policy, primary, dr)
        told = found.outcome == "tell" and found.rule != _A_REPROTECTION_RUNS
        if found.outcome in ("go", "ask") or (told and not nobody):
            found = by_default if nobody else Decision("go", "approved", said, loss)
    # Who has said something hears what became of it.
    return replace(found, outcome="tell") if found.outcome in ("stand-down", "wait") else found


def goes_on(automation: Automation, primary: str, dr: str) -> Decision:
    """Decide whether a failback that an alarm started may freeze DR: hours after it began, somebody may be at work."""
    if automation.on:
        return Decision("go", "automation-is-on", "automation is on")
    return Decision(
        "tell",
        "automation-went-off",
        f"automation is off since {automation.at} ({automation.by}): {automation.reason}. The failback that the alarm "
        f"had started stopped before its switch: {dr} serves on, and the standby in {primary} stays",
    )


def _nothing_to_do(facts: Facts, dr: str) -> Decision | None:
    record = facts.record
    # As the lock has it: who builds a standby leaves nothing unfinished, and gives way to an unplanned failover.
    if not record.unfinished and record.active_region == dr:
        return Decision("stand-down", "already-active", f"{dr} is active already since epoch {record.since}")
    if record.lock == "held" and facts.holder_running and record.mode != REPROTECT:
        runs = f"{record.holder} is switching already (epoch {record.epoch})"
        # A planned switch whose source is lost meanwhile ends without a promotion, and nobody else would begin then.
        if record.mode == GRACEFUL:
            return Decision("wait", "a-switch-runs", runs, again_seconds=LOOK_AGAIN_SECONDS)
        return Decision("stand-down", "a-switch-runs", runs)
    return None


def _not_to_be_believed(facts: Facts) -> Decision | None:
    if over := _alarm_is_over(facts):
        return over
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
            again_seconds=LOOK_AGAIN_SECONDS,
        )
    if facts.replica.is_replica and facts.replica.receives:
        region = watch.region if watch else facts.record.active_region
        return Decision(
            "tell",
            "replica-still-receives",
            f"the probes do not reach {region}, but the replica still receives from it: it is alive; only its public "
            "front, or the way from DR to it, is not",
            again_seconds=LOOK_AGAIN_SECONDS,
        )
    return None


def _forbidden(facts: Facts, policy: Policy, dr: str) -> Decision | None:
    automation, record = facts.automation, facts.record
    if policy.failover == "manual":
        return Decision("tell", "manual", f"{_lost(facts)}; failover is manual here")
    if not automation.on:
        return _automation_is_off(automation)
    if not record.unfinished and record.cool_down_until and _at(facts.now) < _at(record.cool_down_until):
        return Decision(
            "tell", "cool-down", f"the last switch was a moment ago; its cool-down ends {record.cool_down_until}"
        )
    replica = facts.replica
    if replica.unread:
        return Decision(
            "tell",
            "replica-unknown",
            f"whether there is a database in {dr} that could be promoted cannot be told ({replica.unread})",
            again_seconds=LOOK_AGAIN_SECONDS,
        )
    # Only a switch that is not finished leaves a database that is no replica and may take over.
    if not (replica.exists and replica.promotable and (replica.is_replica or record.unfinished)):
        return Decision(
            "tell",
            "no-replica",
            f"there is no database in {dr} that could be promoted (it is {replica.status or 'missing'})",
            again_seconds=LOOK_AGAIN_SECONDS,
        )
    return None


def _to_be_asked(facts: Facts, policy: Policy, loss: int) -> Decision | None:
    if loss == UNKNOWN:
        return Decision("ask", "loss-unknown", f"{_lost(facts)}; how many writes never left it cannot be told")
    if loss > policy.max_loss_seconds:
        return Decision(
            "ask",
            "loss-too-large",
            f"{_lost(facts)}; an estimated {loss} s of writes never left it, more than the {policy.max_loss_seconds} s "
            "that may be lost without asking",
        )
    observers = _observers(facts)
    if observers == "disagree":
        return Decision("ask", "observers-disagree", f"{_lost(facts)}; but health checkers elsewhere still reach it")
    if policy.failover == "approval":
        return Decision("ask", "approval", f"{_lost(facts)}; failover needs an approval here")
    if observers == "not-heard-yet":
        return Decision(
            "wait",
            "observers-not-heard-yet",
            f"{_lost(facts)}; what health checkers elsewhere say of it is older than that",
            again_seconds=LISTEN_AGAIN_SECONDS,
        )
    return None


def _observers(facts: Facts) -> Literal["disagree", "not-heard-yet", ""]:
    """Say whether health checkers elsewhere contradict a loss, or can not have seen it yet.

    They never keep a failover waiting for long: what they say comes from a third region.
    """
    watch = facts.watch
    if watch is None or watch.observers != "healthy":
        return ""
    if not watch.failing_since or not watch.observed_at:
        return "disagree"
    since = _at(watch.failing_since)
    if _at(watch.observed_at) >= since + dt.timedelta(seconds=OBSERVERS_SEE_SECONDS):
        return "disagree"
    return "not-heard-yet" if _at(facts.now) < since + dt.timedelta(seconds=OBSERVERS_PATIENCE_SECONDS) else ""


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
    if record.active_region != dr:
        found: Decision | None = Decision("stand-down", "already-back", f"{record.active_region} is active")
    elif record.lock == "held" and facts.holder_running:
        # Who builds the standby leaves the way back open, and nobody else takes it.
        waits = record.mode == REPROTECT and policy.failback != "manual" and not _alarm_is_over(facts)
        work = f"{record.holder} is at work (epoch {record.epoch})"
        found = (
            Decision("tell", _A_REPROTECTION_RUNS, f"{primary} answers again, and {work}")
            if waits
            else Decision("stand-down", "a-switch-runs", work)
        )
    elif record.lock != "free":
        found = Decision("tell", "unfinished", f"the last run failed and is not finished: {record.failure[:300]}")
    elif over := _alarm_is_over(facts):
        found = over
    elif record.switched == GRACEFUL:
        # The primary was never away, so that it answers is no news.
        found = Decision(
            "tell", "planned", f"{dr} was made active on purpose, so nothing goes back to {primary} by itself"
        )
    else:
        found = _failback_wanted(facts.automation, policy, primary)
    return found or Decision("go", "automatic", f"{primary} answers again, steadily")


def _failback_wanted(automation: Automation, policy: Policy, primary: str) -> Decision | None:
    if policy.failback == "manual":
        return Decision("tell", "manual", f"{primary} answers again; going back is for people to start here")
    if not automation.on:
        return _automation_is_off(automation)
    if policy.failback == "approval":
        return Decision("ask", "approval", f"{primary} answers again; going back needs an approval here")
    return None


def _automation_is_off(automation: Automation) -> Decision:
    return Decision(
        "tell",
        "automation-is-off",
        f"automation is off since {automation.at} ({automation.by}): {automation.reason}",
        again_seconds=LOOK_AGAIN_SECONDS,
    )


def _alarm_is_over(facts: Facts) -> Decision | None:
    state = facts.alarms.get(facts.alarm, "missing")
    if state == "ALARM":
        return None
    return Decision("stand-down", ALARM_IS_OVER, f"the alarm {facts.alarm} is {state} now, not ALARM")


def _first(loss: int, *found: Decision | None) -> Decision:
    decided = next(decision for decision in found if decision is not None)
    return replace(decided, loss_seconds=loss)


def _at(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text)


# --- What people are told


_HEADLINE = {
    "ask": "{what}: YOUR ANSWER IS NEEDED",
    "go": "{what} begins {rule}",
    "tell": "no {what}: {rule}",
    "wait": "no {what} yet: {rule}",
    "stand-down": "no {what}: {rule}",
}
_RULES = {
    "automatic": "by itself",
    "approved": "since people said yes",
    "no-answer-approved": "since nobody answered in time",
    "a-switch-runs": "another one runs",
    _A_REPROTECTION_RUNS: "a re-protection runs",
    "already-active": "it is done already",
    "already-back": "it is done already",
    ALARM_IS_OVER: "the alarm is over",
    PARTS_ARE_QUIET: "the alarm rings without its parts",
    "rejected": "people said no",
    "no-answer": "nobody answered in time",
    "dr-is-cut-off": "DR itself is cut off",
    "replica-still-receives": "the replica still receives",
    "automation-is-off": "automation is off",
    "automation-went-off": "automation was switched off meanwhile",
    "cool-down": "the last switch was a moment ago",
    "no-replica": "there is no replica",
    "replica-unknown": "the replica cannot be looked at",
    "rings-again": "the alarm rings again",
    "observers-not-heard-yet": "what health checkers elsewhere say is too old",
    "manual": "it is for people to start",
    "unfinished": "the last run is not finished",
    "planned": "DR is active on purpose",
}
# Nothing is left to be started.
_OVER = ("already-active", "already-back", "a-switch-runs", ALARM_IS_OVER, PARTS_ARE_QUIET)
_MOST_EVENTS = 3


def told(
    decision: Decision,
    what: str,
    environment: str,
    facts: Facts,
    policy: Policy,
    can: Mapping[str, str],
    *,
    looked: Looked | None = None,
    answered: bool = False,
) -> Json:
    """Word the notification of a decision.

    Parameters
    ----------
    what
        ``failover`` or ``failback``.
    can
        What can be done, in words, to the command that does it.
    looked
        What the execution that decides has behind it.
    answered
        Whether it follows an answer, which is always told of.
    """
    rule = _RULES.get(decision.rule, decision.rule)
    headline = _HEADLINE["wait" if decision.again_seconds else decision.outcome].format(what=what, rule=rule)
    changed = "" if decision.outcome in ("ask", "go") or decision.rule == "automation-went-off" else _UNCHANGED
    parts = (
        f"{_sentence(decision.reason)}{changed}",
        _what_comes(decision, what, facts, policy, looked.waited if looked else 0),
        "\n".join(("What is known:", *(f"  {line}" for line in _known(decision, facts)))),
        "\n".join(("What you can do:", *(f"  {does}:\n    {command}" for does, command in can.items()))),
        f"({_page(decision, what)})",
    )
    return {
        # Told once for each rule of an incident, once more when it is the last word, and whenever people have spoken.
        "kind": "-".join(
            (
                *(what, decision.outcome, decision.rule),
                *(("last",) if decision.last else ()),
                *((facts.now,) if answered else ()),
            )
        ),
        "subject": f"[{environment}] {headline}"[:99],
        "message": "\n\n".join(part for part in parts if part),
    }


_UNCHANGED = " Nothing was changed."


def _page(decision: Decision, what: str) -> str:
    if decision.outcome == "ask":
        return f"docs/runbooks/{what}.md, Ask the team"
    return (
        f"docs/runbooks/{what}.md, 3. Watch"
        if decision.outcome == "go"
        else "docs/decision.md, The rules in their order"
    )


def _sentence(text: str) -> str:
    # The names of regions and resources begin small.
    begins = text.split(" ", 1)[0].isalpha()
    return f"{text[:1].upper() if begins else text[:1]}{text[1:]}."


def _what_comes(decision: Decision, what: str, facts: Facts, policy: Policy, waited: int) -> str:
    """Say what happens next by itself, and until when."""
    if decision.outcome == "ask":
        otherwise = (
            f"the {what} begins, if nothing forbids it by then"
            if policy.no_answer == "approve"
            else "nothing is done, and the alarm does not ask again"
        )
        return f"An answer counts until {_clock(facts, policy.answer_seconds)}. Without an answer: {otherwise}."
    if decision.again_seconds:
        until = _clock(facts, max(0, MOST_LOOKING_SECONDS - waited))
        return (
            f"While the alarm stays in ALARM it is decided again every minute, until {until}. You are told of this "
            "reason once."
        )
    by_hand = "While the alarm stays in ALARM nothing starts by itself any more: start it by hand."
    if decision.last:
        return f"It was decided again every minute for {MOST_LOOKING_SECONDS // 3600} hours. {by_hand}"
    over = decision.rule in (*_OVER, "automation-went-off", "planned")
    return "" if decision.outcome != "tell" or over else by_hand


def _clock(facts: Facts, seconds: int) -> str:
    return f"{_at(facts.now) + dt.timedelta(seconds=seconds):%Y-%m-%d %H:%M} UTC"


def _known(decision: Decision, facts: Facts) -> list[str]:
    watch, replica = facts.watch, facts.replica
    lines = [f"alarms       {', '.join(f'{name} {state}' for name, state in sorted(facts.alarms.items()))}"]
    if watch:
        of = f" (of the minute from {watch.observed_at})" if watch.observed_at else ""
        lines += [
            f"probes       of {watch.region}: {'fail since ' + watch.failing_since if watch.failing_since else 'well'}"
            f" (last well {watch.ok_at or 'unknown'}); checkers elsewhere: {watch.observers}{of}",
        ]
    hears = {True: "receives", False: "does not receive", None: "could not be asked"}[replica.receives]
    loses = "unknown" if decision.loss_seconds == UNKNOWN else f"about {decision.loss_seconds} s of writes"
    lines += [
        f"replica      {replica.status or 'missing'}, {hears}; last heartbeat {replica.heartbeat_at or 'unknown'}",
        f"would lose   {loses}",
        f"recorded     {facts.record.active_region} active, epoch {facts.record.epoch}, lock {facts.record.lock}",
        f"automation   {'on' if facts.automation.on else 'OFF: ' + facts.automation.reason}",
    ]
    return [*lines, *_hints(facts.hint)]


def _hints(hint: Mapping[str, object]) -> Iterator[str]:
    """Show the newest events of AWS Health, as `detection.noted` keeps them."""
    events = hint.get("events")
    for event in events[:_MOST_EVENTS] if isinstance(events, list) else ():
        words = event.get("description") or event.get("code")
        yield (
            f"AWS Health   {event.get('service')} {event.get('status')} in {event.get('region')} since "
            f"{event.get('started_at')}: {words}"
        )


def commands(
    what: str, environment: str, dr: str, decision: Decision, arns: Mapping[str, str], execution: str
) -> dict[str, str]:
    """Say what can be done after a decision: an action in words, and its exact command."""
    start = f"aws stepfunctions start-execution --region {dr} --state-machine-arn {arns[what]}"
    where = f"ENVIRONMENT={environment} DR_REGION={dr}"
    if decision.outcome == "ask":
        # The token is as long as an e-mail's line: `make` finds it by itself.
        answer = f"make {{}} {where} REASON='why'"
        return {"say yes": answer.format("approve"), "say no": answer.format("reject")}
    if decision.outcome == "go":
        before = "the promotion" if what == "failover" else "its switch passes the point of no return"
        stop = f"aws stepfunctions stop-execution --region {dr} --execution-arn {execution}"
        return {"watch it": f"make status {where}", f"stop it, before {before}": stop}
    by_rule = {
        "cool-down": {"fail over all the same": f"{start} --input '{{\"force\": true}}'"},
        "planned": {"go back, when you want to": f"make failback {where}"},
        _A_REPROTECTION_RUNS: {"go back, when it has ended": f"make failback {where}"},
    } | dict.fromkeys(_OVER, {"see how it stands": f"make status {where}"})
    if decision.again_seconds:
        by_rule["automation-is-off"] = {
            f"start the {what} yourself": start,
            "let it start by itself again, within a minute": f"make automation ON=1 {where}",
        }
    return by_rule.get(decision.rule, {f"start the {what} yourself, if you know better": start})
