from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.lab.functions import make_role
from tests.lab.running import DR, PRIMARY, RunningLab

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def lab_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLab]:
    lab = RunningLab("--no-deploy", log=tmp_path_factory.mktemp("lab") / "output", scale=50, ready_within=180)
    make_role(lab)
    yield lab
    assert lab.stop() == 0


@pytest.fixture(scope="module")
def empty_lab(lab_process: RunningLab) -> Iterator[RunningLab]:
    """The session's lab. A module's databases go with it: each later loss would kill and start them all."""
    yield lab_process
    for database in lab_process.control("database", "list"):
        lab_process.control("database", "remove", region=database["region"], identifier=database["identifier"])


@pytest.fixture
def lab(empty_lab: RunningLab, request: pytest.FixtureRequest) -> Iterator[RunningLab]:
    """Two empty regions, both up, fifty AWS seconds in a second; shared by the session's tests."""
    with empty_lab.log_kept(request):
        yield empty_lab
    _mend(empty_lab)


@pytest.fixture(scope="session")
def deployed_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLab]:
    lab = RunningLab(log=tmp_path_factory.mktemp("deployed") / "output", scale=20, ready_within=600)
    yield lab
    assert lab.stop() == 0


@pytest.fixture
def deployed(deployed_lab: RunningLab, request: pytest.FixtureRequest) -> Iterator[RunningLab]:
    """Both regions deployed by the real SAM CLI, once in the session. A test leaves the regions' roles as they were."""
    with deployed_lab.log_kept(request):
        yield deployed_lab
    _mend(deployed_lab)


def _mend(lab: RunningLab) -> None:
    """Take back what a test may have left behind, one that failed above all."""
    lab.set_scale(lab.scale)
    lab.control("executions", "let-go")
    lab.control("objects", "allow")
    for region in (PRIMARY, DR):
        lab.control("events", "failing-targets", region=region, on=False)
        lab.set_apis(region, None)
        lab.bring_back(region)
