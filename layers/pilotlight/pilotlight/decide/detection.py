"""Whether the primary is lost, as DR's probe sees it: what one look means, and what it means after the ones before it.

Two things have to be so, and they are told apart to the end: the primary's public endpoint does not answer, and the
replica has lost its source. Nothing here decides on a failover.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from pilotlight.decide import tell
from pilotlight.model import Answer, Measure, Watch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pilotlight.model import Database, Following, Json, Observed

STALL_SECONDS: Final = 30
"""The active database's heart beats every 5 seconds: a replica that received nothing for so long has lost six beats."""
OBSERVED_SECONDS: Final = 300
"""What health checkers elsewhere said is looked for, and kept, for so long."""
_BROKEN: Final = ("error", "stopped", "terminated")
_TELL_AFTER_MINUTES: Final = 2
_TELL_AGAIN_SECONDS: Final = 900
"""The team is told of a kind of incident at most so often."""
_MOST_EVENTS: Final = 5
_WORDS: Final = 300


@dataclass(frozen=True, slots=True)
class Source:
    """What DR's replica shows of its source. ``lost`` is None where it cannot be judged, which is no loss.

    ``lag_seconds`` is -1 where replication is broken, as RDS's own metric has it, and None where nobody can tell.
    ``received_at`` is the last look at which it had received something new, empty where its server could not be asked.
    """

    lost: bool | None
    detail: str
    lag_seconds: int | None = None
    heartbeat_at: str = ""
    heartbeat_age_seconds: int | None = None
    received_at: str = ""


@dataclass(frozen=True, slots=True)
class Round:
    """One look at the primary. ``deep`` is None where there is no such path; ``witnesses`` answered only if asked."""

    region: str
    at: str
    shallow: Answer
    source: Source
    deep: Answer | None = None
    witnesses: tuple[Answer, ...] = ()
    observers: str = "unknown"
    observed_at: str = ""


@dataclass(frozen=True, slots=True)
class Memory:
    """What the probe keeps from one look to the next, beside what it shows.

    ``received`` is what the replica had received when last asked, ``received_at`` when that last was new.
    ``failing_rounds`` and ``lost_rounds`` count unbroken rows of looks; ``told`` says when the team was last told of
    what. ``host`` and ``port`` are the replica's, for when RDS cannot be asked. ``door_at`` is when the primary last
    said where its load balancer is.
    """

    received: str = ""
    received_at: str = ""
    failing_rounds: int = 0
    lost_rounds: int = 0
    told: Mapping[str, str] = field(default_factory=dict)
    host: str = ""
    port: int = 0
    door_at: str = ""


def memory_from(note: Json) -> Memory:
    """Read a memory back from its note; what a later version of this code may have added is left out."""
    return Memory(**_known(Memory, note))


def watch_from(note: Json) -> Watch | None:
    """Read a watch back from its note, None if there is none yet."""
    return Watch(**_known(Watch, note)) if note else None


def _known(kind: Any, note: Json) -> Json:
    names = {found.name for found in dataclasses.fields(kind)}
    return {name: value for name, value in note.items() if name in names}


# --- One look


def answers(answer: Answer) -> bool:
    """Whether an endpoint is well: a status of success."""
    return 200 <= answer.status < 300


def blind(look: Round) -> bool:
    """Whether DR could reach nobody at all, so that the look says nothing of the primary.

    Any answer of a witness will do, whatever its status: it came through the network.
    """
    return not answers(look.shallow) and bool(look.witnesses) and all(w.status == 0 for w in look.witnesses)


def heard(before: Memory, following: Following | None, at: str) -> Memory:
    """Remember what the replica has received, and since when."""
    if following is None or not following.is_replica:
        return before
    new = following.received != before.received or not before.received_at
    return dataclasses.replace(before, received=following.received, received_at=at if new else before.received_at)


def source(
    memory: Memory, following: Following | None, database: Database | None, at: str, *, planned: bool = False
) -> Source:
    """Judge whether the replica has lost its source.

    Parameters
    ----------
    memory
        With this look's answer in it already (`heard`).
    following
        What the replica's server says, None where it could not be asked.
    database
        What RDS says, None where it could not be asked or has no such instance.
    planned
        A planned switch is under way: the source's heart rests because it is frozen, and its replica may be promoted.

    Returns
    -------
    Source
        Lost, if the receiving thread is not connected, or nothing was received for `STALL_SECONDS`, or the server
        cannot be asked and RDS says that replication stopped. An applier that fails or lags has lost nothing.
    """
    if following is None:
        if database and database.source and database.replication in _BROKEN:
            return Source(lost=True, detail=f"RDS says that replication is {database.replication}", lag_seconds=-1)
        state = f"{database.status}, {database.replication or 'no replica'}" if database else "not to be seen"
        return Source(lost=None, detail=f"the replica cannot be asked; for RDS it is {state}")
    if not following.is_replica:
        # Retired, restored, or promoted by whoever: it can say nothing of the primary, and must not be failed over to
        # by itself.
        return Source(lost=None, detail="DR's database replicates from nobody")
    quiet = int((_moment(at) - _moment(memory.received_at or at)).total_seconds())
    lost, detail = _lost(following, quiet, planned=planned)
    return Source(
        lost,
        detail,
        -1 if following.lag_seconds is None else following.lag_seconds,
        following.heartbeat_at,
        following.heartbeat_age_seconds,
        memory.received_at,
    )


def _lost(following: Following, quiet: int, *, planned: bool) -> tuple[bool | None, str]:
    why = f": {following.detail}" if following.detail else ""
    if not following.source_connected:
        return (None if planned else True), f"the replica is not connected to its source{why}"
    if quiet >= STALL_SECONDS and not planned:
        return True, f"the replica has received nothing for {quiet} s"
    if following.lag_seconds is None:
        return False, f"the replica receives, but does not apply{why}"
    return False, f"the replica receives, {following.lag_seconds} s behind"


def asks_observers(before: Watch | None, *, first: bool) -> bool:
    """Whether health checkers elsewhere are asked by this look: by each minute's first, and by each while it fails.

    What they say changes once a minute, and on the day that one minute decides.
    """
    return first or bool(before and before.failing_since)


def observers(said: Observed | None, before: Watch | None, at: str) -> tuple[str, str]:
    """Put what Route 53's checkers say into a word, with the minute it is of.

    Who was not asked, or did not answer, takes nothing back: what was said before stands for as long as it would have
    been found.
    """
    if said is not None:
        return ("healthy" if said.status >= 1 else "unhealthy"), said.at
    if before and before.observed_at and (_moment(at) - _moment(before.observed_at)).total_seconds() < OBSERVED_SECONDS:
        return before.observers, before.observed_at
    return "unknown", ""


# --- After the looks before it


def watched(before: Watch | None, look: Round) -> Watch:
    """Carry on what was seen: since when it is so, as far as looks follow each other.

    A blind look ends every row of failures: it says nothing, so nothing may be counted through it. So does one that
    cannot judge the source.
    """
    old = before if before and before.region == look.region else Watch(region=look.region, at=look.at)
    unseen, failed = blind(look), not answers(look.shallow)

    def since(earlier: str, so: bool) -> str:
        return (earlier or look.at) if so else ""

    return Watch(
        region=look.region,
        at=look.at,
        ok_at=old.ok_at if failed else look.at,
        failing_since=since(old.failing_since, failed and not unseen),
        deep_failing_since=since(
            old.deep_failing_since, look.deep is not None and not answers(look.deep) and not unseen
        ),
        source_lost_since=since(old.source_lost_since, look.source.lost is True),
        blind_since=since(old.blind_since, unseen),
        heartbeat_at=look.source.heartbeat_at or old.heartbeat_at,
        observers=look.observers,
        observed_at=look.observed_at,
        detail=_detail(look),
        received_at=look.source.received_at,
    )


def _detail(look: Round) -> str:
    parts = [f"health {_said(look.shallow)}"]
    if look.deep is not None:
        parts.append(f"deep health {_said(look.deep)}")
    if blind(look):
        parts.append("no witness answers either, so this says nothing of the region")
    return "; ".join((*parts, look.source.detail))


def _said(answer: Answer) -> str:
    what = str(answer.status or "no answer")
    return f"{what} in {answer.milliseconds} ms" + (f" ({answer.detail})" if answer.detail else "")


def counted(before: Memory, look: Round) -> Memory:
    """Count the looks in a row that failed, and those at which the source was lost."""
    failed = not answers(look.shallow) and not blind(look)
    lost = look.source.lost is True
    return dataclasses.replace(
        before,
        failing_rounds=before.failing_rounds + 1 if failed else 0,
        lost_rounds=before.lost_rounds + 1 if lost else 0,
    )


def measures(look: Round) -> tuple[Measure, ...]:
    """Say what CloudWatch is given of a look. What it does not know is not put: missing is neither well nor lost."""
    unseen = blind(look)
    found = [Measure("ProbeBlind", float(unseen))]
    if not unseen:
        found.append(Measure("ProbeFailed", float(not answers(look.shallow)), fine=True))
        if look.deep is not None:
            found.append(Measure("DeepProbeFailed", float(not answers(look.deep))))
    if answers(look.shallow):
        found.append(Measure("ProbeLatency", look.shallow.milliseconds, "Milliseconds"))
    if look.deep is not None and answers(look.deep):
        found.append(Measure("DeepProbeLatency", look.deep.milliseconds, "Milliseconds"))
    if look.source.lost is not None:
        found.append(Measure("ReplicaLostSource", float(look.source.lost), fine=True))
    if look.source.lag_seconds is not None:
        found.append(Measure("ReplicaLag", look.source.lag_seconds, "Seconds"))
    if look.source.heartbeat_age_seconds is not None:
        found.append(Measure("HeartbeatAge", look.source.heartbeat_age_seconds, "Seconds"))
    if look.observers != "unknown":
        found.append(Measure("ObserversHealthy", float(look.observers == "healthy")))
    return tuple(found)


# --- What one of the two alone means: somebody is told, and nothing else happens


def one_alone(
    memory: Memory, watch: Watch, look: Round, rounds: int, environment: str, dr: str
) -> tuple[Memory, Json | None]:
    """Say whether the team is to hear that one signal alone holds: once for each incident.

    Parameters
    ----------
    memory, watch, look
        After this look.
    rounds
        Looks a minute.
    environment, dr
        As commands name them.

    Returns
    -------
    tuple
        The memory with the telling in it, and the notification, None where there is nothing to tell.
    """
    enough = _TELL_AFTER_MINUTES * rounds
    if memory.failing_rounds >= enough and look.source.lost is not True:
        kind, since, words = "primary-unreachable", watch.failing_since, _unreachable(watch, look, environment, dr)
    elif memory.lost_rounds >= enough and answers(look.shallow):
        kind, since, words = (
            "replication-lost",
            watch.source_lost_since,
            _replication_lost(watch, look, environment, dr),
        )
    else:
        return memory, None
    last = memory.told.get(kind, "")
    # Told since this incident began, or a moment ago: a primary that comes and goes is not told of each time.
    if last and (last >= since or (_moment(look.at) - _moment(last)).total_seconds() < _TELL_AGAIN_SECONDS):
        return memory, None
    told = dataclasses.replace(memory, told={**memory.told, kind: look.at})
    return told, {"kind": f"{kind}-{since}", "subject": words[0], "message": words[1]}


def _unreachable(watch: Watch, look: Round, environment: str, dr: str) -> tuple[str, str]:
    cause = (
        "its replica in DR still receives what is written there, so the region is alive and there is no failover"
        if look.source.lost is False
        else "whether it lives cannot be told from the replica, so there is no failover"
    )
    return (
        f"[{environment}] {watch.region} does not answer DR, and is not lost",
        "\n".join(
            (
                f"The public endpoint of {watch.region} has not answered DR's probe since {watch.failing_since}, but "
                f"{cause}.",
                "",
                f"Seen: {watch.detail}",
                f"Health checkers elsewhere say: {watch.observers}"
                + (f" (of the minute from {watch.observed_at})" if watch.observed_at else ""),
                "",
                "Look at the load balancer, its targets and the name in front of it. If users cannot reach the region "
                "either and it will take long to mend, fail over by hand:",
                f"  {tell.make('failover', environment, dr)}",
                "(docs/runbooks/failover.md, 1. Decide)",
            )
        ),
    )


def _replication_lost(watch: Watch, look: Round, environment: str, dr: str) -> tuple[str, str]:
    return (
        f"[{environment}] DR's replica has lost its source, and {watch.region} serves",
        "\n".join(
            (
                f"{watch.region} answers, but DR's replica has received nothing of it since about "
                f"{watch.source_lost_since}: {look.source.detail}.",
                "",
                "There is no failover for that. What is written meanwhile would be lost in one: its last heartbeat in "
                f"DR is of {watch.heartbeat_at or 'an unknown time'}.",
                "",
                f"Look at the replication of {environment}-db in DR (RDS console, SHOW REPLICA STATUS), and at whether "
                "the source's heart beats:",
                f"  {tell.make('status', environment, dr)}",
                "(docs/detection.md, If it does not work)",
            )
        ),
    )


# --- While DR is active


def back(region: str, at: str, problems: tuple[str, ...], primary: str) -> tuple[Watch, tuple[Measure, ...]]:
    """Say whether the primary's APIs answer again, while DR serves and there is nothing to fail over to.

    Parameters
    ----------
    problems
        What kept an API from answering; empty where all did.
    """
    detail = f"{primary} does not answer yet: {'; '.join(problems)}" if problems else f"{primary} answers again"
    watch = Watch(region=region, at=at, detail=f"{region} is active, and is not probed by itself; {detail}")
    return watch, (Measure("ProbeBlind", 0), Measure("PrimaryReady", float(not problems)))


# --- What AWS says of the region: a hint, shown and never acted on


def noted(before: Json, detail: Json, at: str) -> Json | None:
    """Add an event of AWS Health to what is known; None where it is known already.

    Parameters
    ----------
    before
        The note: ``events``, newest first.
    detail
        Of the event from EventBridge. One event has many communications, and each may come twice, from two regions
        (https://docs.aws.amazon.com/health/latest/ug/aws-health-events-eventbridge-schema.html).
    """
    event = {
        "event": str(detail.get("eventArn", "")),
        "communication": str(detail.get("communicationId", "")),
        "service": str(detail.get("service", "")),
        "code": str(detail.get("eventTypeCode", "")),
        "status": str(detail.get("statusCode", "")),
        "region": str(detail.get("eventRegion", "")),
        "started_at": str(detail.get("startTime", "")),
        "updated_at": str(detail.get("lastUpdatedTime", "")),
        "description": _head(detail.get("eventDescription", [])),
        "seen_at": at,
    }
    known = list(before.get("events", []))
    if any((e["event"], e["communication"]) == (event["event"], event["communication"]) for e in known):
        return None
    others = [e for e in known if e["event"] != event["event"]]
    return {"events": [event, *others][:_MOST_EVENTS]}


def _head(descriptions: Any) -> str:
    texts = [str(one.get("latestDescription", "")) for one in descriptions if isinstance(one, dict)]
    words = " ".join(" ".join(texts[:1]).split())
    return words if len(words) <= _WORDS else f"{words[: _WORDS - 1]}…"


def _moment(at: str) -> dt.datetime:
    return dt.datetime.fromisoformat(at)
