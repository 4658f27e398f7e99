from __future__ import annotations

from typing import TYPE_CHECKING

import boto3

from functions.pair import app
from pilotlight.aws.record import Store
from pilotlight.model import Record

from .conftest import DR, PRIMARY, settings

if TYPE_CHECKING:
    from .conftest import Regions


def test_dr_records_the_primary_as_active(regions: Regions) -> None:
    regions.deploy(DR)
    assert app.record(settings(DR.region))
    item = regions.state()
    assert (item["active_region"], item["epoch"], item["lock"]) == (PRIMARY.region, 0, "free")


def test_the_record_that_a_switch_wrote_stays(regions: Regions) -> None:
    regions.deploy(DR)
    table = boto3.resource("dynamodb", region_name=DR.region).Table("dev-dr-state")
    table.put_item(Item={"id": "switch", "active_region": DR.region, "epoch": 3, "lock": "held"})
    assert not app.record(settings(DR.region))
    assert regions.state()["active_region"] == DR.region


def test_the_primary_has_no_record_to_write(regions: Regions) -> None:
    regions.deploy(PRIMARY)
    assert not app.record(settings(PRIMARY.region))


def test_the_orchestrator_reads_the_first_record_as_nothing_switched_yet(regions: Regions) -> None:
    regions.deploy(DR)
    app.record(settings(DR.region))
    store = Store("dev-dr-state", PRIMARY.region, boto3.client("dynamodb", region_name=DR.region))
    seen = store.read()
    assert seen == Record(active_region=PRIMARY.region)
    assert store.replace(seen, Record(active_region=PRIMARY.region, epoch=1, lock="held", holder="execution"))
