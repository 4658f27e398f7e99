"""Watches the primary from DR, several times a minute, and tells CloudWatch and the note ``watch`` what it sees."""

from __future__ import annotations

import datetime as dt
import json
import time
import urllib.parse
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from aws_lambda_powertools import Logger
from botocore.exceptions import BotoCoreError, ClientError

from pilotlight.aws import clients, compute, database, door, functions, metrics, notes, parameters
from pilotlight.aws.record import Store
from pilotlight.config import entrance_from, probing_from
from pilotlight.decide import detection
from pilotlight.errors import PilotLightError
from pilotlight.model import GRACEFUL, Answer, Entrance, Following, as_json
from pilotlight.step import Call, serve

if TYPE_CHECKING:
    from collections.abc import Callable

    from pilotlight.model import Database, Json, Measure, Probing, Record, Watch

logger = Logger(service="probe", child=True)

_PATIENCE_SECONDS = 2.0
# All that is asked at once has answered by then, or has not answered: a name that is not resolved knows no time-out.
_LOOK_SECONDS = 7.0
_WITNESS_SECONDS = 4.0
_DOOR_HOURS = 1
# Where Route 53 puts what its health checkers see, and nowhere else.
_OBSERVERS_REGION = "us-east-1"
_OBSERVED = dt.timedelta(seconds=detection.OBSERVED_SECONDS)


def watch(call: Call) -> Json:
    """Look at the primary a few times within a minute. A look that lasts too long takes the place of the next one."""
    target = _target(call)
    rounds = target.probing.rounds
    pause = 60 / rounds
    turn, looks, failed = 0, 0, 0
    while True:
        began = time.monotonic()
        error = _tried(call, target, first=looks == 0)
        took, looks, failed = time.monotonic() - began, looks + 1, failed + (error is not None)
        passed = 1 + int(took // pause)
        turn += passed
        if turn < rounds:
            time.sleep(passed * pause - took)
            continue
        # What this region's own services refuse once is tried again by the next look. Refused each time, it is told.
        if error is not None and failed == looks:
            raise error
        return {"looks": looks, "skipped": rounds - looks, "failed": failed}


def health(call: Call) -> Json:
    """Keep what AWS Health says of the primary region: a hint for whoever decides."""
    client = clients.brisk("dynamodb")
    before = notes.read(call.environment.state_table, "health", client)
    after = detection.noted(before, call.payload["detail"], _now())
    return {"noted": after is not None and notes.replace(call.environment.state_table, "health", before, after, client)}


class Target(NamedTuple):
    """What is looked at: where, and by which paths."""

    probing: Probing
    entrance: Entrance


# What was last read: on the day, Parameter Store may be busy.
_last: dict[str, Target] = {}


def _target(call: Call) -> Target:
    path, name, ssm = call.environment.configuration, call.environment.primary_door, clients.brisk("ssm")
    try:
        configuration, entrance = parameters.under(path, ssm), parameters.values((name,), ssm).get(name, "")
    except (ClientError, BotoCoreError) as error:
        if call.environment.name not in _last:
            raise
        logger.warning("Parameter Store does not answer: what it said last stands", error=str(error))
        return _last[call.environment.name]
    regions = (call.environment.primary_region, call.environment.dr_region)
    target = Target(probing_from(configuration, path, regions), entrance_from(entrance, name))
    _last[call.environment.name] = target
    return target


def _tried(call: Call, target: Target, *, first: bool) -> Exception | None:
    try:
        _look(call, target, first=first)
    except (ClientError, BotoCoreError, PilotLightError) as error:
        logger.exception("the look failed for this region's own reasons")
        return error
    return None


def _look(call: Call, target: Target, *, first: bool) -> None:
    environment, client = call.environment, clients.brisk("dynamodb")
    record = Store(environment.state_table, environment.primary_region, client).read()
    if record.active_region == environment.primary_region:
        _look_at_primary(call, target, record, first=first)
    elif first:
        _look_whether_it_is_back(call, record)


# --- While the primary is active


def _look_at_primary(call: Call, target: Target, record: Record, *, first: bool) -> None:
    environment, client = call.environment, clients.brisk("dynamodb")
    table = environment.state_table
    memory_note, watch_note = (notes.read(table, subject, client) for subject in ("probe", "watch"))
    memory = detection.memory_from(memory_note)
    before = detection.watch_from(watch_note)
    probing, url = target.probing, target.entrance.url
    asked: dict[str, Callable[[], Any]] = {
        "shallow": lambda: door.look(url, probing.health_path, probing.application_host, _PATIENCE_SECONDS),
        "replica": lambda: _replica(call, memory),
    }
    if probing.deep_health_path:
        asked["deep"] = lambda: door.look(url, probing.deep_health_path, probing.application_host, _PATIENCE_SECONDS)
    if probing.observer and detection.asks_observers(before, first=first):
        asked["observers"] = lambda: metrics.observed(
            probing.observer, _OBSERVED, dt.datetime.now(dt.UTC), clients.far("cloudwatch", _OBSERVERS_REGION)
        )
    due = first and _due(memory.door_at)
    if due:
        asked["door"] = lambda: _entrance_of_primary(call)
    found = _together(asked, _LOOK_SECONDS)

    at = _now()
    shallow = found["shallow"] or _silence(_LOOK_SECONDS)
    instance, following = found["replica"] or (None, None)
    memory = detection.heard(_at_host(memory, instance), following, at)
    planned = record.lock == "held" and record.mode == GRACEFUL
    observers, observed_at = detection.observers(found.get("observers"), before, at)
    look = detection.Round(
        region=record.active_region,
        at=at,
        shallow=shallow,
        deep=(found["deep"] or _silence(_LOOK_SECONDS)) if "deep" in asked else None,
        witnesses=() if detection.answers(shallow) else _witnesses(probing),
        source=detection.source(memory, following, instance, at, planned=planned),
        observers=observers,
        observed_at=observed_at,
    )
    seen = detection.watched(before, look)
    memory = detection.counted(memory, look)
    if due:
        memory = _door_kept(call, memory, target.entrance, found["door"], at)
    _put(call, detection.measures(look))
    memory = _tell_if_one_alone(call, memory, seen, look, probing.rounds)
    # Two invocations at once see the same: who comes second has nothing to add.
    notes.replace(table, "watch", watch_note, as_json(seen), client)
    notes.replace(table, "probe", memory_note, as_json(memory), client)
    _log(before, seen)


def _replica(call: Call, memory: detection.Memory) -> tuple[Database | None, Following | None]:
    """Ask RDS and the replica's server. Either may be away without keeping the other from being heard."""
    names = call.environment.names
    try:
        instance = database.describe(names.database, clients.brisk("rds"))
        host, port = (instance.host, instance.port) if instance else ("", 0)
    except Exception as error:  # noqa: BLE001 - whatever it is, the server may know more
        logger.warning("RDS cannot be asked", error=str(error))
        instance, host, port = None, memory.host, memory.port
    if not host:
        return instance, None
    try:
        order = {"action": "follow", "database": {"host": host, "port": port}}
        return instance, Following(**functions.ask(names.sql, order, clients.brisk("lambda")))
    except Exception as error:  # noqa: BLE001 - whatever it is, RDS may know more
        logger.warning("the replica cannot be asked", error=str(error))
        return instance, None


def _at_host(memory: detection.Memory, instance: Database | None) -> detection.Memory:
    return replace(memory, host=instance.host, port=instance.port) if instance and instance.host else memory


def _witnesses(probing: Probing) -> tuple[Answer, ...]:
    if not probing.witnesses:
        return ()
    found = _together({url: partial(_reach, url) for url in probing.witnesses}, _WITNESS_SECONDS)
    return tuple(answer or _silence(_WITNESS_SECONDS) for answer in found.values())


def _reach(url: str) -> Answer:
    parts = urllib.parse.urlsplit(url)
    base, path = f"{parts.scheme}://{parts.netloc}", parts.path or "/"
    return door.look(base, path, parts.hostname or "", _PATIENCE_SECONDS)


def _entrance_of_primary(call: Call) -> Entrance | None:
    environment = call.environment
    found = compute.door(environment.names.load_balancer, clients.far("elbv2", environment.primary_region))
    return Entrance(found.url, found.host, found.zone) if found else None


def _door_kept(
    call: Call, memory: detection.Memory, known: Entrance, found: Entrance | None, at: str
) -> detection.Memory:
    """Keep where the primary's load balancer is. While the primary does not say, what is known stands."""
    if found is None:
        return memory
    if found != known:
        parameters.put(call.environment.primary_door, json.dumps(as_json(found)), clients.brisk("ssm"))
        logger.info("the primary's load balancer is elsewhere now", before=known.url, now=found.url)
    return replace(memory, door_at=at)


def _due(door_at: str) -> bool:
    now = dt.datetime.now(dt.UTC)
    return not door_at or now - dt.datetime.fromisoformat(door_at) >= dt.timedelta(hours=_DOOR_HOURS)


def _tell_if_one_alone(
    call: Call, memory: detection.Memory, seen: Watch, look: detection.Round, rounds: int
) -> detection.Memory:
    names = call.environment.names
    told, notification = detection.one_alone(
        memory, seen, look, rounds, call.environment.name, call.environment.dr_region
    )
    if notification is None:
        return memory
    order = {"action": "send", "execution": call.context.function_name, "notification": notification}
    try:
        functions.send_off(names.notify, order, clients.brisk("lambda"))
    except Exception as error:  # noqa: BLE001 - the next look tells it
        logger.error("the team could not be told", kind=notification["kind"], error=str(error))
        return memory
    return told


# --- While DR is active


def _look_whether_it_is_back(call: Call, record: Record) -> None:
    environment = call.environment
    primary, names = environment.primary_region, environment.names
    found = _together(
        {
            "RDS": lambda: (database.describe(names.database, clients.far("rds", primary)), True),
            "Auto Scaling": lambda: (compute.group(names.group, clients.far("autoscaling", primary)), True),
        },
        _LOOK_SECONDS,
    )
    problems = tuple(f"{service} does not answer" for service, answer in found.items() if answer is None)
    seen, put = detection.back(record.active_region, _now(), problems, primary)
    _put(call, put)
    client = clients.brisk("dynamodb")
    notes.write(environment.state_table, "watch", as_json(seen), client)
    # What is remembered is of a primary that is no more.
    notes.write(environment.state_table, "probe", as_json(detection.Memory()), client)


# --- What every look needs


def _together(asked: dict[str, Callable[[], Any]], seconds: float) -> dict[str, Any]:
    """Ask all at once; None for what failed or did not answer in time. What still waits is left behind."""
    pool = ThreadPoolExecutor(len(asked))
    futures: dict[str, Future[Any]] = {name: pool.submit(ask) for name, ask in asked.items()}
    wait(futures.values(), timeout=seconds)
    pool.shutdown(wait=False, cancel_futures=True)
    return {name: _answer(name, future) for name, future in futures.items()}


def _answer(name: str, future: Future[Any]) -> Any:
    if not future.done():
        logger.warning("not answered in time", asked=name)
        return None
    error = future.exception()
    if error is not None:
        logger.warning("not answered", asked=name, error=str(error))
        return None
    return future.result()


def _silence(seconds: float) -> Answer:
    return Answer(0, round(seconds * 1000), f"no answer in {seconds:g} s")


def _put(call: Call, put: tuple[Measure, ...]) -> None:
    metrics.put(call.environment.name, put, clients.brisk("cloudwatch"))


def _log(before: Watch | None, seen: Watch) -> None:
    """Write down what changed, and not every look."""
    kept = ("failing_since", "deep_failing_since", "source_lost_since", "blind_since", "observers")
    if before is None or any(getattr(before, name) != getattr(seen, name) for name in kept):
        logger.info("seen", watch=as_json(seen))


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds")


_serve = serve("probe", {"watch": watch, "health": health})


def handler(event: Json, context: Any) -> Json:
    """Take a call that says what to do, or an event of AWS Health."""
    return _serve({"action": "health", **event} if event.get("source") == "aws.health" else event, context)
