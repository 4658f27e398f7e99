"""Each step has a sample event, and each sample event is one its function understands."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from pilotlight.model import as_json, plan_from, protection_from
from tests.unit.core.conftest import ROOT

EVENTS = sorted((ROOT / "events").glob("*.json"))
STEPS = (
    "control",
    "database",
    "sql",
    "source",
    "snapshot",
    "compute",
    "workload",
    "verify",
    "fence",
    "notify",
    "failback",
    "standby",
    "decision",
    "probe",
    "objects",
    "image",
    "traffic",
    "secrets",
)
# Asked for by no execution.
OUTSIDE = ("sql-follow", "probe-watch", "objects-watch", "traffic-follow", "secrets-watch", "sql-login")
# Sent by AWS as it is: the function knows it by its source.
BY_AWS = {"probe-health": "aws.health"}

BY_RULES = {"image-watch", "image-ended"}


def actions(function: str) -> set[str]:
    source = (ROOT / "functions" / function / "app.py").read_text()
    served = re.split(r"handler = serve\(|_serve = serve\(", source)[1].split("})")[0]
    return set(re.findall(r'"(\w+)":', served))


def test_every_action_of_every_step_has_a_sample() -> None:
    samples = {path.stem for path in EVENTS}
    assert {f"{function}-{action}" for function in STEPS for action in actions(function)} <= samples


@pytest.mark.parametrize(
    "path", [path for path in EVENTS if path.stem.split("-")[0] in STEPS], ids=lambda path: path.stem
)
def test_a_sample_is_what_the_state_machine_would_send(path: Any) -> None:
    function, action = path.stem.split("-")
    event = json.loads(path.read_text())
    assert action in actions(function)
    if path.stem in BY_AWS:
        assert event["source"] == BY_AWS[path.stem]
        return
    assert event["action"] == action
    assert path.stem in {*OUTSIDE, *BY_RULES} or event["execution"].startswith("arn:aws:states:")
    if "plan" in event:
        assert json.loads(json.dumps(as_json(plan_from(event["plan"])))) == event["plan"]
    if "protection" in event:
        assert json.loads(json.dumps(as_json(protection_from(event["protection"])))) == event["protection"]


def test_the_state_machines_send_what_the_samples_show() -> None:
    machines = "".join(path.read_text() for path in (ROOT / "statemachine").glob("*.asl.json"))
    sent = set(re.findall(r'"FunctionName": "\$\{(\w+)FunctionArn\}",\s*"Payload": \{\s*"action": "(\w+)"', machines))
    # The function ParameterSync is in the folder parameter_sync.
    sent = {(re.sub(r"(?<!^)(?=[A-Z])", "_", function).lower(), action) for function, action in sent}
    assert {f"{function}-{action}" for function, action in sent} <= {path.stem for path in EVENTS}
    # What no state sends: the rule's, for an execution that was stopped, and what functions ask of functions.
    by_others = {"notify-ended", "sql-prepare", "sql-mark", "sql-quiet", "sql-prove", "sql-beat"}
    by_others |= {
        "sql-position",
        "sql-compare",
        "sql-heard",
        "sql-follow",
        "probe-watch",
        "probe-health",
        "objects-watch",
        "traffic-follow",
        "secrets-watch",
        "sql-login",
        *BY_RULES,
    }
    assert {path.stem for path in EVENTS if path.stem.split("-")[0] in STEPS} - {
        f"{function}-{action}" for function, action in sent
    } == by_others
