"""The lab's page repeats the durations that the lab uses, so that nobody has to trust it."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.durations import Duration, table

PAGE = (Path(__file__).parents[2] / "docs/lab.md").read_text()


@pytest.mark.parametrize(("operation", "duration"), table().items())
def test_a_duration_stands_on_the_page_with_its_source(operation: str, duration: Duration) -> None:
    assert f"| `{operation}` | {duration.seconds:g} | {duration.source} |" in PAGE
