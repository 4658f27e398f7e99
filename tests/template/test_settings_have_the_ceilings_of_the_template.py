"""What a deployment refuses, a parameter that was put by hand is refused as well: the same numbers in both places."""

from __future__ import annotations

import re

import pytest

from pilotlight.config import MOST
from tests.unit.core.test_settings_name_the_parameter_that_is_wrong import OBJECTS, POLICY, SOUND

from .templates import MAIN

PARAMETERS = {
    re.sub(r"(?<!^)(?=[A-Z])", "-", name).lower(): definition for name, definition in MAIN["Parameters"].items()
}
# Only compared with, never waited for.
COMPARED = {"most-lag-seconds", "max-data-loss-seconds"}


@pytest.mark.parametrize("name", sorted(MOST))
def test_a_ceiling_is_the_templates(name: str) -> None:
    assert PARAMETERS[name]["MaxValue"] == MOST[name]
    assert int(PARAMETERS[name]["Default"]) <= MOST[name]


@pytest.mark.parametrize("name", sorted({*SOUND, *POLICY, *OBJECTS} & set(PARAMETERS)))
def test_what_is_waited_for_and_what_the_template_bounds_has_a_ceiling(name: str) -> None:
    assert ("MaxValue" in PARAMETERS[name]) is (name in MOST)
    assert name in MOST or name in COMPARED or not name.endswith("-seconds")
