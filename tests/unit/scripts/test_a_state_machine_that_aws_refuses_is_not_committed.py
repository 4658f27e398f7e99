from __future__ import annotations

import json
from typing import Any

import pytest

from scripts.check_state_machines import findings


def machine(states: dict[str, Any], start: str = "First", **more: Any) -> str:
    return json.dumps(
        {"QueryLanguage": "JSONata", "TimeoutSeconds": 60, "StartAt": start, "States": states, **more}, indent=2
    )


def parallel(inside: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"Type": "Parallel", "Branches": [{"StartAt": next(iter(inside)), "States": inside}], **more}


def test_a_variable_of_a_branch_has_a_name_of_its_own() -> None:
    inner = {"Inner": {"Type": "Pass", "Assign": {"mine": 1}, "End": True}}
    first = {"Type": "Pass", "Assign": {"waited": 0}, "Next": "Both"}
    assert findings(machine({"First": first, "Both": parallel(inner, End=True)})) == []
    inner["Inner"]["Assign"] = {"waited": 1}
    (told,) = findings(machine({"First": first, "Both": parallel(inner, End=True)}))
    assert "$waited is assigned in a branch and outside of it" in told


def test_what_a_catch_assigns_counts() -> None:
    catch = [{"ErrorEquals": ["States.ALL"], "Assign": {"problem": 1}, "Next": "Last"}]
    inner = {"Inner": {"Type": "Pass", "Assign": {"problem": 1}, "End": True}}
    last = {"Type": "Succeed"}
    (told,) = findings(machine({"First": parallel(inner, Catch=catch, Next="Last"), "Last": last}))
    assert "$problem" in told


def test_no_two_states_have_one_name_and_none_is_too_long() -> None:
    inner = {"First": {"Type": "Pass", "End": True}}
    assert any("2 states have this name" in told for told in findings(machine({"First": parallel(inner, End=True)})))
    long = "a" * 81
    assert any("81 characters" in told for told in findings(machine({long: {"Type": "Succeed"}}, start=long)))


CARELESS = "$contains($error.Cause, '\"errorMessage\"') ? $parse($error.Cause).errorMessage : $error.Cause"
CAREFUL = (
    "($c := $error.Cause; $c != '' ? ($substring($c, 0, 1) = '{' and $substring($c, -1) = '}' and $length($c) < 32768"
    " and $contains($c, '\"errorMessage\"') ? $parse($c).errorMessage : $c) : $error.Error)"
)


def failing(cause: str) -> str:
    return machine({"First": {"Type": "Fail", "Error": "Any", "Cause": f"{{% {cause} %}}"}})


def test_a_cause_is_read_whatever_it_is() -> None:
    assert findings(failing(CAREFUL)) == []
    told = "\n".join(findings(failing(CARELESS)))
    for case in ("the text of Lambda.Unknown", "an empty Cause", "no Cause", "JSON that is cut off", "at a brace"):
        assert case in told, case
    assert "a function's exception" not in told


@pytest.mark.parametrize(
    ("without", "case"),
    [
        ("$substring($c, 0, 1) = '{' and ", "the text of Lambda.Unknown"),
        ("$substring($c, -1) = '}' and ", "JSON that is cut off:"),
        (" and $length($c) < 32768", "JSON that is cut off at a brace"),
        (" and $contains($c, '\"errorMessage\"')", "gives None for a child's story"),
    ],
)
def test_each_part_of_the_reading_is_needed(without: str, case: str) -> None:
    assert without in CAREFUL
    assert any(case in told for told in findings(failing(CAREFUL.replace(without, "", 1))))


def test_no_text_has_a_raw_cause_in_it() -> None:
    (told,) = findings(failing("'it failed: ' & $error.Cause"))
    assert "raw Cause" in told
    # What only hands it on does not tell it.
    assert findings(failing("$error.Cause")) == []
