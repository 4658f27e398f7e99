"""The heartbeat is written by the source and read in the replica; a promoted replica writes its own."""

from __future__ import annotations

import pytest

from pilotlight import sql
from pilotlight.errors import PreconditionFailed, TransientError
from tests.lab.databases import USER, Databases
from tests.lab.prepared import APPLICATION, MASTER, Prepared
from tests.lab.running import DR, PRIMARY, RunningLab


def test_a_beat_of_the_source_arrives_and_a_promoted_replica_goes_on_beating(lab: RunningLab) -> None:
    pair = Prepared(Databases(lab), "heart")
    pair.beats(PRIMARY)
    pair.beats(DR)
    with pair.server(DR) as replica:
        # What the source's event is in a replica, which must not write.
        events = replica.rows("SELECT STATUS AS status FROM information_schema.EVENTS WHERE EVENT_NAME = 'heartbeat'")
        assert [event["status"] for event in events] == ["SLAVESIDE_DISABLED"]
        with pytest.raises(TransientError, match="read-only"):
            sql.beat(replica)

    pair.databases.rds[DR].promote_read_replica(DBInstanceIdentifier="heart", BackupRetentionPeriod=7)
    pair.databases.promoted("heart")
    pair.databases.available("heart", DR)
    for _ in range(2):
        with pair.server(DR) as promoted:
            sql.beat(promoted)
    pair.beats(DR)


def test_a_database_that_runs_no_events_is_not_prepared(lab: RunningLab) -> None:
    databases = Databases(lab)
    shown = databases.create("heartless")
    endpoint = shown["Endpoint"]
    with sql.connect(endpoint["Address"], endpoint["Port"], MASTER) as server:
        assert sql.last_beat(server) is None
        with pytest.raises(PreconditionFailed, match="event_scheduler"):
            sql.prepare(server, USER, APPLICATION, "app")
