"""Carries the team's parameters from the active region to the other one: by event, and by comparing both sides.

The same function stands in both regions, and each call asks both records first: the region that is not active does
nothing, whatever wakes it.
"""

from __future__ import annotations

import json
import math
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools import Logger
from botocore.exceptions import BotoCoreError, ClientError

from pilotlight.aws import clients, faults, functions, metrics, parameter_store, parameters, rules
from pilotlight.config import crossing_from
from pilotlight.decide import parameters as decide
from pilotlight.decide import tell
from pilotlight.errors import PilotLightError, PreconditionFailed, TransientError
from pilotlight.model import Measure
from pilotlight.step import Call, serve

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pilotlight.model import Crossing, Json, Listing, Parameter, ParameterVersion

logger = Logger(service="parameter-sync")

_TRIES = 5
# Up to so many parameters labels are compared each time: no listing has them, so that each costs both sides' history.
_LABELS_UP_TO = 250
# Enough for one more parameter and for the answer.
_SPARE_MILLISECONDS = 60_000
_ASKED_AGAIN_SECONDS = 10
# A message that has come so often is let go while the other region is away: its dead letter would say nothing new.
_RECEIVED_OFTEN = 4
_NO_ANSWER = "the other region does not answer"
_TOLD = 1000
_TOLD_IN_AN_ERROR = 10


class _NoAnswerError(PilotLightError):
    """The other region does not answer. What it lacks is carried by the first comparison when it does."""


@dataclass(frozen=True, slots=True)
class Way:
    """From where to where parameters are carried now, and which."""

    region: str
    target: str
    crossing: Crossing

    @property
    def source(self) -> Any:
        """Client of the region that is read."""
        return clients.steady("ssm", self.region)

    @property
    def destination(self) -> Any:
        """Client of the region that is written."""
        return clients.steady("ssm", self.target)

    def copy_of(self, source: Parameter | None) -> Parameter | None:
        """Say what the copy of a parameter should be."""
        return decide.copy_of(source, self.crossing, self.region, self.target) if source else None

    def rewritten(self, name: str) -> str | None:
        """Say what a value is instead of the source's, if it is."""
        return self.crossing.rewrite.get(name, {}).get(self.target)


def _way(call: Call) -> Way | str:
    """Say from where to where, or why nothing is carried. Asked anew by each call: nothing here is remembered."""
    environment = call.environment
    if reason := _standing_by(call):
        return reason
    region, target = environment.region, call.environment.other(call.environment.region)
    path = environment.configuration
    settings = parameters.under(path, clients.steady("ssm", region))
    return Way(region, target, crossing_from(settings, path, environment.name))


def _standing_by(call: Call) -> str:
    """Ask both records."""
    region, target = call.environment.region, call.environment.other(call.environment.region)
    name = call.environment.active_region_parameter
    own = parameter_store.value(name, clients.steady("ssm", region))
    others = _others_record(name, target) if own == region else None
    just_turned = bool(call.payload.get("turned"))
    return decide.standing_by(region, target, own or "nothing", others, just_turned=just_turned)


class _Direction:
    """From where to where, asked again whenever the last answer is ten seconds old: a switch turns it."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._asked = time.monotonic()
        self._reason = ""

    def turned(self, *, at_once: bool = False) -> str:
        """Say why nothing more is carried; nothing if it still is, by an answer that is fresh enough."""
        now = time.monotonic()
        if not self._reason and (at_once or now - self._asked > _ASKED_AGAIN_SECONDS):
            self._reason = _standing_by(self._call)
            self._asked = now
        return self._reason


class _TurnedError(Exception):
    """Another region has become the active one meanwhile."""


def _others_record(name: str, target: str) -> str | None:
    try:
        return parameter_store.value(name, clients.steady("ssm", target))
    except (ClientError, BotoCoreError) as error:
        if faults.is_silence(error):
            raise _NoAnswerError(f"{target} does not answer ({type(error).__name__}): nothing was carried") from error
        raise


# --- One parameter


def synchronise(way: Way, name: str) -> str:
    """Make one copy equal to what its source is now, and say what was done.

    After each writing the source is asked again: of two that carry the same parameter at once, whoever writes last sees
    the newest.
    """
    for _ in range(_TRIES):
        source, copy = parameter_store.read(name, way.source), parameter_store.read(name, way.destination)
        fact, present = (source[0] if source else None), (copy[0] if copy else None)
        if not decide.crosses_both(name, fact, present, way.crossing, way.target):
            return "left"
        change = decide.change(name, fact, way.copy_of(fact), present)
        done = change.do if change.do == "nothing" or _carry_out(way, change, present) else ""
        labelled = bool(source and done) and _label(way, name, source[1] if source else (), change.do, copy)
        if done == "nothing" and not labelled:
            return "equal"
        if done and parameter_store.version(name, way.source) == (fact.version if fact else 0):
            return _PAST.get(done, "labelled")
    raise TransientError(f"{name} changes faster than it can be carried")


_PAST = {
    "create": "created", "update": "updated", "replace": "replaced", "delete": "deleted", "tag": "tagged",
}  # fmt: skip
_WRITTEN_OVER = ("updated", "replaced", "deleted")


def _carry_out(way: Way, change: decide.Change, present: Parameter | None = None) -> bool:
    """Carry a change out; say whether the copy was still what the change was decided on.

    What takes the place of another one needs that: where the new one is refused, the old one is put back.
    """
    client, name, wanted = way.destination, change.name, change.parameter
    if change.do == "replace" and wanted and present:
        return _replaced(wanted, present, client)
    if change.do == "delete":
        parameter_store.delete([name], client)
    if change.do == "create" and wanted:
        return parameter_store.create(wanted, client)
    fresh = True
    if change.do == "update" and wanted:
        written = parameter_store.overwrite(wanted, client, policies_off=change.policies_off)
        fresh = written == change.seen_version + 1
    parameter_store.tag(name, change.tags_on, change.tags_off, client)
    return fresh


def _replaced(wanted: Parameter, present: Parameter, client: Any) -> bool:
    """Make a copy anew, since no API changes a type; say whether it was made.

    A name that was deleted a moment ago may still count as taken: then it was not, and is tried again later.
    """
    parameter_store.delete([wanted.name], client)
    try:
        return parameter_store.create(wanted, client)
    except PilotLightError as error:
        try:
            parameter_store.create(decide.kept(present), client)
        except PilotLightError as refused:
            raise type(error)(f"{error}. It was deleted to be made anew, and is NOT back: {refused}") from None
        raise


def _label(
    way: Way,
    name: str,
    source: tuple[ParameterVersion, ...],
    did: str,
    copy: tuple[Parameter, tuple[ParameterVersion, ...]] | None,
) -> bool:
    """Name the copy's versions as the source's; say whether anything was to be done."""
    before = copy[1] if copy and did not in ("create", "replace") else ()
    if not any(version.labels for version in (*source, *before)):
        return False
    versions = before if did in ("nothing", "tag") else parameter_store.versions(name, way.destination)
    plan = decide.labels(source, versions, way.rewritten(name))
    if not plan.anything:
        return False
    client = way.destination
    for number, labels in plan.off:
        parameter_store.unlabel(name, number, labels, client)
    for number, labels in plan.on:
        parameter_store.label(name, number, labels, client)
    if plan.again:
        decide.require_room(plan, versions)
        _label_anew(way, name, plan.again)
    return True


def _label_anew(way: Way, name: str, versions: tuple[ParameterVersion, ...]) -> None:
    """Write old values once more to have something to label, and the present one after them, before anything else."""
    client = way.destination
    found = parameter_store.read(name, client)
    if found is None:
        return
    present, written = found[0], []
    try:
        for version in versions:
            old = replace(present, value=version.value, allowed_pattern=version.allowed_pattern)
            written.append((parameter_store.overwrite(old, client), version.labels))
    finally:
        parameter_store.overwrite(present, client)
    for number, labels in written:
        parameter_store.label(name, number, labels, client)


# --- Events


def carry(call: Call) -> Json:
    """Carry what a batch of events names. An event only says where to look: what counts is what is there now."""
    records = call.payload["Records"]
    bodies = {record["messageId"]: json.loads(record["body"]) for record in records}
    try:
        way = _way(call)
    except _NoAnswerError as error:
        # It may be back in a moment, so they come again; and at last they are left to the next comparison.
        early = [one["messageId"] for one in records if _times_received(one) < _RECEIVED_OFTEN]
        failures = [{"itemIdentifier": message} for message in early]
        logger.warning("not carried", reason=str(error), left_to_the_next_comparison=len(records) - len(early))
        return {"outcome": _NO_ANSWER, "detail": str(error), "batchItemFailures": failures}
    if isinstance(way, str):
        return {"outcome": "standing by", "detail": way, "batchItemFailures": []}
    batch = _Batch(call, way)
    failures = [{"itemIdentifier": message} for message, body in bodies.items() if not batch.carried(body)]
    return {"outcome": "carried", **batch.done, "batchItemFailures": failures}


class _Batch:
    """What was carried of one batch of events: each parameter once, and each comparison that was asked for once."""

    def __init__(self, call: Call, way: Way) -> None:
        self.done: Counter[str] = Counter()
        self._call = call
        self._way = way
        self._direction = _Direction(call)
        self._names: dict[str, bool] = {}
        self._compared: dict[str, bool] = {}

    def carried(self, body: Json) -> bool:
        """Carry what one event names; say whether its message need not come back."""
        name = str(body.get("detail", {}).get("name", ""))
        # What a schedule or the record should have started comes back this way when its message is redriven.
        if name in ("", self._call.environment.active_region_parameter):
            asked: Json = {key: body[key] for key in ("after", "labels") if key in body}
            which = json.dumps(asked, sort_keys=True)
            if which not in self._compared:
                self._compared[which] = _tried(lambda: _reconciled(replace(self._call, payload=asked)))
            return self._compared[which]
        if name not in self._names:
            self._names[name] = _tried(lambda: self._carry(name))
        return self._names[name]

    def _carry(self, name: str) -> None:
        if not decide.crosses(name, self._way.crossing, self._way.target):
            return
        # Events before this one took their time, or a comparison did.
        if reason := self._direction.turned():
            logger.info("left to the region that is active now", parameter=name, reason=reason)
            self.done["left"] += 1
        else:
            self.done[synchronise(self._way, name)] += 1


def _times_received(message: Mapping[str, Any]) -> int:
    return int(message.get("attributes", {}).get("ApproximateReceiveCount", 0))


def _tried(work: Any) -> bool:
    try:
        work()
    except (PilotLightError, ClientError, BotoCoreError) as error:
        family = faults.sorted_into_family(error)
        logger.error("not carried; the message comes back", family=type(family).__name__, reason=str(family))
        return False
    return True


# --- Both sides


def reconcile(call: Call) -> Json:
    """Compare both sides and carry what differs, in the order of names, as far as the time goes.

    Payload: ``dry_run`` only says what differs; ``labels`` compares labels too (by itself for few parameters);
    ``after`` is where an earlier call stopped; ``wait`` says that somebody reads the answer and calls again;
    ``seconds`` is for how long it carries; ``turned`` says that this region's record was just written. Nobody waits for
    a scheduled one: it goes on by itself, and fails when anything could not be carried. That the other region is lost
    is no failure of it: it is counted, and the first comparison when it is back carries everything.
    """
    asked = bool(call.payload.get("wait") or call.payload.get("dry_run"))
    try:
        answer = _reconciled(call)
    except _NoAnswerError as error:
        if asked:
            raise TransientError(str(error)) from error
        logger.warning("not compared", reason=str(error))
        _count(call, unanswered=1)
        return {"outcome": _NO_ANSWER, "detail": str(error), "done": True}
    if not asked and answer["outcome"] == "reconciled":
        _count(call, unanswered=0)
    return answer


def _count(call: Call, *, unanswered: int) -> None:
    metrics.put(call.environment.name, [Measure("ParametersUnanswered", float(unanswered), "Count")])


def _reconciled(call: Call) -> Json:
    payload = call.payload
    active = not payload.get("dry_run") and _turn(call)
    way = _way(call)
    if isinstance(way, str):
        if payload.get("turned") and not active:
            _wake_the_active(call)
        return {"outcome": "standing by", "detail": way, "done": True}
    answer = _compared(call, way)
    if payload.get("wait") or payload.get("dry_run"):
        return answer
    if not answer["done"]:
        again = {"action": "reconcile", "after": answer["after"], "labels": answer["labels"]}
        functions.send_off(call.context.function_name, again, clients.steady("lambda", way.region))
    if answer.get("failed"):
        told = "; ".join(f"{one['name']}: {one['reason']}" for one in answer["failures"][:_TOLD_IN_AN_ERROR])
        raise PreconditionFailed(
            f"{answer['failed']} of {answer['compared']} parameters were not carried to {way.target}, all others were: "
            f"{told}. Mend the cause, then redrive the dead-letter queue or run "
            f"{tell.make('sync', call.environment.name, call.environment.dr_region)}"
        )
    return answer


def _wake_the_active(call: Call) -> None:
    """Let the other region's function compare now: this one's record was just put right, so it may be back from a loss.

    A courtesy: if it does not get there, the other one compares within the hour.
    """
    try:
        functions.send_off(
            call.environment.names.parameter_sync,
            {"action": "reconcile"},
            clients.steady("lambda", call.environment.other(call.environment.region)),
        )
    except (ClientError, BotoCoreError) as error:
        logger.warning("the active region's function was not woken", reason=str(faults.sorted_into_family(error)))


def _turn(call: Call) -> bool:
    """Let the rule of this region follow its record, and say whether that names it. A wrong state does no harm."""
    region = call.environment.region
    active = parameter_store.value(call.environment.active_region_parameter, clients.steady("ssm", region)) == region
    if rules.switch(call.environment.names.parameter_sync, clients.steady("events", region), on=active):
        logger.info("the rule of this region was switched", on=active)
    return active


def _compared(call: Call, way: Way) -> Json:
    with ThreadPoolExecutor(2) as pool:
        sources, copies = pool.map(lambda region: _listed(way, region), (way.region, way.target))
    difference, refused = decide.differences(sources, copies, way.crossing, way.region, way.target)
    payload = call.payload
    labels = bool(payload.get("labels") if payload.get("labels") is not None else difference.compared <= _LABELS_UP_TO)
    after = str(payload.get("after", ""))
    changes = {change.name: change for change in difference.changes}
    named = [
        name
        for name in sources.parameters
        if labels and decide.crosses(name, way.crossing, way.target) and decide.known(name, sources, copies)
    ]
    todo = [name for name in sorted({*changes, *named, *refused}) if name > after]
    until = time.monotonic() + float(payload.get("seconds", math.inf))
    # Listing took a while, and so does writing: a switch in the meantime turns the direction.
    direction = _Direction(call)
    run = _Run(way, direction, labels=labels, dry=bool(payload.get("dry_run")), refused=refused)
    try:
        run.turns_back(at_once=bool(difference.changes or labels))
        if not run.dry:
            run.delete([change.name for change in difference.changes if change.do == "delete" and change.name > after])
        for name in todo:
            run.turns_back()
            spent = call.context.get_remaining_time_in_millis() < _SPARE_MILLISECONDS or time.monotonic() > until
            if spent or len(run.told) >= _TOLD:
                break
            run.one(name, changes.get(name), look=name in copies.parameters)
            after = name
    except _TurnedError as turned:
        return {"outcome": "standing by", "detail": str(turned), "done": True}
    return {
        "outcome": "compared" if run.dry else "reconciled",
        "done": not todo or after == todo[-1],
        "after": after,
        "labels": labels,
        "source": way.region,
        "target": way.target,
        "compared": difference.compared,
        "left": difference.left,
        "kept": difference.kept + run.counts["kept"],
        **{done: run.counts[done] for done in (*_PAST.values(), "labelled", "failed")},
        "differences": run.told,
        "failures": run.failures,
    }


def _listed(way: Way, region: str) -> Listing:
    return parameter_store.listed(
        decide.roots(way.crossing),
        clients.steady("ssm", region),
        clients.steady("resourcegroupstaggingapi", region),
        lambda name: decide.crosses(name, way.crossing, way.target),
    )


class _Run:
    """What one reconciliation does, and what it says of it."""

    def __init__(self, way: Way, direction: _Direction, *, labels: bool, dry: bool, refused: Mapping[str, str]) -> None:
        self.dry = dry
        self.counts: Counter[str] = Counter()
        self.told: list[Json] = []
        self.failures: list[Json] = []
        self._way = way
        self._direction = direction
        self._labels = labels
        self._refused = refused

    def turns_back(self, *, at_once: bool = False) -> None:
        """Go no further if another region has become the active one."""
        if reason := self._direction.turned(at_once=at_once):
            raise _TurnedError(reason)

    def delete(self, names: list[str]) -> None:
        """Delete copies whose source is still gone, ten a call."""
        for some in parameter_store.chunks(names):
            self.turns_back()
            self._tried(", ".join(some), lambda some=some: self._delete(some))

    def _delete(self, names: list[str]) -> None:
        back = parameter_store.existing(names, self._way.source)
        gone = [name for name in names if name not in back]
        # Whose it is says the listing of a whole region, some time after it changed: before a deletion each is asked.
        ours = [name for name in gone if decide.MARK in parameter_store.tags(name, self._way.destination)]
        self.counts["kept"] += len(gone) - len(ours)
        if ours:
            parameter_store.delete(ours, self._way.destination)
            self.counts["deleted"] += len(ours)
            for name in ours:
                self._noted(name, "deleted")
            # Of one that was made again just then, the event may have come before this deletion.
            for name in sorted(parameter_store.existing(ours, self._way.source)):
                self.counts[synchronise(self._way, name)] += 1

    def one(self, name: str, change: decide.Change | None, *, look: bool) -> None:
        """Carry one parameter; if its copy is no longer what was listed, afresh."""
        if name in self._refused:
            self._failed(name, self._refused[name])
        elif self.dry:
            self._tell(name, change, look=look)
        elif change is None or change.do != "delete":
            self._tried(name, lambda: self._carry(name, change))

    def _carry(self, name: str, change: decide.Change | None) -> None:
        # What takes the place of another one deletes it first, so it is looked at afresh.
        if change and (self._labels or change.do == "replace" or not _carry_out(self._way, change)):
            did = synchronise(self._way, name)
        elif change:
            did = _PAST[change.do]
        else:
            did = "labelled" if _relabelled(self._way, name) else ""
        if did:
            self.counts[did] += 1
            self._noted(name, did)

    def _noted(self, name: str, did: str) -> None:
        """Log what is gone from the other region but for its history: after a loss, what had never crossed."""
        if did in _WRITTEN_OVER:
            logger.info("written over", parameter=name, did=did, source=self._way.region, target=self._way.target)

    def _tell(self, name: str, change: decide.Change | None, *, look: bool) -> None:
        if change:
            self.told.append({"name": name, "do": change.do, "differs": list(change.differs)})
            self.counts[_PAST[change.do]] += 1
        elif look and _labels_differ(self._way, name):
            self.told.append({"name": name, "do": "label", "differs": ["labels"]})
            self.counts["labelled"] += 1

    def _tried(self, name: str, work: Any) -> bool:
        try:
            work()
        except (PilotLightError, ClientError, BotoCoreError) as error:
            self._failed(name, str(faults.sorted_into_family(error)))
            return False
        return True

    def _failed(self, name: str, reason: str) -> None:
        self.counts["failed"] += 1
        self.failures.append({"name": name, "reason": reason})
        logger.error("not carried", parameter=name, reason=reason)


def _labels_differ(way: Way, name: str) -> bool:
    source = parameter_store.versions(name, way.source)
    copy = parameter_store.versions(name, way.destination)
    return decide.labels(source, copy, way.rewritten(name)).anything


def _relabelled(way: Way, name: str) -> bool:
    """Bring the labels of an equal pair in line, by the histories alone; say whether anything was to be done."""
    return _labels_differ(way, name) and synchronise(way, name) not in ("equal", "left")


# --- Before a planned switch


def bring(call: Call) -> Json:
    """Carry what the region that a planned switch leaves has and the other one lacks, while it still is the active one.

    Asked of DR's function, the one that the switch can call. Another region's own does the work there.
    """
    environment, payload = call.environment, call.payload
    source, insists = str(payload["source"]), bool(payload.get("insists"))
    asked = {"wait": True, "seconds": decide.BRING_SECONDS, "after": payload.get("after") or ""}
    asked |= {"labels": payload["labels"]} if payload.get("labels") is not None else {}
    try:
        answer = reconcile(replace(call, payload=asked)) if source == environment.region else _asked_there(call, asked)
    except (PilotLightError, ClientError, BotoCoreError) as error:
        if not insists:
            raise
        answer = {"outcome": str(faults.sorted_into_family(error)), "done": True}
    command = tell.make("sync", environment.name, environment.dr_region)
    left = decide.require_over(answer, source, call.waited, command, insists=insists)
    goes_on = answer["outcome"] == "reconciled" and not answer["done"] and call.waited < decide.BRING_BUDGET
    return {
        "done": not goes_on,
        "left": decide.left_behind(str(payload.get("left") or ""), left),
        "after": answer.get("after", ""),
        "labels": answer.get("labels"),
        "carried": sum(answer.get(done, 0) for done in (*_PAST.values(), "labelled")),
    }


def _asked_there(call: Call, asked: Json) -> Json:
    client = clients.following("lambda", str(call.payload["source"]))
    return functions.ask(call.environment.names.parameter_sync, {"action": "reconcile"} | asked, client)


# What Parameter Store says when it refuses a value may quote it, and a trace would keep that.
_serve = serve("parameter-sync", {"carry": carry, "reconcile": reconcile, "bring": bring}, trace_calls=False)


def handler(event: Json, context: Any) -> Json:
    """Take a batch of the queue, or a call that says what to do."""
    return _serve({"action": "carry", **event} if "Records" in event else event, context)
