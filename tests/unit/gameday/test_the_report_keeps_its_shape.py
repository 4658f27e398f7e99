from __future__ import annotations

import json

from tests.unit.gameday.gamedays import broken_standing, report


def test_who_reads_the_report_finds_what_was_agreed() -> None:
    data = json.loads(json.dumps(report().as_json()))
    assert data["schema"] == 1
    assert data["regions"] == {"primary": "eu-west-1", "dr": "eu-central-1"}
    assert data["time_scale"] == 10.0
    assert data["held"] is True
    failover = data["failover"]
    assert failover["status"] == "SUCCEEDED"
    assert failover["trigger"] == "manual"
    assert failover["rto_seconds"] == 224.1
    assert failover["rto_note"]
    assert failover["work_seconds"] == 76
    step = next(each for each in failover["steps"] if each["name"] == "Promote the database")
    assert {"branch": "database", "start": 26.0, "end": 210.0, "seconds": 184.0}.items() <= step.items()
    assert {"acknowledged": 418, "lost": 0, "received_unapplied": 0, "lost_ids": []}.items() <= data["writes"].items()
    assert all(check.keys() == {"name", "held", "detail"} for check in data["checks"])


def test_one_check_that_did_not_hold_is_enough() -> None:
    assert report(standing=broken_standing()).as_json()["held"] is False


def test_each_phase_stands_under_its_own_name() -> None:
    data = report().as_json()
    assert data["phases"] == ["failover"]
    assert data["failover"]["writes"]["acknowledged"] == data["writes"]["acknowledged"]
