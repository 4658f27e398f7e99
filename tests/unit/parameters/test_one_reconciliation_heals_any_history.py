"""Whatever a team does and whatever becomes of events: one reconciliation makes both sides equal where they should be.

The model is small: what the active region has is what the other one should have. Of what only the other one has,
nothing may be left that the sync made there.
"""

from __future__ import annotations

import os
from collections import Counter
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pilotlight.decide.parameters import MARK
from tests.unit.core.conftest import DR, PRIMARY
from tests.unit.parameters.regions import Regions, regions
from tests.unit.parameters.test_nothing_echoes import WRITES

if TYPE_CHECKING:
    from collections.abc import Iterator

KINDS = {
    "/dev/app/a": "String",
    "/dev/app/b": "SecureString",
    "/dev/app/c/deep": "StringList",
    "/dev/app/rewritten": "String",
    "/dev/local/x": "String",
}
STAYS = "/dev/local/x"
REWRITTEN = {PRIMARY: "in the primary", DR: "in DR"}

name = st.sampled_from(sorted(KINDS))
number = st.integers(0, 5)
values = st.sampled_from(["v1", "v2", "v3"])
change = st.one_of(
    st.tuples(st.just("put"), name, values, st.sampled_from(["", "described"])),
    st.tuples(st.just("put"), name, values, st.sampled_from(["", "described"])),
    st.tuples(st.just("delete"), name),
    st.tuples(st.just("label"), name, st.sampled_from(["stable", "next"]), number),
    st.tuples(st.just("tag"), name, st.sampled_from(["team", "cost"]), st.sampled_from(["1", "2"])),
)
step = st.one_of(
    change,
    change,
    # These two send no event.
    st.tuples(st.just("unlabel"), name, st.sampled_from(["stable", "next"])),
    st.tuples(st.just("untag"), name, st.sampled_from(["team", "cost"])),
    st.tuples(st.sampled_from(["deliver", "deliver twice", "lose"]), number),
    st.tuples(st.sampled_from(["reconcile", "switch"])),
)


@pytest.fixture(scope="module")
def world() -> Iterator[Regions]:
    """One AWS for all examples: making clients takes longer than an example does."""
    values = {
        "ENVIRONMENT": "dev",
        "PRIMARY_REGION": PRIMARY,
        "DR_REGION": DR,
        "AWS_REGION": PRIMARY,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "POWERTOOLS_TRACE_DISABLED": "1",
        "POWERTOOLS_LOG_LEVEL": "CRITICAL",
    }
    with patch.dict(os.environ, values), regions() as made:
        yield made


class Team:
    """What a team does, in whichever region is active; and what becomes of the events."""

    def __init__(self, two: Regions) -> None:
        self.two = two
        self.active, self.other = PRIMARY, DR
        self.own: dict[str, set[str]] = {PRIMARY: set(), DR: set()}
        with two.uncounted():
            for region in (PRIMARY, DR):
                for each in two.ssm(region).get_paginator("describe_parameters").paginate():
                    for parameter in each["Parameters"]:
                        two.ssm(region).delete_parameter(Name=parameter["Name"])
        two.record(PRIMARY)
        two.configure(
            sync_exclude="/dev/local",
            sync_rewrite='{"/dev/app/rewritten": {"eu-west-1": "in the primary", "eu-central-1": "in DR"}}',
        )
        two.events.clear()

    def do(self, what: str, *how: Any) -> None:
        getattr(self, what.replace(" ", "_"))(*how)

    def put(self, name: str, value: str, description: str) -> None:
        if self.two.get(name, self.active) is None:
            self.own[self.active].add(name)
        self.two.put(name, value, self.active, Type=KINDS[name], Description=description)

    def delete(self, name: str) -> None:
        if self.two.get(name, self.active):
            self.two.ssm(self.active).delete_parameter(Name=name)
            self.own[self.active].discard(name)

    def label(self, name: str, label: str, which: int) -> None:
        found = self.two.get(name, self.active)
        if found:
            version = 1 + which % found["Version"]
            self.two.ssm(self.active).label_parameter_version(Name=name, ParameterVersion=version, Labels=[label])

    def unlabel(self, name: str, label: str) -> None:
        if self.two.get(name, self.active):
            ssm = self.two.ssm(self.active)
            for version in ssm.get_parameter_history(Name=name)["Parameters"]:
                if label in version["Labels"]:
                    ssm.unlabel_parameter_version(Name=name, ParameterVersion=version["Version"], Labels=[label])

    def tag(self, name: str, key: str, value: str) -> None:
        if self.two.get(name, self.active):
            self.two.ssm(self.active).add_tags_to_resource(
                ResourceType="Parameter", ResourceId=name, Tags=[{"Key": key, "Value": value}]
            )

    def untag(self, name: str, key: str) -> None:
        if self.two.get(name, self.active):
            self.two.ssm(self.active).remove_tags_from_resource(
                ResourceType="Parameter", ResourceId=name, TagKeys=[key]
            )

    def deliver(self, which: int) -> None:
        """Any of them: events come in no order."""
        events = self.two.events
        if events:
            region, name = events.pop(which % len(events))
            self.two.send(name, region=region)

    def deliver_twice(self, which: int) -> None:
        if self.two.events:
            self.two.events.append(self.two.events[which % len(self.two.events)])
            self.deliver(which)

    def lose(self, which: int) -> None:
        if self.two.events:
            self.two.events.pop(which % len(self.two.events))

    def reconcile(self) -> None:
        assert self.two.reconcile(self.active)["failures"] == []

    def switch(self) -> None:
        self.active, self.other = self.other, self.active
        self.two.record(self.active)

    def should_be(self, name: str) -> Any:
        found = self.seen(name, self.active)
        if found and name == "/dev/app/rewritten":
            value = REWRITTEN[self.other]
            current = self.two.value(name, self.active)
            last = self.two.ssm(self.active).get_parameter_history(Name=name)["Parameters"][-1]
            assert current is not None
            return found | {"Value": value, "Labels": dict.fromkeys(last["Labels"], value)}
        return found

    def seen(self, name: str, region: str) -> Any:
        found = self.two.get(name, region)
        if found is None:
            return None
        return {
            "Value": found["Value"],
            "Type": found["Type"],
            "Description": found["Description"] or "",
            "Tags": {key: value for key, value in found["Tags"].items() if key != MARK},
            "Labels": found["Labels"],
        }


def writes(two: Regions) -> Counter[str]:
    return Counter({operation: n for (_, operation), n in two.calls.items() if operation in WRITES})


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(steps=st.lists(step, max_size=16))
def test_both_sides_are_equal_where_they_should_be(world: Regions, steps: list[tuple[Any, ...]]) -> None:
    team = Team(world)
    for what, *how in steps:
        team.do(what, *how)
    world.events.clear()
    team.reconcile()
    for name in KINDS:
        copy = team.seen(name, team.other)
        if name == STAYS:
            assert copy is None or name in team.own[team.other]
        elif (wanted := team.should_be(name)) is not None:
            assert copy == wanted, name
        else:
            assert copy is None or name in team.own[team.other], f"{name} is left, and this sync made it"
    # It stays so: neither another reconciliation nor the echoes of this one find anything to write, on either side.
    world.calls.clear()
    world.deliver()
    team.reconcile()
    world.reconcile(team.other)
    assert writes(world) == {}


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(steps=st.lists(change, max_size=10))
def test_events_alone_keep_them_equal_when_none_is_lost(world: Regions, steps: list[tuple[Any, ...]]) -> None:
    """But for tags, which send none."""
    team = Team(world)
    for what, *how in steps:
        team.do(what, *how)
    world.events.reverse()
    world.deliver()
    for name in KINDS:
        if name != STAYS:
            assert _untagged(team.seen(name, team.other)) == _untagged(team.should_be(name))


def _untagged(seen: Any) -> Any:
    return seen and {key: value for key, value in seen.items() if key != "Tags"}
