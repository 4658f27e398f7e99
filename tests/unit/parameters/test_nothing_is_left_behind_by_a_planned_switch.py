"""Before a planned switch closes anything, what its source has is in the target, which writes it over else."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ReadTimeoutError

from pilotlight.aws import clients, functions
from pilotlight.decide import parameters
from pilotlight.errors import PreconditionFailed, TransientError
from tests.unit.core.conftest import DR, PRIMARY

if TYPE_CHECKING:
    from tests.unit.parameters.regions import Regions


@pytest.fixture(autouse=True)
def primarys_function(two: Regions, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Lambda in the primary, which answers as its parameter-sync does."""
    asked: list[Any] = []

    class There:
        def invoke(self, FunctionName: str, Payload: bytes) -> Any:  # noqa: N803 - AWS's names
            assert FunctionName == "dev-parameter-sync"
            asked.append(json.loads(Payload))
            try:
                answer, error = two.invoke(asked[-1], PRIMARY), {}
            except Exception as raised:  # noqa: BLE001 - Lambda tells any
                answer = {"errorType": type(raised).__name__, "errorMessage": str(raised)}
                error = {"FunctionError": "Unhandled"}
            return {"Payload": io.BytesIO(json.dumps(answer).encode()), **error}

    monkeypatch.setattr(clients, "following", lambda service, region: There() if region == PRIMARY else None)
    return asked


@pytest.mark.parametrize(("source", "target"), [(PRIMARY, DR), (DR, PRIMARY)])
def test_what_no_event_told_crosses_before_the_switch(two: Regions, source: str, target: str) -> None:
    two.record(source)
    two.put("/dev/app/a", "old", source)
    two.bring(source)
    two.put("/dev/app/a", "new", source)
    two.put("/dev/app/b", "b", source)
    answer = two.bring(source)
    assert (answer["done"], answer["left"], answer["carried"]) == (True, "", 2)
    assert (two.value("/dev/app/a", target), two.value("/dev/app/b", target)) == ("new", "b")
    # Then the other direction, and nothing goes back to what it was.
    two.record(target)
    two.reconcile(target)
    assert two.value("/dev/app/a", source) == "new"


def test_what_cannot_cross_holds_the_switch_up_by_its_name_until_somebody_insists(two: Regions) -> None:
    two.put("/dev/app/taken", "hush", DR, Type="SecureString")
    two.put("/dev/app/taken", "hush")
    with pytest.raises(PreconditionFailed) as told:
        two.bring()
    for part in ("/dev/app/taken", "Nothing was changed", f"make sync ENVIRONMENT=dev DR_REGION={DR}", '"force"'):
        assert part in str(told.value)
    assert "hush" not in str(told.value)
    answer = two.bring(insists=True)
    assert answer["done"]
    assert "/dev/app/taken" in answer["left"]


def test_who_insists_leaves_behind_what_is_named_and_nothing_else(
    two: Regions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that cannot cross is no end of the rest, which takes several calls. What the first left, the last tells."""
    answers: list[dict[str, object]] = [
        {"done": False, "failed": 1, "after": "/dev/app/m"},
        {"done": True, "failed": 0},
    ]

    def asked(*_: object) -> dict[str, object]:
        return {"outcome": "reconciled", "failures": [{"name": "/dev/app/taken"}]} | answers.pop(0)

    monkeypatch.setattr(functions, "ask", asked)
    first = two.bring(insists=True)
    assert (first["done"], first["after"]) == (False, "/dev/app/m")
    last = two.bring(insists=True, **{name: first[name] for name in ("after", "labels", "left")})
    assert last["done"]
    assert last["left"] == first["left"] != ""


def test_a_source_that_carries_nothing_holds_the_switch_up(two: Regions) -> None:
    two.record(DR)
    with pytest.raises(PreconditionFailed, match=f"{PRIMARY} carries no parameters now .{DR} is recorded as active"):
        two.bring(PRIMARY)
    assert two.bring(PRIMARY, insists=True)["done"]


def test_many_take_several_calls_and_no_more_time_than_there_is(
    two: Regions, monkeypatch: pytest.MonkeyPatch, primarys_function: list[Any]
) -> None:
    for number in range(4):
        two.put(f"/dev/app/{number}", "v")
    monkeypatch.setattr(parameters, "BRING_SECONDS", 0)
    first = two.bring()
    assert (first["done"], first["after"]) == (False, "")
    with pytest.raises(PreconditionFailed, match="not over after 900 s"):
        two.bring(waited=parameters.BRING_BUDGET, after=first["after"], labels=first["labels"])
    monkeypatch.setattr(parameters, "BRING_SECONDS", 240)
    assert two.bring(after="/dev/app/1", labels=first["labels"])["carried"] == 2
    assert primarys_function[-1] == {
        "action": "reconcile", "wait": True, "seconds": 240, "after": "/dev/app/1", "labels": True,
    }  # fmt: skip


def test_a_source_that_hangs_is_asked_again_unless_somebody_insists(
    two: Regions, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Hangs:
        def invoke(self, **_: Any) -> None:
            raise ReadTimeoutError(endpoint_url="https://there")

    monkeypatch.setattr(clients, "following", lambda *_: Hangs())
    with pytest.raises(TransientError):
        two.bring()
    assert "Read timeout" in two.bring(insists=True)["left"]


def test_what_is_written_over_in_the_other_region_is_logged_by_name(
    two: Regions, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a loss: what the old primary had and DR never got."""
    from functions.parameter_sync import app

    noted: list[tuple[str, str]] = []
    monkeypatch.setattr(
        app.logger, "info", lambda said, **of: noted.append((of["parameter"], of["did"])) if "over" in said else None
    )
    two.put("/dev/app/changed", "one")
    two.put("/dev/app/gone", "hush")
    two.reconcile()
    two.put("/dev/app/changed", "hush")
    two.record(DR)
    two.reconcile(DR)
    two.ssm(DR).delete_parameter(Name="/dev/app/gone")
    two.reconcile(DR)
    assert noted == [("/dev/app/changed", "updated"), ("/dev/app/gone", "deleted")]
