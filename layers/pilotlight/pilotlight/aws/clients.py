"""One factory for every AWS client, and how patient each may be.

``near`` is for the region the function runs in. ``far`` is for the other one when it may be lost: a call there must
neither wait nor insist, whatever it is for. ``patient`` is for the other one when it is known to answer: a planned
switch, in either direction, and the building of a standby. ``at`` chooses between near and patient by the region.
``steady`` is for work in bulk on which no switch waits. ``brisk`` is for a look at this region that comes round again.

How long a freeze may last when the other region is lost in the middle of it, and even hangs: one patient call ends
after 3 + 15 s and is not repeated here, so a state that makes one such call and is retried twice (after at most 1 and
2 s) has given up after 3 * 18 + 3 = 57 s. Opening the source again asks the other region once more, 18 s, before it
goes by the record alone. Together 75 s, well inside the 120 s of the proof's budget.
"""

from __future__ import annotations

import os
from functools import cache
from typing import Any

import boto3
from botocore.config import Config

# Retries below are short because the state machines retry by name; adaptive, because recovery is when APIs throttle.
# Two tries of a call that hangs end before the function does (30 s), so that the step fails saying what did not answer.
_NEAR = Config(connect_timeout=3, read_timeout=10, retries={"total_max_attempts": 2, "mode": "standard"})
# Long enough for a function of the other side that starts cold inside its network. Once: the state machines retry.
_PATIENT = Config(connect_timeout=3, read_timeout=15, retries={"total_max_attempts": 1, "mode": "standard"})
# Work in bulk that nobody waits for: it slows down when it is throttled, instead of failing or of starving others.
_STEADY = Config(connect_timeout=3, read_timeout=10, retries={"total_max_attempts": 6, "mode": "adaptive"})
_FAR = Config(connect_timeout=2, read_timeout=2, retries={"total_max_attempts": 1, "mode": "standard"})

# A look that comes round every few seconds: what does not answer now is asked again then.
_BRISK = Config(connect_timeout=2, read_timeout=5, retries={"total_max_attempts": 1, "mode": "standard"})

# A list that another function makes takes it up to two minutes; asked twice, it would be made twice at once.
_LISTENING = Config(connect_timeout=3, read_timeout=130, retries={"total_max_attempts": 1, "mode": "standard"})

# A comparison of all parameters, and the minutes that it carries. A connection that is idle for so long is kept.
_FOLLOWING = Config(
    connect_timeout=3, read_timeout=600, tcp_keepalive=True, retries={"total_max_attempts": 1, "mode": "standard"}
)


@cache
def near(service: str) -> Any:
    """Make (once) a client for this function's own region."""
    return boto3.client(service, region_name=os.environ["AWS_REGION"], config=_NEAR)  # type: ignore[call-overload]


@cache
def patient(service: str, region: str) -> Any:
    """Make (once) a client for the other region when it is known to answer: the other side of a planned switch."""
    return boto3.client(service, region_name=region, config=_PATIENT)  # type: ignore[call-overload]


def at(service: str, region: str) -> Any:
    """Make (once) a client for a region that is named by data: near where that is this one, else patient."""
    return near(service) if region == os.environ["AWS_REGION"] else patient(service, region)


@cache
def far(service: str, region: str) -> Any:
    """Make (once) a client for the other region: at most 2 s to connect, 2 s to answer, no second try."""
    return boto3.client(service, region_name=region, config=_FAR)  # type: ignore[call-overload]


@cache
def brisk(service: str) -> Any:
    """Make (once) a client for this function's own region that does not insist: its caller looks again soon."""
    return boto3.client(service, region_name=os.environ["AWS_REGION"], config=_BRISK)  # type: ignore[call-overload]


@cache
def listening(service: str, region: str) -> Any:
    """Make (once) a client that waits for what takes long in any region: a function that reads a database's log."""
    return boto3.client(service, region_name=region, config=_LISTENING)  # type: ignore[call-overload]


@cache
def following(service: str, region: str) -> Any:
    """Make (once) a client that waits for another function's work in bulk, before anything is closed."""
    return boto3.client(service, region_name=region, config=_FOLLOWING)  # type: ignore[call-overload]


@cache
def steady(service: str, region: str) -> Any:
    """Make (once) a client for work in bulk in either region: it takes throttling as a request to slow down."""
    return boto3.client(service, region_name=region, config=_STEADY)  # type: ignore[call-overload]
