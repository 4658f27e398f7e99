from __future__ import annotations

import json
from dataclasses import replace

from lab.gameday import checks
from lab.gameday.draw import Draw
from lab.gameday.series import Held, combined
from tests.unit.gameday.gamedays import broken_standing, circle, report, series


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
    assert all(check.keys() == {"name", "held", "detail", "phase"} for check in data["checks"])


def test_one_check_that_did_not_hold_is_enough() -> None:
    assert report(standing=broken_standing()).as_json()["held"] is False


def test_each_phase_stands_under_its_own_name() -> None:
    data = report().as_json()
    assert data["phases"] == ["failover"]
    assert data["failover"]["writes"]["acknowledged"] == data["writes"]["acknowledged"]


def test_a_circle_has_a_part_for_each_phase_and_every_order_is_in_one() -> None:
    data = json.loads(json.dumps(circle().as_json()))
    assert data["phases"] == ["failover", "reprotect", "switchover", "failback"]
    assert data["held"] is True
    for count in ("acknowledged", "lost", "attempts"):
        assert data["writes"][count] == sum(data[name]["writes"][count] for name in data["phases"])
    assert data["failover"]["writes"]["lost"] == 2
    assert data["reprotect"]["divergence"]["rows"] == data["reprotect"]["divergence_orders"] == 5
    assert data["reprotect"]["stray"] == 3
    assert data["reprotect"]["divergence_ids"] == ["a252", "a253", "s1", "s2", "s3"]
    assert data["switchover"]["freeze_seconds"] == data["failback"]["freeze_seconds"] == 238.0
    assert "stray" not in data["failover"]
    assert [each["scale"] for each in data["clock"]] == [60.0, 10.0, 60.0]


def test_a_series_adds_its_circles_up() -> None:
    data = json.loads(json.dumps(series(3)))
    assert (data["held"], data["cycles"], data["seed"]) == (True, 3, 7)
    assert [each["number"] for each in data["circles"]] == [1, 2, 3]
    assert data["circles"][0]["seed"] == 7
    assert len({each["seed"] for each in data["circles"]}) == 3
    one = circle().as_json()
    for name in one["phases"]:
        assert data[name]["writes"]["acknowledged"] == 3 * one[name]["writes"]["acknowledged"]
    assert data["failover"]["rto_seconds"] == 251.0
    assert data["failover"]["rto_seconds_median"] == 234.0
    assert data["shown"] == 3
    assert data["reprotect"]["stray"] == 9


def test_one_circle_that_did_not_hold_is_enough() -> None:
    data = series(3, broken=2)
    assert not data["held"]
    assert data["shown"] == 2
    assert [each["held"] for each in data["circles"]] == [True, False, True]
    assert [check["detail"] for check in data["circles"][1]["failed_checks"]] == ["its list lacks 1 orders"]
    broken = [check for check in data["checks"] if not check["held"]]
    assert [check["detail"] for check in broken] == ["circle 2: its list lacks 1 orders"]


def test_a_circle_that_was_not_held_is_no_success() -> None:
    assert not combined([Held(1, 7, Draw(), circle())], 2)["held"]
    assert not Held(1, 7, Draw(), report()).held, "a failover alone is no circle"
    assert not Held(1, 7, Draw(), circle(), "it broke off").held


def test_a_circle_follows_only_where_both_regions_are_in_their_places() -> None:
    seen = circle()
    assert Held(1, 7, Draw(), seen).can_go_on
    early = report()
    early.checks.append(checks.earlier_orders(10, 0))
    assert not Held(1, 7, Draw(), early).can_go_on, "what is there from before says nothing of the places"
    seen.checks[-2] = replace(seen.checks[-2], held=False)
    assert not Held(1, 7, Draw(), seen).can_go_on
