from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import pytest

from pilotlight.aws import functions
from pilotlight.errors import FatalError, PilotLightError, PreconditionFailed, TransientError
from tests.unit.core.test_a_function_that_dies_is_started_again import DIES

if TYPE_CHECKING:
    from pilotlight.model import Json


class Lambda:
    """Answers as Lambda does when the asked function has failed, or has not."""

    def __init__(self, body: Any, *, failed: bool = True) -> None:
        self.body = body
        self.failed = failed

    def invoke(self, **_: Any) -> Json:
        answer = {"Payload": io.BytesIO(json.dumps(self.body).encode())}
        return answer | ({"FunctionError": "Unhandled"} if self.failed else {})


def raised(body: Any) -> PilotLightError:
    with pytest.raises(PilotLightError) as error:
        functions.ask("dev-sql", {}, Lambda(body))
    return error.value


# How Step Functions calls a failure without a type is for state machines only.
@pytest.mark.parametrize("kind", sorted(DIES - {"Lambda.Unknown"}))
def test_one_that_lambda_ended_may_be_asked_again(kind: str) -> None:
    error = raised({"errorType": kind, "errorMessage": "2026-01-01T00:00:00Z Task timed out after 30.00 seconds"})
    assert type(error) is TransientError
    assert str(error) == "dev-sql: 2026-01-01T00:00:00Z Task timed out after 30.00 seconds"


@pytest.mark.parametrize("body", [{"errorMessage": "Task timed out"}, {}, None, "gone", ["gone"], {"errorType": None}])
def test_one_that_ended_without_saying_of_what_may_be_asked_again(body: Any) -> None:
    error = raised(body)
    assert type(error) is TransientError
    told = body.get("errorMessage") if isinstance(body, dict) else None
    assert str(error) == f"dev-sql: {told or 'failed without a message'}"


@pytest.mark.parametrize("family", [TransientError, PreconditionFailed, FatalError])
def test_what_it_raised_keeps_its_family(family: type[PilotLightError]) -> None:
    error = raised({"errorType": family.__name__, "errorMessage": "why"})
    assert type(error) is family
    assert str(error) == "dev-sql: why"


@pytest.mark.parametrize("kind", ["Runtime.ImportModuleError", "Runtime.HandlerNotFound", "KeyError"])
def test_one_that_cannot_work_is_not_asked_again(kind: str) -> None:
    assert type(raised({"errorType": kind, "errorMessage": "m"})) is FatalError


def test_an_answer_is_an_answer() -> None:
    assert functions.ask("dev-sql", {}, Lambda({"errorType": "", "done": True}, failed=False))["done"] is True
