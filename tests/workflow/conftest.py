from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.lab.running import RunningLab
from tests.workflow.operator import Operator

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Operator]:
    """Someone at the keyboard of a system that was just deployed to two regions. One lab for each module: a failover
    leaves nothing as it was."""
    lab = RunningLab(log=tmp_path_factory.mktemp(request.module.__name__) / "lab", scale=20, ready_within=600)
    found = Operator(lab)
    # Whoever loses a region here starts what they want to see; an alarm would do it for them.
    found.automation(on=False)
    with lab.log_kept(request):
        yield found
    assert lab.stop() == 0
