from __future__ import annotations

import re
import tomllib
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


def test_an_idle_dr_and_the_primary_cost_what_their_rows_add_up_to() -> None:
    readme = " ".join((ROOT / "README.md").read_text().split())
    found, stated = table("An idle DR region")
    assert round(found) == stated
    assert f"about ${stated:g} a month" in readme
    found, stated = table("The primary")
    assert round(found) == stated
    # There it is rounded to tens.
    assert f"the primary about ${round(stated, -1):g} more" in readme


def test_what_the_primary_pays_for_dr_is_its_rows_that_say_so() -> None:
    rows = PAGE.split("## The primary\n")[1].split("\n## ")[0].splitlines()
    paid = [
        PRICE.findall(row)[0]
        for row in rows
        if row.startswith(("| Images", "| Parameter", "| Sentinel", "| Objects ("))
    ]
    assert f"last five rows, ${sum(float(price) for price in paid):.2f}," in PAGE


def test_the_tables_are_of_the_endpoints_that_samconfig_has() -> None:
    samconfig = tomllib.loads((ROOT / "samconfig.toml").read_text())
    for environment, heading in (("dev-dr", "An idle DR region"), ("dev-primary", "The primary")):
        overrides = samconfig[environment]["deploy"]["parameters"]["parameter_overrides"]
        kept = overrides.split("InterfaceEndpoints=")[1].split()[0]
        assert f"| Interface endpoints, `{kept}`:" in PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]


def test_detection_costs_what_its_rows_add_up_to_and_what_the_whole_counts_it_as() -> None:
    found, stated = table("Detection")
    assert round(found, 2) == stated
    assert f"| [Detection](#detection): the probe, its metrics and alarms | by use | ${stated} |" in PAGE
