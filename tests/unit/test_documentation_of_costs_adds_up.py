from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "costs.md").read_text()
# A row's last cell. What only comes with a choice stands in brackets, and is in no sum.
PRICE = re.compile(r"^\| (?!\*).* \| (?:about )?\$([\d.]+) \|$", re.MULTILINE)
SUM = re.compile(r"^\| \*\*Sum\*\* \| \| \*\*(?:about )?\$([\d.]+)\*\* \|$", re.MULTILINE)


def table(heading: str) -> tuple[float, float]:
    """What a table's rows add up to, and what it says that they do."""
    part = re.split(r"^#+ ", PAGE.split(f"# {heading}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]
    (stated,) = SUM.findall(part)
    prices = [float(price) for price in PRICE.findall(part)]
    assert len(prices) > 5
    return sum(prices), float(stated)


def test_an_idle_dr_costs_what_its_rows_add_up_to() -> None:
    found, stated = table("Item by item")
    assert round(found) == stated
    assert f"about ${stated:g} a month" in " ".join((ROOT / "README.md").read_text().split())


def test_detection_costs_what_its_rows_add_up_to_and_what_the_whole_counts_it_as() -> None:
    found, stated = table("Detection")
    assert round(found, 2) == stated
    assert f"| [Detection](#detection): the probe, its metrics and alarms | by use | ${stated} |" in PAGE
