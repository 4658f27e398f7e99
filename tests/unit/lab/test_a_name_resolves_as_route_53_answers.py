"""Which record of a failover pair is given, and what a health check is held to be while data comes and stays away."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from lab.resolver import Opinion, choose, is_healthy

if TYPE_CHECKING:
    from collections.abc import Mapping

PRIMARY = {"Name": "app.", "Failover": "PRIMARY", "SetIdentifier": "one", "HealthCheckId": "first"}
SECONDARY = {"Name": "app.", "Failover": "SECONDARY", "SetIdentifier": "two", "HealthCheckId": "second"}


def _chosen(records: list[dict[str, Any]], checks: Mapping[str, bool], targets: Mapping[str, bool]) -> str:
    record = choose(
        records, partial(is_healthy, check=checks.__getitem__, target=lambda record: targets[record["SetIdentifier"]])
    )
    assert record is not None
    return str(record["SetIdentifier"])


@pytest.mark.parametrize(
    ("first", "second", "given"),
    [(True, True, "one"), (True, False, "one"), (False, True, "two"), (False, False, "one")],
)
def test_the_secondary_is_given_only_when_it_alone_is_healthy(first: bool, second: bool, given: str) -> None:
    checks = {"first": first, "second": second}
    assert _chosen([PRIMARY, SECONDARY], checks, {}) == given
    assert _chosen([SECONDARY, PRIMARY], checks, {}) == given


def test_a_record_without_a_health_check_is_healthy() -> None:
    unchecked = {name: value for name, value in SECONDARY.items() if name != "HealthCheckId"}
    assert _chosen([PRIMARY, unchecked], {"first": False}, {}) == "two"


@pytest.mark.parametrize(("evaluated", "given"), [(True, "one"), (False, "two")])
def test_an_alias_without_a_healthy_target_is_unhealthy_where_that_is_evaluated(evaluated: bool, given: str) -> None:
    secondary = {**SECONDARY, "AliasTarget": {"EvaluateTargetHealth": evaluated}}
    assert _chosen([PRIMARY, secondary], {"first": False, "second": True}, {"two": False}) == given


def test_both_the_check_and_the_target_of_an_alias_count() -> None:
    primary = {**PRIMARY, "AliasTarget": {"EvaluateTargetHealth": True}}
    assert _chosen([primary, SECONDARY], {"first": False, "second": True}, {"one": True}) == "two"
    assert _chosen([primary, SECONDARY], {"first": True, "second": True}, {"one": True}) == "one"


def test_a_name_without_records_is_not_answered() -> None:
    assert choose([], lambda _: True) is None


@pytest.mark.parametrize(
    ("status", "without_data"), [("Healthy", True), ("Unhealthy", False), ("LastKnownStatus", False)]
)
def test_a_check_without_data_is_what_it_is_told_to_be(status: str, without_data: bool) -> None:
    check = Opinion({"Type": "CLOUDWATCH_METRIC", "InsufficientDataHealthStatus": status})
    found = []
    for breaching in (True, None):
        check.learn_from_alarm(breaching)
        found.append(check.healthy)
    assert found == [False, without_data]


def test_a_new_check_is_healthy_until_known() -> None:
    check = Opinion({"Type": "CLOUDWATCH_METRIC", "InsufficientDataHealthStatus": "LastKnownStatus"})
    for breaching in (None, False):
        check.learn_from_alarm(breaching)
        assert check.healthy


def test_an_inverted_check_says_the_opposite_and_a_disabled_one_is_healthy() -> None:
    new, inverted = Opinion({"Inverted": "true"}), Opinion({"Inverted": "true"})
    inverted.learn_from_alarm(True)
    assert (new.healthy, inverted.healthy) == (False, True)
    disabled = Opinion({"Disabled": "true"})
    disabled.learn_from_alarm(True)
    assert disabled.healthy


def test_a_probe_must_fail_as_often_as_the_threshold_says() -> None:
    check = Opinion({"Type": "HTTP", "FailureThreshold": 2})
    for answered, healthy in [(False, True), (True, True), (False, True), (False, False), (True, False), (True, True)]:
        check.learn_from_probe(answered)
        assert check.healthy is healthy
