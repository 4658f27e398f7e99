"""Looks into the database by SQL, from inside the VPC, and does there what the RDS API cannot.

It reaches no state table, so it knows no lock: who calls it for a switch holds the lock and checks it before each call.
"""

from __future__ import annotations

import dataclasses
import os
import re
import tempfile

from pilotlight import sql
from pilotlight.aws import evidence, faults
from pilotlight.aws.secret import credentials
from pilotlight.decide import promotion
from pilotlight.errors import FatalError, PilotLightError, PreconditionFailed
from pilotlight.model import Following, Json, Login, Replication, as_json
from pilotlight.sql import binlog
from pilotlight.step import Call, serve

_NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")


def _server(call: Call) -> sql.Server:
    database = call.payload["database"]
    return sql.connect(str(database["host"]), int(database["port"]), credentials(call.environment.names.secret))


def drain(call: Call) -> Json:
    """Say whether the replica has applied all it received, and whether to wait for the rest."""
    plan = call.plan
    login = credentials(call.environment.names.secret)
    with sql.connect(plan.database_host, plan.database_port, login) as server:
        seen, beat_seen = sql.replication(server), sql.last_beat(server)
    return {
        "outcome": promotion.drained(seen, call.waited, plan.budgets.drain),
        "received_unapplied": seen.unapplied,
        "applied": seen.applied,
        "received": seen.received,
        "executed": seen.executed,
        "source_connected": seen.source_connected,
        "detail": seen.error,
        "heartbeat_at": beat_seen.at if beat_seen else "",
        "heartbeat_age_seconds": beat_seen.age_seconds if beat_seen else None,
        "waited": call.waited,
    }


def heard(call: Call) -> Json:
    """Say when a database last heard the active one's heart, and whether it applies what it receives."""
    with _server(call) as server:
        seen, beat_seen = sql.replication(server), sql.last_beat(server)
    return {
        "is_replica": seen.is_replica,
        "applied": seen.applied,
        # The set of transactions stands still while a large one comes in.
        "received": _received(seen),
        "source_connected": seen.source_connected,
        "detail": seen.error,
        "heartbeat_at": beat_seen.at if beat_seen else "",
        "heartbeat_age_seconds": beat_seen.age_seconds if beat_seen else None,
    }


def follow(call: Call) -> Json:
    """Say whether a replica still has its source, in one connection: asked every few seconds."""
    with _server(call) as server:
        seen, beat_seen = sql.replication(server), sql.last_beat(server)
    return as_json(
        Following(
            is_replica=seen.is_replica,
            source_connected=seen.source_connected,
            received=_received(seen),
            lag_seconds=seen.lag_seconds,
            heartbeat_at=beat_seen.at if beat_seen else "",
            heartbeat_age_seconds=beat_seen.age_seconds if beat_seen else None,
            detail=seen.receiver_error or seen.error,
        )
    )


def _received(seen: Replication) -> str:
    """Say what has come so far, so that it changes with every event that comes."""
    return f"{seen.read} {seen.received}".strip()


def prepare(call: Call) -> Json:
    """Make the heartbeat and the application's account in the active database, or bring them in line."""
    schema = _variable("DATABASE_NAME")
    names = call.environment.names
    # Who has just written a new password names its version: an older one must not be set once more.
    version = str(call.payload.get("version", ""))
    secret_id = names.application_secret
    master, application = (
        credentials(names.secret),
        credentials(secret_id, version) if version else credentials(secret_id),
    )
    with _server(call) as server:
        sql.prepare(server, master.username, application, schema)
        # A deployment may as well fail: who deploys is there to mend it.
        sql.keep_log(server)
        return {"prepared": True, "server": server.dialect.name}


def login(call: Call) -> Json:
    """Log in with each of this region's secrets, and say which version it was: that they are good is known then."""
    database, names = call.payload["database"], call.environment.names
    found: Json = {}
    for secret_id in (names.secret, names.application_secret):
        version = ""
        try:
            known = credentials(secret_id)
            version = known.version
            with sql.connect(str(database["host"]), int(database["port"]), known) as server:
                server.rows("SELECT 1 AS value")
            found[secret_id] = as_json(Login(version, logged_in=True))
        except Exception as error:  # noqa: BLE001 - one that is bad says nothing of the other
            found[secret_id] = as_json(Login(version, detail=str(faults.sorted_into_family(error))))
    return {"logins": found}


def mark(call: Call) -> Json:
    """Let the source's heartbeat rest and write the marker that its replica will be asked for."""
    with _server(call) as server:
        return as_json(sql.mark(server, call.epoch, call.execution))


def quiet(call: Call) -> Json:
    """End the connections that could still write, and say how the source stands."""
    with _server(call) as server:
        return as_json(sql.quiet(server))


def prove(call: Call) -> Json:
    """Say whether the replica has the marker, and everything up to the source's position."""
    with _server(call) as server:
        restored = bool(call.payload.get("restored", False))
        return as_json(sql.prove(server, call.epoch, str(call.payload["position"]), restored=restored))


def beat(call: Call) -> Json:
    """Let the heartbeat beat in a database that was promoted or opened again."""
    with _server(call) as server:
        sql.beat(server)
        # A failover may not fail for what will be asked for at the next one only.
        try:
            sql.keep_log(server)
        except PilotLightError as error:
            return {"beating": True, "log_kept": False, "detail": str(error)}
    return {"beating": True, "log_kept": True, "detail": ""}


def position(call: Call) -> Json:
    """Say how far a database is."""
    with _server(call) as server:
        return as_json(sql.position(server))


def compare(call: Call) -> Json:
    """Count and list what an old database has and the new one, in the other region, never got.

    Who waits for the answer in a freeze says for how many ``seconds`` the log may be read.
    """
    limits = sql.Limits(seconds=float(call.payload["seconds"])) if "seconds" in call.payload else sql.Limits()
    bucket = _variable("EVIDENCE_BUCKET")
    name = str(call.payload["name"])
    if not _NAME.fullmatch(name):
        raise FatalError(f"'name' is {name!r}: it must be a database's, in small letters, digits and hyphens")
    database = call.payload["database"]
    host, port = str(database["host"]), int(database["port"])
    login = credentials(call.environment.names.secret)
    with sql.connect(host, port, login) as server, tempfile.TemporaryFile() as file:
        kind = server.dialect
        executed = str(call.payload["executed"])
        found, lines = sql.compare(
            server, executed, lambda since: binlog.read(host, port, login, kind, since), file, limits
        )
        if lines:
            # A list for each run: the log that is read grows shorter by the hour, and what is listed of it with it.
            run = call.execution.rsplit(":", 1)[-1]
            place = evidence.keep(bucket, f"divergence/{name}/{run}/missing.jsonl", file)
            found = dataclasses.replace(found, evidence=place)
    return as_json(found)


def _variable(name: str) -> str:
    value = os.environ.get(name, "")
    if not value:
        raise PreconditionFailed(f"environment variable {name} is not set on this function: deploy the stack again")
    return value


handler = serve(
    "sql",
    {
        "drain": drain,
        "heard": heard,
        "follow": follow,
        "prepare": prepare,
        "login": login,
        "mark": mark,
        "quiet": quiet,
        "prove": prove,
        "beat": beat,
        "position": position,
        "compare": compare,
    },
)
