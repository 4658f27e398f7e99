from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError, NoCredentialsError, ReadTimeoutError

from pilotlight import step
from pilotlight.aws import faults
from pilotlight.errors import FatalError, PilotLightError, PreconditionFailed, TransientError
from tests.unit.core.conftest import Context

if TYPE_CHECKING:
    from pilotlight.model import Json


def refusal(code: str, status: int = 400) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "m"}, "ResponseMetadata": {"HTTPStatusCode": status}}, "Op")  # type: ignore[typeddict-item]


@pytest.mark.parametrize(
    ("error", "family"),
    [
        (refusal("ThrottlingException"), TransientError),
        (refusal("ScalingActivityInProgress"), TransientError),
        (refusal("InvalidDBParameterGroupState"), TransientError),
        (refusal("InvalidDBParameterGroupStateFault"), TransientError),
        (refusal("Whatever", 503), TransientError),
        (refusal("AccessDenied", 403), FatalError),
        (refusal("ValidationError"), FatalError),
        (ConnectTimeoutError(endpoint_url="e"), TransientError),
        (ReadTimeoutError(endpoint_url="e"), TransientError),
        (NoCredentialsError(), FatalError),
        (KeyError("plan"), FatalError),
        (PreconditionFailed("do this"), PreconditionFailed),
    ],
)
def test_every_error_has_exactly_one_family(error: Exception, family: type[PilotLightError]) -> None:
    assert type(faults.sorted_into_family(error)) is family


@pytest.mark.parametrize(
    ("error", "silent"),
    [
        (refusal("Whatever", 503), True),
        (ConnectTimeoutError(endpoint_url="e"), True),
        (ReadTimeoutError(endpoint_url="e"), True),
        (refusal("ThrottlingException"), False),
        (refusal("AccessDenied", 403), False),
        (NoCredentialsError(), False),
        (TransientError("why"), False),
    ],
)
def test_a_region_that_throttles_or_refuses_does_answer(error: Exception, silent: bool) -> None:
    assert faults.is_silence(error) is silent


def test_a_family_is_never_hidden_behind_a_subclass() -> None:
    # Step Functions compares the class name itself: a subclass would be caught by nobody.
    for family in (TransientError, PreconditionFailed, FatalError):
        assert family.__mro__[1] is PilotLightError
        assert not family.__subclasses__()


def test_a_step_raises_only_families_and_keeps_the_message() -> None:
    def throttled(_: step.Call) -> Json:
        raise refusal("ThrottlingException")

    with pytest.raises(TransientError, match="ThrottlingException"):
        step.serve("test", {"go": throttled})({"action": "go"}, Context())  # type: ignore[arg-type]


@pytest.mark.parametrize("name", [None, "gone", 7, ["go"]])
def test_an_unknown_action_names_the_known_ones(name: Any) -> None:
    with pytest.raises(FatalError, match="knows go, stop"):
        step.serve("test", {"go": dict, "stop": dict})({"action": name}, Context())  # type: ignore[arg-type, dict-item]


def test_a_missing_environment_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DR_REGION")
    with pytest.raises(PreconditionFailed, match="DR_REGION"):
        step.serve("test", {"go": lambda _: {}})({"action": "go"}, Context())  # type: ignore[arg-type]
