from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError, ReadTimeoutError

from tests.lab.running import DR, PRIMARY

if TYPE_CHECKING:
    from tests.lab.running import RunningLab

CALLS = [("sqs", "list_queues"), ("rds", "describe_db_instances"), ("s3", "list_buckets"), ("lambda", "list_functions")]
MODES: list[tuple[str, type[Exception]]] = [
    ("refuse", ClientError),
    ("hang", ReadTimeoutError),
    ("reset", ConnectionClosedError),
]


@pytest.mark.parametrize(("mode", "error"), MODES)
@pytest.mark.parametrize(("service", "operation"), CALLS)
def test_its_callers_see_that_and_the_other_region_answers(
    lab: RunningLab, service: str, operation: str, mode: str, error: type[Exception]
) -> None:
    lab.set_apis(PRIMARY, mode)

    with pytest.raises(error):
        # Nobody waits longer than he must, and a refusal may take its time.
        getattr(lab.client(service, PRIMARY, read_timeout=1 if mode == "hang" else 60), operation)()
    getattr(lab.client(service, DR), operation)()

    lab.set_apis(PRIMARY, None)
    getattr(lab.client(service, PRIMARY), operation)()


def test_the_lab_says_which_region_is_lost(lab: RunningLab) -> None:
    lab.lose(PRIMARY, "hang")
    assert lab.status()["regions"] == {PRIMARY: {"lost": "hang", "apis": "hang"}, DR: {"lost": None, "apis": None}}

    lab.bring_back(PRIMARY)
    assert lab.status()["regions"][PRIMARY] == {"lost": None, "apis": None}
