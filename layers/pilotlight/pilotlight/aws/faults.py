"""What AWS and the network raise, sorted into the three families."""

from __future__ import annotations

import botocore.exceptions
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

from pilotlight.errors import FatalError, PilotLightError, TransientError

_TRANSIENT = frozenset(
    {
        "InternalError",
        "InternalFailure",
        "InternalServerError",
        # The group was modified a moment ago: a freeze that is called off thaws it seconds after it froze it.
        "InvalidDBParameterGroupState",
        "InvalidDBParameterGroupStateFault",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestTimeout",
        "ResourceConflictException",
        "ResourceContention",
        "ResourceContentionFault",
        "ResourceInUseException",
        "ScalingActivityInProgress",
        "ScalingActivityInProgressFault",
        "ServiceException",
        "ServiceUnavailable",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
        "TooManyUpdates",
    }
)


def code(error: ClientError) -> str:
    """Read the error code that the service sent, such as ``DBInstanceNotFound``."""
    return str(error.response.get("Error", {}).get("Code", ""))


def is_silence(error: Exception) -> bool:
    """Whether a region does not answer: no way there, no answer in time, or one that is its own trouble.

    One that throttles does answer: the same call may succeed in a moment, but nobody is to go on as if it were lost.
    """
    if isinstance(error, ClientError):
        return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)) >= 500
    return isinstance(error, (botocore.exceptions.ConnectionError, HTTPClientError))


def sorted_into_family(error: Exception) -> PilotLightError:
    """Give any error the family that the state machines act on.

    Parameters
    ----------
    error
        What a step raised.

    Returns
    -------
    PilotLightError
        The same story under a name that Retry and Catch know.
    """
    if isinstance(error, PilotLightError):
        return error
    if is_silence(error) or (isinstance(error, ClientError) and code(error) in _TRANSIENT):
        return TransientError(str(error))
    if isinstance(error, (ClientError, BotoCoreError)):
        return FatalError(str(error))
    return FatalError(f"{type(error).__name__}: {error}")
