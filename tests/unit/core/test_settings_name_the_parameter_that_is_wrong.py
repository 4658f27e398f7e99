from __future__ import annotations

import pytest

from pilotlight.config import settings_from
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


def test_sizes_must_rise() -> None:
    with pytest.raises(PreconditionFailed, match="must rise"):
        settings_from(SOUND | {"capacity-desired": "5"}, PATH)
