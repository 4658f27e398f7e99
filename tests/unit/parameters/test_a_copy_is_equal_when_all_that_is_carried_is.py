"""What no emulator has: policies, tiers that only rise, and tags that belong to AWS."""

from __future__ import annotations

import dataclasses
from typing import Any

from pilotlight.aws import parameter_store
from pilotlight.decide.parameters import MARK, change, copy_of
from pilotlight.model import Crossing, Parameter
from tests.unit.core.conftest import DR, PRIMARY

CROSSING = Crossing("dev", ("/dev",))
EXPIRES = '{"Type":"Expiration","Version":"1.0","Attributes":{"Timestamp":"2030-01-01T00:00:00.000Z"}}'
SPACED = '{"Version": "1.0", "Type": "Expiration", "Attributes": {"Timestamp": "2030-01-01T00:00:00.000Z"}}'
REMINDS = '{"Type":"NoChangeNotification","Version":"1.0","Attributes":{"After":"20","Unit":"Days"}}'
SOURCE = Parameter("/dev/x", "String", "v", version=7, tier="Advanced", policies=(EXPIRES, REMINDS))
COPY = dataclasses.replace(SOURCE, version=3, tags={MARK: PRIMARY})


def decide(source: Parameter, copy: Parameter | None) -> Any:
    return change(source.name, source, copy_of(source, CROSSING, PRIMARY, DR), copy)


def test_policies_are_compared_by_what_they_say() -> None:
    assert decide(SOURCE, dataclasses.replace(COPY, policies=(REMINDS, SPACED))).do == "nothing"
    found = decide(SOURCE, dataclasses.replace(COPY, policies=(EXPIRES,)))
    assert (found.do, found.differs) == ("update", ("policies",))


def test_policies_that_are_gone_are_taken_off() -> None:
    found = decide(dataclasses.replace(SOURCE, policies=()), COPY)
    assert found.policies_off
    assert "Policies" not in parameter_store._written(found.parameter)


def test_a_tier_rises_and_never_falls() -> None:
    standard = dataclasses.replace(SOURCE, tier="Standard", policies=())
    assert decide(standard, dataclasses.replace(COPY, policies=())).do == "nothing"
    risen = decide(dataclasses.replace(SOURCE, policies=()), dataclasses.replace(COPY, tier="Standard", policies=()))
    assert (risen.differs, risen.parameter.tier) == (("tier",), "Advanced")
    changed = decide(dataclasses.replace(standard, value="w"), dataclasses.replace(COPY, policies=()))
    assert changed.parameter.tier == "Advanced"


def test_tags_of_aws_and_our_own_mark_are_nobodys_to_carry() -> None:
    tagged = dataclasses.replace(SOURCE, tags={"aws:cloudformation:stack-name": "theirs", "team": "a"})
    assert copy_of(tagged, CROSSING, PRIMARY, DR).tags == {"team": "a", MARK: PRIMARY}
    assert decide(tagged, dataclasses.replace(COPY, tags={"team": "a", MARK: "elsewhere"})).do == "nothing"
