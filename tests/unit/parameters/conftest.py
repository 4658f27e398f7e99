from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.core.conftest import environment
from tests.unit.parameters.regions import Regions, regions

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["environment"]


@pytest.fixture
def two() -> Iterator[Regions]:
    with regions() as made:
        yield made
