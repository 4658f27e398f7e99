"""One root, three families. The class names are what the state machines name in Retry and Catch.

A Lambda failure reaches Step Functions under the exact class name of the exception, never under a parent's
(https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html). So nothing subclasses a family.
"""

from __future__ import annotations


class PilotLightError(Exception):
    """Root of every error that Pilot Light raises on purpose."""


class TransientError(PilotLightError):
    """The same call may succeed in a moment: throttling, a time-out, a 5xx. Retried by name."""


class PreconditionFailed(PilotLightError):  # noqa: N818 - the name is shown to the operator, and is not their error
    """A human can unblock this. The message says what is wrong and the way out."""


class FatalError(PilotLightError):
    """Going on could do harm or cannot work: a stale epoch, a missing permission, a broken promise of an API."""
