"""Looks into the database by SQL, from inside the VPC, and does there what the RDS API cannot.

It reaches no state table, so it knows no lock: who calls it for a switch holds the lock and checks it before each call.
"""

from __future__ import annotations

import os

from pilotlight import sql
from pilotlight.aws.secret import credentials
from pilotlight.decide import promotion
from pilotlight.errors import PreconditionFailed
from pilotlight.model import Json, as_json
from pilotlight.step import Call, serve


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


def prepare(call: Call) -> Json:
    """Make the heartbeat and the application's account in the active database, or bring them in line."""
    schema = os.environ.get("DATABASE_NAME", "")
    if not schema:
        raise PreconditionFailed(
            "environment variable DATABASE_NAME is not set on this function: deploy the stack again"
        )
    names = call.environment.names
    master, application = credentials(names.secret), credentials(names.application_secret)
    with _server(call) as server:
        sql.prepare(server, master.username, application, schema)
        return {"prepared": True, "server": server.dialect.name}


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
        return as_json(sql.prove(server, call.epoch, str(call.payload["position"])))


def beat(call: Call) -> Json:
    """Let the heartbeat beat in a database that was promoted or opened again."""
    with _server(call) as server:
        sql.beat(server)
    return {"beating": True}


handler = serve("sql", {"drain": drain, "prepare": prepare, "mark": mark, "quiet": quiet, "prove": prove, "beat": beat})
