"""Writers that ignore the freeze get nothing in after it, and the replica proves that it has everything before it."""

from __future__ import annotations

import contextlib
import threading

import pymysql
import pytest

from pilotlight import sql
from pilotlight.errors import PreconditionFailed, TransientError
from pilotlight.model import Proof
from tests.lab.databases import Databases
from tests.lab.prepared import EXECUTION, MASTER, Prepared
from tests.lab.running import DR, PRIMARY, RunningLab

_DUMPS = "SELECT ID AS id FROM information_schema.PROCESSLIST WHERE COMMAND LIKE 'Binlog Dump%%' AND 1 = %s"


class Insistent(threading.Thread):
    """A client that writes and connects again for ever; it knows what it was acknowledged."""

    def __init__(self, pair: Prepared) -> None:
        super().__init__(daemon=True)
        self._pair = pair
        self._over = threading.Event()
        self.acknowledged: list[int] = []
        self.refused = threading.Event()

    def run(self) -> None:
        number = 1000
        while not self._over.is_set():
            with (
                contextlib.suppress(pymysql.err.Error),
                contextlib.closing(self._pair.client(PRIMARY, database="app", autocommit=True)) as client,
                client.cursor() as cursor,
            ):
                while not self._over.is_set():
                    number += 1
                    try:
                        cursor.execute("INSERT INTO rows_of_a_test VALUES (%s)", (number,))
                    except pymysql.err.OperationalError as error:
                        if error.args[0] == 1290:
                            self.refused.set()
                        raise
                    self.acknowledged.append(number)

    def stop(self) -> None:
        self._over.set()
        self.join()


def test_no_connection_no_open_transaction_and_no_event_writes_after_the_freeze(lab: RunningLab) -> None:
    pair = Prepared(Databases(lab), "frozen")
    pair.execute("INSERT INTO app.rows_of_a_test VALUES (1)")
    pair.execute(
        "CREATE EVENT app.sneaks ON SCHEDULE EVERY 1 SECOND DO "
        "INSERT INTO app.rows_of_a_test SELECT MAX(id) + 100000 FROM app.rows_of_a_test",
        who=MASTER,
    )
    opened, locked = pair.client(PRIMARY, database="app"), pair.client(PRIMARY, database="app")
    opened.cursor().execute("INSERT INTO rows_of_a_test VALUES (2)")
    locked.cursor().execute("CREATE TABLE locked (id INT)")
    # Whoever holds locks keeps a server from becoming read-only, for as long as it likes.
    locked.cursor().execute("LOCK TABLES locked WRITE")
    insistent = Insistent(pair)
    insistent.start()
    lab.wait_until(lambda: insistent.acknowledged)
    with pair.server(PRIMARY) as source:
        dumps = source.rows(_DUMPS, 1)
        told = sql.mark(source, 7, EXECUTION)
        assert told.marked_at.endswith("+00:00")

    last = pair.freeze()

    with pytest.raises(pymysql.err.Error):
        opened.commit()
    assert insistent.refused.wait(20)
    with pytest.raises(pymysql.err.OperationalError, match="read-only"):
        pair.execute("INSERT INTO app.rows_of_a_test VALUES (3)")
    with pytest.raises(pymysql.err.OperationalError, match="read-only"):
        pair.execute("DELETE FROM app.rows_of_a_test", who=MASTER)
    attempt = _last_attempt(pair)
    lab.wait_until(lambda: _last_attempt(pair) > attempt, 60, "the event's attempt to write")
    with pair.server(PRIMARY) as source:
        again = sql.quiet(source)
        assert (again.read_only, again.position) == (True, last.position)
        assert source.rows(_DUMPS, 1) == dumps, "the replica's connection was left alone"
    insistent.stop()

    with pair.server(DR) as replica:
        lab.wait_until(lambda: sql.prove(replica, 7, last.position).proven, 60, "the proof")
        assert sql.prove(replica, 7, last.position) == Proof(True, True, 0, True)
        assert not sql.prove(replica, 8, last.position).proven, "another switchover's marker proves nothing"
    rows = "SELECT id FROM app.rows_of_a_test ORDER BY id"
    here, there = pair.execute(rows), pair.execute(rows, DR)
    assert here == there
    ids = {row[0] for row in there}
    assert set(insistent.acknowledged) <= ids
    assert 2 not in ids

    # Taken back: writable, and the heart beats again.
    pair.set_parameters(PRIMARY, read_only="{TrueIfReplica}")

    def beats() -> bool:
        with contextlib.suppress(TransientError), pair.server(PRIMARY) as source:
            sql.beat(source)
            return True
        return False

    lab.wait_until(beats, 60, "the source open again")
    pair.execute("INSERT INTO app.rows_of_a_test VALUES (3)")
    pair.beats(DR)


def test_a_replica_that_does_not_apply_proves_nothing_until_it_does(lab: RunningLab) -> None:
    pair = Prepared(Databases(lab), "proof")
    pair.beats(DR)
    pair.databases.control("pause-applying", region=DR, identifier="proof")
    for number in range(1, 6):
        pair.execute(f"INSERT INTO app.rows_of_a_test VALUES ({number})")
    with pair.server(PRIMARY) as source:
        sql.mark(source, 3, EXECUTION)
        sql.mark(source, 3, EXECUTION)
    opened = pair.client(PRIMARY, database="app")
    opened.cursor().execute("INSERT INTO rows_of_a_test VALUES (6)")
    pair.set_parameters(PRIMARY, read_only="1")
    with pair.server(PRIMARY) as source:
        lab.wait_until(lambda: source.read_only, 60, "the source read-only")
    # Even one that nobody has ended yet.
    with pytest.raises(pymysql.err.OperationalError, match="read-only"):
        opened.commit()
    last = pair.freeze()
    with pair.server(PRIMARY) as source:
        with pytest.raises(PreconditionFailed, match="read-only"):
            sql.mark(source, 4, EXECUTION)
        with pytest.raises(PreconditionFailed, match="no replica"):
            sql.prove(source, 3, last.position)

    with pair.server(DR) as replica:
        proof = sql.prove(replica, 3, last.position)
        assert (proof.proven, proof.marker, proof.applier_running) == (False, False, False)
        # Five rows, the event's rest and the marker, twice each; beats may have come between.
        assert proof.missing >= 9
        pair.databases.control("resume-applying", region=DR, identifier="proof")
        lab.wait_until(lambda: sql.prove(replica, 3, last.position).proven, 60, "the proof")
        assert sql.prove(replica, 3, last.position) == Proof(True, True, 0, True)
    assert pair.execute("SELECT COUNT(*) FROM app.rows_of_a_test", DR) == ((5,),)


def _last_attempt(pair: Prepared) -> str:
    found = pair.execute("SELECT LAST_EXECUTED FROM information_schema.EVENTS WHERE EVENT_NAME = 'sneaks'", who=MASTER)
    return str(found[0][0])
