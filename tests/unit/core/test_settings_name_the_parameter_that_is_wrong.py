from __future__ import annotations

from typing import Any

import pytest

from pilotlight.config import MOST, image_settings_from, object_limits_from, policy_from, settings_from
from pilotlight.errors import PreconditionFailed
from tests.unit.core.samples import SETTINGS

PATH = "/dev/pilotlight/config"
SOUND = {
    "primary-region": "eu-west-1",
    "dr-region": "eu-central-1",
    "capacity-min": "2",
    "capacity-desired": "2",
    "capacity-max": "4",
    "healthy-targets": "2",
    "backup-retention-days": "7",
    "poll-seconds": "5",
    "drain-budget-seconds": "60",
    "promotion-budget-seconds": "600",
    "compute-budget-seconds": "900",
    "workload-budget-seconds": "300",
    "verify-budget-seconds": "120",
    "freeze-budget-seconds": "100",
    "proof-budget-seconds": "100",
    "protection-budget-seconds": "3600",
    "snapshot-budget-seconds": "3600",
    "most-lag-seconds": "30",
    "cool-down-seconds": "1800",
    "verify-path": "/pilotlight/verify",
    "application-host": "-",
    "workload-functions": "-",
}


def test_parameters_become_settings() -> None:
    assert settings_from(SOUND, PATH) == SETTINGS


def test_functions_are_a_list() -> None:
    named = settings_from(SOUND | {"workload-functions": "a, b,"}, PATH)
    assert named.workload_functions == ("a", "b")


@pytest.mark.parametrize("name", sorted(set(SOUND) - {"application-host", "workload-functions"}))
def test_a_missing_one_is_named_with_the_way_out(name: str) -> None:
    with pytest.raises(PreconditionFailed, match=f"{PATH}/{name} is missing: put it"):
        settings_from({key: value for key, value in SOUND.items() if key != name}, PATH)


@pytest.mark.parametrize(
    ("name", "value"),
    [("capacity-min", "two"), ("capacity-min", "0"), ("poll-seconds", "-5"), ("backup-retention-days", "0")],
)
def test_a_number_that_is_none_is_named(name: str, value: str) -> None:
    with pytest.raises(PreconditionFailed, match=f"{name} is '{value}'"):
        settings_from(SOUND | {name: value}, PATH)


POLICY = {
    "failover-mode": "automatic",
    "failback-mode": "manual",
    "max-data-loss-seconds": "60",
    "approval-timeout-seconds": "900",
    "approval-default": "reject",
}
OBJECTS = {"objects-grace-seconds": "900", "objects-budget-seconds": "3600"}


@pytest.mark.parametrize(
    ("read", "sound", "name", "may_be", "way_out"),
    [
        (settings_from, SOUND, "poll-seconds", "a whole number from 1 to 60", "start again"),
        (policy_from, POLICY, "approval-timeout-seconds", "a whole number from 60 to 7200", "start by hand"),
        (policy_from, POLICY, "failover-mode", "one of automatic, approval, manual", "start by hand"),
        (image_settings_from, {}, "image-keep", "a whole number of at least 1", "start again then"),
        (image_settings_from, {}, "image-copy-minutes", "0, or a multiple of 15 up to 2880", "start again then"),
        (object_limits_from, OBJECTS, "objects-grace-seconds", "a whole number from 0 to 3600", "start the comparing"),
    ],
)
@pytest.mark.parametrize("value", ["15m", "-1", "1.5"])
def test_all_settings_are_refused_in_the_same_words(
    read: Any, sound: dict[str, str], name: str, may_be: str, way_out: str, value: str
) -> None:
    with pytest.raises(PreconditionFailed) as refused:
        read(sound | {name: value}, PATH)
    said = str(refused.value)
    assert said.startswith(f"parameter {PATH}/{name} is '{value}': it must be {may_be}. Correct it (aws ssm put-")
    assert f"--region eu-central-1 --name {PATH}/{name} " in said
    assert way_out in said
    if sound:
        with pytest.raises(PreconditionFailed, match=f"^parameter {PATH}/{name} is missing: put it"):
            read({key: kept for key, kept in sound.items() if key != name}, PATH)


@pytest.mark.parametrize("name", sorted(MOST))
def test_a_setting_may_be_as_large_as_its_ceiling_and_no_larger(name: str) -> None:
    read, sound = next(
        (read, sound)
        for read, sound in ((settings_from, SOUND), (policy_from, POLICY), (object_limits_from, OBJECTS))
        if name in sound
    )
    read(sound | {name: str(MOST[name])}, PATH)
    for value in (str(MOST[name] + 1), "9" * 20, "9" * 5000):
        with pytest.raises(
            PreconditionFailed, match=f"^parameter {PATH}/{name} is '{value}': .* to {MOST[name]}. Corr"
        ):
            read(sound | {name: value}, PATH)


@pytest.mark.parametrize("value", ["7", "2895"])
def test_a_rule_beyond_the_smallest_one_holds(value: str) -> None:
    with pytest.raises(PreconditionFailed, match="multiple of 15"):
        image_settings_from({"image-copy-minutes": value}, PATH)


def test_sizes_must_rise() -> None:
    with pytest.raises(PreconditionFailed, match="must rise"):
        settings_from(SOUND | {"capacity-desired": "5"}, PATH)
