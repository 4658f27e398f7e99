"""The primary does not answer, in the way that makes a client wait longest. The failover neither waits nor fails."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.workflow.operator import DR, PRIMARY

if TYPE_CHECKING:
    from tests.workflow.operator import Operator


def test_a_failover_from_the_command_line_succeeds(operator: Operator) -> None:
    primary = operator.door(PRIMARY)
    operator.until(lambda: operator.order(primary, "before"), "the primary serves")
    operator.until(lambda: operator.database()["StatusInfos"][0]["Normal"], "the replica replicates")
    operator.lab.clock_passes(20)
    operator.lab.lose(PRIMARY, "hang")

    arn = operator.start_from_the_command_line()
    ended = operator.end_of(arn)
    assert ended.status == "SUCCEEDED", ended.cause
    assert ended.output["database"]["drain"]["outcome"] == "applied"
    assert operator.has_order(operator.door(DR), "before")
    operator.never_waited_for_the_primary(arn)
    operator.until(lambda: operator.record().get("fence", "").startswith("NOT confirmed"), "the fence reports")
