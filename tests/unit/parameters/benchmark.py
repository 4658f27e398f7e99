"""What a reconciliation costs in calls: ours, and reading each parameter one by one.

``python -m tests.unit.parameters.benchmark [PARAMETERS] [CHANGED]`` prints the table that docs/parameters.md repeats.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from dataclasses import dataclass
from unittest.mock import patch

from pilotlight.aws import parameter_store
from tests.unit.core.conftest import DR, PRIMARY
from tests.unit.parameters.regions import Regions, regions

ENVIRONMENT = {
    "ENVIRONMENT": "dev",
    "PRIMARY_REGION": PRIMARY,
    "DR_REGION": DR,
    "AWS_REGION": PRIMARY,
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "POWERTOOLS_TRACE_DISABLED": "1",
    "POWERTOOLS_LOG_LEVEL": "CRITICAL",
}


@dataclass(frozen=True, slots=True)
class Cost:
    """Calls by operation, over both regions."""

    ours: Counter[str]
    one_by_one: Counter[str]


def measure(two: Regions, count: int, changed: int) -> Cost:
    """Fill both sides, change some, and count the calls of both ways of finding them."""
    names = [f"/dev/app/{count}/{number // 100:03}/{number:05}" for number in range(count)]
    with two.uncounted():
        for name in names:
            two.ssm().put_parameter(Name=name, Value="v", Type="String", Tags=[{"Key": "team", "Value": "a"}])
    assert two.reconcile(labels=False)["created"] == count
    for name in names[:: max(1, count // changed)][:changed]:
        two.put(name, "changed")
    two.calls.clear()
    for region in (PRIMARY, DR):
        for page in two.ssm(region).get_paginator("describe_parameters").paginate(PaginationConfig={"PageSize": 50}):
            for parameter in page["Parameters"]:
                parameter_store.read(parameter["Name"], two.ssm(region))
    one_by_one = by_operation(two) + Counter({"PutParameter": changed})
    two.calls.clear()
    assert two.reconcile(labels=False)["updated"] == changed
    return Cost(by_operation(two), one_by_one)


def by_operation(two: Regions) -> Counter[str]:
    """Add up both regions' calls."""
    added: Counter[str] = Counter()
    for (_, operation), calls in two.calls.items():
        added[operation] += calls
    return added


def main(count: int = 10_000, changed: int = 10) -> None:
    """Measure and print."""
    with patch.dict(os.environ, ENVIRONMENT), regions() as two:
        cost = measure(two, count, changed)
    print(f"{count} parameters on each side, {changed} of them changed\n")
    print("| Call | Ours | One by one |\n|---|---|---|")
    for operation in sorted(cost.ours | cost.one_by_one):
        print(f"| `{operation}` | {cost.ours[operation]:,} | {cost.one_by_one[operation]:,} |")
    print(f"| all | {cost.ours.total():,} | {cost.one_by_one.total():,} |")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
