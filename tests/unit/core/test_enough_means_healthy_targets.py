from __future__ import annotations

from dataclasses import replace

import pytest

from pilotlight.decide import capacity, images
from pilotlight.errors import PreconditionFailed
from pilotlight.model import Capacity, Image, Instance, Target
from tests.unit.core.samples import EMPTY_GROUP, IMAGE, TARGETS, UP_GROUP


@pytest.mark.parametrize(
    ("configured", "running", "wanted"),
    [
        (Capacity(2, 2, 4), Capacity(0, 0, 4), Capacity(2, 2, 4)),
        (Capacity(2, 2, 4), Capacity(3, 6, 8), Capacity(3, 6, 8)),
        (Capacity(2, 3, 4), Capacity(0, 6, 4), Capacity(2, 6, 6)),
    ],
)
def test_sizes_are_never_lower_than_what_runs(configured: Capacity, running: Capacity, wanted: Capacity) -> None:
    assert capacity.wanted(configured, running) == wanted


def test_a_target_that_is_no_member_of_the_group_is_no_capacity() -> None:
    assert capacity.healthy(UP_GROUP, (*TARGETS, Target("i-old", "healthy"))) == 2


@pytest.mark.parametrize(
    "targets",
    [
        (),
        (TARGETS[0],),
        (TARGETS[0], Target("i-2", "initial")),
        (TARGETS[0], Target("i-2", "unhealthy", "Target.ResponseCodeMismatch")),
    ],
)
def test_a_returned_call_is_not_capacity(targets: tuple[Target, ...]) -> None:
    assert not capacity.is_enough(UP_GROUP, targets, 2, 0, 900, ())


def test_an_instance_that_is_still_pending_does_not_count() -> None:
    pending = replace(UP_GROUP, instances=(UP_GROUP.instances[0], Instance("i-2", "Pending", "Healthy")))
    assert capacity.healthy(pending, TARGETS) == 1


def test_when_the_budget_is_spent_the_message_tells_what_each_part_says() -> None:
    targets = (TARGETS[0], Target("i-2", "unhealthy", "Target.Timeout"))
    with pytest.raises(PreconditionFailed) as failed:
        capacity.is_enough(UP_GROUP, targets, 2, 900, 900, ("Launching failed: InsufficientInstanceCapacity",))
    for part in (
        "1 of 2 targets",
        "1 unhealthy (Target.Timeout)",
        "2 InService",
        "InsufficientInstanceCapacity",
        "900 s",
    ):
        assert part in str(failed.value)


def test_a_group_that_may_not_launch_is_refused_with_the_command() -> None:
    with pytest.raises(
        PreconditionFailed, match="resume-processes --region eu-central-1 --auto-scaling-group-name dev-asg"
    ):
        capacity.check_launchable(replace(EMPTY_GROUP, suspended=("Launch",)), "eu-central-1")
    capacity.check_launchable(replace(EMPTY_GROUP, suspended=("AZRebalance",)), "eu-central-1")


def test_the_newest_complete_image_is_chosen() -> None:
    older = Image("ami-1", "", "available", "2026-11-01T00:00:00.000Z")
    newer_but = "2026-11-03T00:00:00.000Z"
    pending = Image("ami-3", "", "pending", newer_but)
    failed = Image("ami-4", "", "failed", newer_but)
    torn = Image("ami-5", "", "available", newer_but, snapshots_complete=False)
    assert images.newest_complete((older, pending, IMAGE, failed, torn)) == IMAGE
    assert images.newest_complete((pending, failed)) is None


def test_without_an_image_the_way_to_one_is_told() -> None:
    with pytest.raises(PreconditionFailed, match="pilotlight:environment=dev") as refused:
        images.require(None, "dev", "eu-west-1", "eu-central-1", "make image ENVIRONMENT=dev …")
    assert "with `make image ENVIRONMENT=dev …`" in str(refused.value)
