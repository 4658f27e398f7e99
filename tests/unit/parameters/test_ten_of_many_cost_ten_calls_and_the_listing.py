from __future__ import annotations

from typing import TYPE_CHECKING

from tests.unit.parameters.benchmark import measure

if TYPE_CHECKING:
    from tests.unit.parameters.regions import Regions

LISTING = {"DescribeParameters", "GetParametersByPath", "GetResources"}


def test_a_reconciliation_calls_for_no_parameter_that_is_equal(two: Regions) -> None:
    few, many = measure(two, 40, 10).ours, measure(two, 200, 10).ours
    # What is left of the calls does not grow: who is active, twice, and the state of the rule.
    assert {operation: calls for operation, calls in many.items() if operation not in LISTING} == {
        "PutParameter": 10,
        "GetParameter": 5,
        "DescribeRule": 1,
    }
    # Ten values a page, on both sides; the settings are one page more. moto describes ten a page as well, AWS fifty.
    assert many["GetParametersByPath"] - few["GetParametersByPath"] == 2 * 200 / 10


def test_one_by_one_costs_calls_for_every_parameter(two: Regions) -> None:
    cost = measure(two, 40, 10)
    assert cost.one_by_one.total() > 4 * 40
    assert cost.ours.total() < cost.one_by_one.total() / 3
