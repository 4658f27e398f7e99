"""A lost region's servers are killed, and come back with the data they had; none outlives the lab."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import threading
from pathlib import Path

import pymysql
import pytest

from tests.lab.databases import Databases
from tests.lab.running import DR, PRIMARY, RunningLab


def test_every_acknowledged_row_is_there_when_the_region_is_back(lab: RunningLab) -> None:
    databases = Databases(lab)
    databases.pair("killed")
    acknowledged: list[int] = []
    connection = databases.connect("killed", PRIMARY)

    def write() -> None:
        with contextlib.suppress(pymysql.err.OperationalError), connection.cursor() as cursor:
            for number in range(1_000_000):
                cursor.execute("INSERT INTO rows_of_a_test VALUES (%s)", (number,))
                acknowledged.append(number)

    writer = threading.Thread(target=write)
    writer.start()
    lab.wait_until(lambda: len(acknowledged) > 200)
    port = databases.shown("killed", PRIMARY)["Endpoint"]["Port"]
    lab.lose(PRIMARY)
    writer.join(timeout=20)
    assert not writer.is_alive()
    with pytest.raises(pymysql.err.OperationalError):
        pymysql.connect(host="127.0.0.1", port=port, user="anybody", connect_timeout=2)
    lab.wait_until(lambda: databases.shown("killed", DR)["StatusInfos"][0]["Status"] == "error")

    lab.bring_back(PRIMARY)

    # One more may have been committed that nobody was told of.
    rows = databases.count("killed", PRIMARY)
    assert len(acknowledged) <= rows <= len(acknowledged) + 1
    assert databases.shown("killed", PRIMARY)["Endpoint"]["Port"] == port
    databases.wait_for_rows("killed", DR, rows)


def test_no_server_outlives_a_lab_that_is_killed(tmp_path: Path) -> None:
    lab = RunningLab("--no-deploy", log=tmp_path / "output", scale=1000, ready_within=180)
    try:
        Databases(lab).create("orphan")
        told = Databases(lab).told("orphan", PRIMARY)
    finally:
        lab.stop(signal.SIGKILL)

    lab.process.poll()
    deadline = threading.Event()
    for _ in range(100):
        if not _listens(told["port"]):
            break
        deadline.wait(0.1)
    assert not _listens(told["port"])
    # Nobody was left to do it.
    shutil.rmtree(Path(told["ca"]).parents[2])


def test_no_server_and_no_file_outlives_a_lab_that_is_stopped(tmp_path: Path) -> None:
    lab = RunningLab("--no-deploy", log=tmp_path / "output", scale=1000, ready_within=180)
    try:
        Databases(lab).create("stopped")
        told = Databases(lab).told("stopped", PRIMARY)
    finally:
        status = lab.stop(signal.SIGINT)

    assert status in (0, 130)
    assert not _listens(told["port"])
    assert not os.path.lexists(told["socket"])
    assert not os.path.lexists(told["ca"])


def _listens(port: int) -> bool:
    try:
        pymysql.connect(host="127.0.0.1", port=port, user="anybody", connect_timeout=2).close()
    except pymysql.err.OperationalError as error:
        return bool(error.args[0] == 1045)  # somebody is there to say no
    return True
