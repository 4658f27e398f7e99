"""A loop is impossible: both regions' records have to name the region that writes, and there is one in each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pilotlight.errors import PreconditionFailed
from tests.unit.core.conftest import DR, PRIMARY

if TYPE_CHECKING:
    from tests.unit.parameters.regions import Regions

WRITES = ("PutParameter", "DeleteParameters", "AddTagsToResource", "RemoveTagsFromResource", "LabelParameterVersion")


def writes(two: Regions, region: str) -> int:
    return sum(two.calls[(region, operation)] for operation in WRITES)


def test_with_both_rules_wrongly_enabled_a_change_crosses_once(two: Regions) -> None:
    """Every event of both regions is delivered to both functions, the echoes' own included."""
    two.put("/dev/app/x", "v1")
    two.put("/dev/app/x", "v2", Type="String")
    two.put("/dev/app/y", "v1", DR)
    two.deliver()
    assert two.value("/dev/app/x") == "v2"
    assert writes(two, DR) == 1
    assert writes(two, PRIMARY) == 0


def test_the_standby_never_writes_whatever_wakes_it(two: Regions) -> None:
    two.put("/dev/app/x", "v", DR)
    assert two.send("/dev/app/x", region=DR)["outcome"] == "standing by"
    assert two.reconcile(DR)["outcome"] == "standing by"
    assert two.value("/dev/app/x", PRIMARY) is None
    assert writes(two, PRIMARY) == 0


def test_after_a_switch_it_goes_the_other_way_and_nothing_echoes(two: Regions) -> None:
    two.put("/dev/app/x", "v1")
    two.deliver()
    two.record(DR)
    two.put("/dev/app/x", "v2", DR)
    two.put("/dev/app/new", "v", DR)
    two.deliver()
    assert (two.value("/dev/app/x", PRIMARY), two.value("/dev/app/new", PRIMARY)) == ("v2", "v")
    two.ssm(DR).delete_parameter(Name="/dev/app/x")
    two.deliver()
    assert two.value("/dev/app/x", PRIMARY) is None
    assert two.events == []


@pytest.mark.parametrize("region", [PRIMARY, DR])
def test_while_the_records_disagree_nobody_writes(two: Regions, region: str) -> None:
    """The old primary comes back and still believes that it serves."""
    two.record(DR, DR)
    two.put("/dev/app/x", "old")
    two.put("/dev/app/x", "new", DR)
    with pytest.raises(PreconditionFailed, match="nothing was carried"):
        two.send("/dev/app/x", region=region)
    with pytest.raises(PreconditionFailed, match="nothing was carried"):
        two.reconcile(region)
    assert (two.value("/dev/app/x", PRIMARY), two.value("/dev/app/x")) == ("old", "new")


def test_before_the_other_region_is_deployed_there_is_nothing_to_do(two: Regions) -> None:
    with two.uncounted():
        two.ssm(DR).delete_parameter(Name="/dev/pilotlight/active-region")
    assert two.reconcile()["detail"] == f"{DR} is not deployed yet"


def test_what_was_first_carried_the_other_way_is_ours_after_a_switch(two: Regions) -> None:
    two.put("/dev/app/x", "v")
    two.deliver()
    two.record(DR)
    assert two.reconcile(DR)["tagged"] == 1
    assert two.reconcile(DR)["tagged"] == 0
    two.ssm(DR).delete_parameter(Name="/dev/app/x")
    two.reconcile(DR)
    assert two.value("/dev/app/x", PRIMARY) is None


def test_the_rule_follows_the_record(two: Regions) -> None:
    from pilotlight.aws import clients

    def states() -> list[str]:
        return [
            clients.steady("events", region).describe_rule(Name="dev-parameter-sync")["State"]
            for region in (PRIMARY, DR)
        ]

    for active, wanted in ((PRIMARY, ["ENABLED", "DISABLED"]), (DR, ["DISABLED", "ENABLED"])):
        two.record(active)
        two.reconcile(PRIMARY)
        two.reconcile(DR)
        assert states() == wanted
