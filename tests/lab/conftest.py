from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.lab.functions import make_role
from tests.lab.running import DR, PRIMARY, RunningLab

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def empty_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLab]:
    lab = RunningLab("--no-deploy", log=tmp_path_factory.mktemp("lab") / "output", scale=50, ready_within=60)
    make_role(lab)
    yield lab
    assert lab.stop() == 0


@pytest.fixture
def lab(empty_lab: RunningLab) -> Iterator[RunningLab]:
    """Two empty regions, both up, fifty AWS seconds in a second; shared by the session's tests."""
    yield empty_lab
    _mend(empty_lab)


@pytest.fixture(scope="session")
def deployed_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLab]:
    lab = RunningLab(log=tmp_path_factory.mktemp("deployed") / "output", scale=20, ready_within=600)
    yield lab
    assert lab.stop() == 0


@pytest.fixture
def deployed(deployed_lab: RunningLab) -> Iterator[RunningLab]:
    """Both regions deployed by the real SAM CLI, once in the session. A test leaves the regions' roles as they were."""
    yield deployed_lab
    _mend(deployed_lab)


def _mend(lab: RunningLab) -> None:
    for region in (PRIMARY, DR):
        lab.set_apis(region, None)
        lab.bring_back(region)
