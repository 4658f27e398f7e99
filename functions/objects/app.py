"""Watches what of the objects has not crossed, notes it at a switch, and after a return compares and copies.

It writes over nothing and deletes nothing, and nothing waits for it: a lost region is asked only by what is scheduled,
and what comes after a return comes when the database is protected.
"""

from __future__ import annotations

import datetime as dt
import heapq
import io
import itertools
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from pilotlight.aws import clients, evidence, faults, metrics, notes, objects, parameters
from pilotlight.config import ObjectLimits, object_limits_from
from pilotlight.decide import objects as decide
from pilotlight.decide import tell
from pilotlight.errors import PilotLightError, PreconditionFailed, TransientError
from pilotlight.model import GRACEFUL, as_json
from pilotlight.step import Call, current, serve

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pilotlight.decide.objects import Key
    from pilotlight.model import Backlog, Json, ObjectVersion, Record, Switched

_AT_ONCE = 10
_KEYS_AT_ONCE = 200
_COPIES_AT_ONCE = 50
_MOST_LINES = 20_000
# Enough for one more batch and for the answer.
_SPARE_MILLISECONDS = 60_000
# Points of metrics come a few minutes late; what failed is counted over this time.
_LOOK_BACK = dt.timedelta(hours=1)


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def _text(moment: dt.datetime) -> str:
    return moment.isoformat(timespec="seconds")


def _bucket(call: Call, region: str) -> str:
    return call.environment.names.bucket(call.account, region)


# --- The backlog


def watch(call: Call) -> Json:
    """Mirror what S3 says in the active region, so that DR still knows it when that region is gone."""
    region, now = call.store.read().active_region, _now()
    before = notes.read(call.environment.state_table, "objects")
    try:
        seen = _figures(call, region, now, far=True)
    except Exception as error:
        # Silence is what is to be expected of a lost region. A right that is missing is not.
        family = faults.sorted_into_family(error)
        if not isinstance(family, TransientError):
            raise
        seen = decide.unheard(before, region, _text(now), str(family))
    notes.write(call.environment.state_table, "objects", as_json(seen))
    metrics.put(call.environment.name, decide.measures(seen, _text(now)))
    return as_json(seen)


def note(call: Call) -> Json:
    """Note what had not crossed when this switch began: for an unplanned one what DR knows, and nobody is asked."""
    record, table, now = call.store.read(), call.environment.state_table, _now()
    seen = decide.unheard(notes.read(table, "objects"), record.source, _text(now), "")
    if record.mode == GRACEFUL:
        seen = _at_this_moment(call, record, now) or seen
    watched = notes.read(table, "watch")
    failing_since = str(watched.get("failing_since", "")) if watched.get("region") == record.source else ""
    noted = decide.at_the_switch(
        notes.read(table, "objects-switch"),
        seen,
        epoch=record.epoch,
        mode=record.mode,
        taken_at=record.taken_at,
        target=record.target,
        since=record.since,
        failing_since=failing_since,
    )
    notes.write(table, "objects-switch", noted)
    return noted


def _at_this_moment(call: Call, record: Record, now: dt.datetime) -> Backlog | None:
    try:
        return _figures(call, record.source, now, far=False)
    except Exception as error:
        if not isinstance(faults.sorted_into_family(error), TransientError):
            raise
        return None


def _figures(call: Call, region: str, now: dt.datetime, *, far: bool) -> Backlog:
    own = region == call.environment.region
    cloudwatch = clients.far("cloudwatch", region) if far and not own else clients.at("cloudwatch", region)
    buckets = _bucket(call, region), _bucket(call, call.environment.other(region))
    points, failed = objects.figures(*buckets, now - _LOOK_BACK, now, cloudwatch)
    return decide.heard(region, points, failed, _text(now))


# --- After a return


@dataclass
class _Run:
    """How far comparing and copying are. It travels in the execution, so that any call can be the next one."""

    name: str
    started: str
    after: str = ""
    part: int = 0
    keys: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    outcomes: dict[str, int] = field(default_factory=dict)
    compared: bool = False
    copying_part: int = 1
    copying_line: int = 0
    cut_short: str = ""

    def answer(self, sides: _Sides, *, done: bool, wait: bool = False) -> Json:
        """Say how far it is, for the state machine and for people."""
        told = {
            "done": done and not self.cut_short,
            "keys": self.keys,
            "counts": self.counts,
            "outcomes": self.outcomes,
            "evidence": f"{sides.place}/" if self.part else "",
            "detail": self.cut_short,
        }
        return {
            "done": done,
            "wait": wait,
            "progress": vars(self),
            "objects": told | {"told": decide.told(told, sides.again)},
        }


@dataclass(frozen=True)
class _Sides:
    """Both buckets, and the switch after which they are compared."""

    switch: Switched
    limits: ObjectLimits
    buckets: dict[str, str]
    clients: dict[str, Any]
    evidence: str
    folder: str
    again: str

    @property
    def place(self) -> str:
        """Where the lists are."""
        return f"s3://{self.evidence}/{self.folder}"


def compare(call: Call) -> Json:
    """List what was written on both sides, and what never crossed, in the order of names, as far as the time goes."""
    run = _run(call)
    record = _current(call, run)
    sides = _sides(call, record, run)
    if run.cut_short or run.compared:
        return run.answer(sides, done=True)
    found: list[Json] = []
    run.compared = True
    for keys in _chunks(_both(sides, run.after), _KEYS_AT_ONCE):
        for line in _judged(sides, keys):
            run.counts = decide.counted(run.counts, decide.kinds_of(line))
            if line["kind"] != decide.UNTOLD:
                found.append(line)
        run.keys += len(keys)
        run.after = keys[-1].name
        if call.context.get_remaining_time_in_millis() < _SPARE_MILLISECONDS or len(found) >= _MOST_LINES:
            run.compared = False
            break
    if found:
        run.part += 1
        _keep(sides, f"part-{run.part:05}.jsonl", found)
    if not run.compared and _is_over(run, sides):
        run.cut_short, run.compared = f"comparing took more than {sides.limits.budget_seconds} s", True
    return run.answer(sides, done=run.compared)


def copy(call: Call) -> Json:
    """Copy what never crossed, if the key is not on the other side, as far as the time goes."""
    run = _run(call)
    record = _current(call, run)
    sides = _sides(call, record, run)
    done, wait = bool(run.cut_short), False
    outcomes: list[Json] = []
    first = f"outcomes-{run.copying_part:05}-{run.copying_line:06}.jsonl"
    while not done and not wait:
        if run.copying_part > run.part:
            done = True
        elif _is_over(run, sides):
            run.cut_short, done = f"copying took more than {sides.limits.budget_seconds} s", True
        elif call.context.get_remaining_time_in_millis() < _SPARE_MILLISECONDS:
            break
        else:
            wait = not _batch(sides, run, outcomes)
    if outcomes:
        _keep(sides, first, outcomes)
    answer = run.answer(sides, done=done, wait=wait)
    if done:
        noted = {"since": record.since, "at": _text(_now()), **answer["objects"]}
        notes.write(call.environment.state_table, "objects-return", noted)
    return answer


def _run(call: Call) -> _Run:
    progress = call.payload.get("progress")
    return _Run(**progress) if progress else _Run(str(call.payload["run"]), _text(_now()))


def _current(call: Call, run: _Run) -> Record:
    """Read the record, and stop where another switch has begun since."""
    record = call.store.read()
    epoch = call.payload.get("epoch")
    if epoch is None and record.lock == "held":
        raise PreconditionFailed(
            f"{record.holder} is under way, and who is active is only known when it has ended. Nothing was changed. "
            "Wait for its end, then ask again."
        )
    if epoch is not None and record.epoch != epoch:
        run.cut_short = f"another switch has begun (epoch {record.epoch})"
    return record


def _sides(call: Call, record: Record, run: _Run) -> _Sides:
    environment = call.environment
    active = record.active_region
    returned = environment.other(active)
    path = environment.configuration
    limits = object_limits_from(parameters.under(path), path)
    noted = notes.read(environment.state_table, "objects-switch")
    return _Sides(
        switch=decide.switched(noted, active, returned, record.taken_at, _now(), limits.grace_seconds),
        limits=limits,
        buckets={"active": _bucket(call, active), "returned": _bucket(call, returned)},
        clients={"active": clients.steady("s3", active), "returned": clients.steady("s3", returned)},
        evidence=environment.names.evidence_bucket(call.account, active),
        folder=f"objects/{record.since}/{run.name}",
        again=tell.make("objects", environment.name, environment.dr_region),
    )


def _is_over(run: _Run, sides: _Sides) -> bool:
    spent = _now() - dt.datetime.fromisoformat(run.started)
    return spent.total_seconds() > sides.limits.budget_seconds


def _both(sides: _Sides, after: str) -> Iterator[Key]:
    def listed(side: str) -> Iterator[tuple[str, str, tuple[ObjectVersion, ...]]]:
        for key, versions in objects.by_key(sides.buckets[side], after, sides.clients[side]):
            yield key, side, versions

    merged = heapq.merge(listed("active"), listed("returned"), key=lambda one: one[0])
    for key, found in itertools.groupby(merged, key=lambda one: one[0]):
        versions = {side: some for _, side, some in found}
        yield decide.Key(key, versions.get("active", ()), versions.get("returned", ()))


def _chunks[T](some: Iterator[T], count: int) -> Iterator[list[T]]:
    while chunk := list(itertools.islice(some, count)):
        yield chunk


def _judged(sides: _Sides, keys: list[Key]) -> Iterator[Json]:
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        asked = [(key, question) for key in keys for question in decide.questions(key, sides.switch)]

        def status(pair: tuple[Key, decide.Question]) -> str:
            key, question = pair
            side = question.side
            return objects.status(sides.buckets[side], key.name, question.version.version, sides.clients[side])

        statuses: dict[str, dict[str, str]] = {key.name: {} for key in keys}
        for (key, question), found in zip(asked, pool.map(status, asked), strict=True):
            statuses[key.name][question.version.version] = found
    for key in keys:
        _mark_copies(sides, key, statuses[key.name])
        yield from decide.judge(key, statuses[key.name], sides.switch)


def _mark_copies(sides: _Sides, key: Key, statuses: dict[str, str]) -> None:
    for one in decide.copies(key, statuses, sides.switch):
        tags = objects.tags(sides.buckets["active"], key.name, one.version, sides.clients["active"])
        if origin := tags.get(decide.COPIED_FROM):
            statuses |= {one.version: "copy", origin: "copied"}


def _batch(sides: _Sides, run: _Run, outcomes: list[Json]) -> bool:
    """Copy the next ones of a list; say whether all of them are settled. If not, the same ones are next again."""
    name = f"{sides.folder}/part-{run.copying_part:05}.jsonl"
    kept = objects.lines(sides.evidence, name, sides.clients["active"]).splitlines()
    listed = [line for line in map(json.loads, kept) if line["kind"] == decide.NEVER]
    some = listed[run.copying_line : run.copying_line + _COPIES_AT_ONCE]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        done = list(pool.map(lambda line: _one(sides, line), some))
    if not all(done):
        return False
    run.outcomes = decide.counted(run.outcomes, done)
    outcomes += [line | {"outcome": outcome} for line, outcome in zip(some, done, strict=True)]
    run.copying_line += len(some)
    if run.copying_line >= len(listed):
        run.copying_part, run.copying_line = run.copying_part + 1, 0
    return True


def _one(sides: _Sides, line: Json) -> str:
    """Settle one object, and say how; empty where it may still cross by itself."""
    here, there = ("returned", "active") if line["side"] == "returned" else ("active", "returned")
    source, target, key, version = sides.buckets[here], sides.buckets[there], line["key"], line["version"]
    try:
        status = objects.status(source, key, version, sides.clients[here])
        found = objects.current(target, key, sides.clients[there])
        origin = objects.tags(target, key, found, sides.clients[there]).get(decide.COPIED_FROM) if found else ""
        move, outcome = decide.next_move(
            line, status, found is not None, origin == version, sides.switch, _now(), sides.limits.grace_seconds
        )
        if move == "wait":
            return ""
        if move == "leave":
            return outcome
        labels = decide.tags_of_copy(objects.tags(source, key, version, sides.clients[here]), version)
        region = sides.switch.active if there == "active" else sides.switch.returned
        made = objects.copy(source, target, key, version, labels, clients.listening("s3", region))
    except ClientError as error:
        # One object that cannot be read or copied keeps no other from it. A region that does not answer does.
        family: PilotLightError = faults.sorted_into_family(error)
        if isinstance(family, TransientError):
            raise
        return f"failed ({faults.code(error)})"
    return "copied" if made is not None else "the key is there by now"


def _keep(sides: _Sides, name: str, found: list[Json]) -> None:
    body = io.BytesIO("".join(f"{json.dumps(line, sort_keys=True)}\n" for line in found).encode())
    evidence.keep(sides.evidence, f"{sides.folder}/{name}", body, sides.clients["active"])


handler = serve(
    "objects",
    {"watch": watch, "note": current(note), "compare": compare, "copy": copy},
)
