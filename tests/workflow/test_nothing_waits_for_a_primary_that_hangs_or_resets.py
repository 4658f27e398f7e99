"""The primary does not answer, in the two ways that make a client wait. The failover neither waits nor fails."""

from __future__ import annotations

import pytest

from tests.lab.running import RunningLab
from tests.workflow.operator import DR, PRIMARY, Operator


@pytest.mark.parametrize("mode", ["hang", "reset"])
def test_a_failover_from_the_command_line_succeeds(mode: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    lab = RunningLab(log=tmp_path_factory.mktemp(mode) / "lab", scale=20, ready_within=600)
    try:
        operator = Operator(lab)
        operator.automation(on=False)
        _fails_over(operator, mode)
    finally:
        assert lab.stop() == 0


def _fails_over(operator: Operator, mode: str) -> None:
    primary = operator.door(PRIMARY)
    operator.until(lambda: operator.order(primary, "before"), "the primary serves")
    operator.until(lambda: operator.database()["StatusInfos"][0]["Normal"], "the replica replicates")
    operator.lab.clock_passes(20)
    operator.lab.lose(PRIMARY, mode)

    arn = operator.start_from_the_command_line()
    ended = operator.end_of(arn)
    assert ended.status == "SUCCEEDED", ended.cause
    assert ended.output["database"]["drain"]["outcome"] == "applied"
    assert operator.has_order(operator.door(DR), "before")

    # Nothing on the way asked the primary: the one call that speaks to it was handed over and not awaited.
    history = operator.history(arn)
    scheduled = [event["taskScheduledEventDetails"] for event in history if "taskScheduledEventDetails" in event]
    spoke = [task for task in scheduled if "dev-dr-fence" in task["parameters"]]
    assert len(spoke) == 1
    assert '"InvocationType":"Event"' in spoke[0]["parameters"].replace(" ", "")
    assert all(f'"{PRIMARY}"' not in task["parameters"].split('"plan"')[0] for task in scheduled if task not in spoke)
    operator.until(lambda: operator.record().get("fence", "").startswith("NOT confirmed"), "the fence reports")
