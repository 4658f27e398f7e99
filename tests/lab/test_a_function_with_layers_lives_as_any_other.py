"""Functions with layers are forked from one process that has the layers loaded; nobody may notice."""

from __future__ import annotations

import json
import os
import uuid
from typing import TYPE_CHECKING, Any

from tests.lab.functions import make_function, make_layer
from tests.lab.running import DR, PRIMARY

if TYPE_CHECKING:
    from tests.lab.running import RunningLab

CODE = """
import os, sys, time
import brought
def handler(event, context):
    print("told on stderr", file=sys.stderr)
    if event.get("raise"):
        raise LookupError("as asked")
    if event.get("leave"):
        os._exit(3)
    if event.get("hang"):
        while True:
            pass
    return {
        "word": brought.WORD, "pid": os.getpid(), "region": os.environ["AWS_REGION"], "own": os.environ.get("OWN"),
        "name": context.function_name, "directory": os.getcwd(), "argv": sys.argv,
    }
"""


def test_each_has_its_own_environment_and_what_the_layer_brings(lab: RunningLab) -> None:
    there = made(lab, PRIMARY, Environment={"Variables": {"OWN": "one"}})
    here = made(lab, DR, Environment={"Variables": {"OWN": "two"}})
    first, second = call(lab, PRIMARY, there), call(lab, DR, here)
    assert (first["word"], first["region"], first["own"], first["name"]) == ("brought", PRIMARY, "one", there)
    assert (second["word"], second["region"], second["own"], second["name"]) == ("brought", DR, "two", here)
    assert first["pid"] != second["pid"]
    assert first["directory"] != second["directory"]
    assert call(lab, DR, here)["pid"] == second["pid"]


def test_what_is_raised_is_told_and_the_process_stays(lab: RunningLab) -> None:
    name = made(lab, DR)
    pid = call(lab, DR, name)["pid"]
    told = call(lab, DR, name, {"raise": True})
    assert (told["errorType"], told["errorMessage"]) == ("LookupError", "as asked")
    assert call(lab, DR, name)["pid"] == pid


def test_one_that_leaves_is_started_anew(lab: RunningLab) -> None:
    name = made(lab, DR)
    pid = call(lab, DR, name)["pid"]
    assert "errorMessage" in call(lab, DR, name, {"leave": True})
    assert call(lab, DR, name)["pid"] != pid


def test_one_that_takes_too_long_is_ended_and_no_other(lab: RunningLab) -> None:
    slow, other = made(lab, DR, timeout=3), made(lab, DR)
    pid, kept = call(lab, DR, slow)["pid"], call(lab, DR, other)["pid"]
    assert call(lab, DR, slow, {"hang": True})["errorType"] == "Sandbox.Timedout"
    lab.wait_until(lambda: not lives(pid), 60, "the process is gone")
    assert call(lab, DR, other)["pid"] == kept


def test_those_of_a_lost_region_are_ended(lab: RunningLab) -> None:
    there, here = made(lab, PRIMARY), made(lab, DR)
    gone, kept = call(lab, PRIMARY, there)["pid"], call(lab, DR, here)["pid"]
    lab.lose(PRIMARY)
    lab.wait_until(lambda: not lives(gone), 60, "the process is gone")
    assert call(lab, DR, here)["pid"] == kept


def made(lab: RunningLab, region: str, **properties: Any) -> str:
    name = f"layered-{uuid.uuid4().hex[:8]}"
    layer = make_layer(lab, region, name, "brought", "WORD = 'brought'\n")
    make_function(lab, region, name, CODE, Layers=[layer], **{"timeout": 10, **properties})
    return name


def call(lab: RunningLab, region: str, name: str, event: dict[str, Any] | None = None) -> dict[str, Any]:
    answer = lab.client("lambda", region).invoke(FunctionName=name, Payload=json.dumps(event or {}))
    told: dict[str, Any] = json.load(answer["Payload"])
    return told


def lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
