"""A dead link in a runbook is found by somebody who has no time."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
PAGES = sorted([PROJECT / "README.md", PROJECT / "CONTRIBUTING.md", *(PROJECT / "docs").rglob("*.md")])
LINK = re.compile(r"(?<!`)\[[^\]`]*\]\(([^)\s]+)\)")


def _anchors(page: Path) -> set[str]:
    """Make the anchors of a page's headings as the usual renderers do."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


LINKS = [
    (page, target)
    for page in PAGES
    for target in LINK.findall(page.read_text())
    if not target.startswith(("https://", "http://"))
]


@pytest.mark.parametrize(
    ("page", "target"), [pytest.param(*link, id=f"{link[0].relative_to(PROJECT)}:{link[1]}") for link in LINKS]
)
def test_a_link_leads_to_a_page_and_a_heading(page: Path, target: str) -> None:
    path, _, anchor = target.partition("#")
    destination = (page.parent / path).resolve() if path else page
    assert destination.exists()
    if anchor:
        assert anchor in _anchors(destination)


# What the product itself says in mails, alarms and messages: `docs/page.md, Heading`.
SAYS = re.compile(r"(docs/[\w/-]+\.md)(?:, '?((?:\d\. )?[A-Z][\w ]+))?")
NAMED = [
    (source, *named)
    for place in ("layers/pilotlight", "functions", "scripts", "statemachine", "infra")
    for source in sorted((PROJECT / place).rglob("*.*"))
    if source.suffix in (".py", ".json", ".yaml")
    for named in SAYS.findall(source.read_text())
]


@pytest.mark.parametrize(
    ("page", "heading"), [pytest.param(*named[1:], id=f"{named[0].stem}:{' '.join(named[1:])}") for named in NAMED]
)
def test_a_page_and_a_heading_that_a_message_names_exist(page: str, heading: str) -> None:
    assert (PROJECT / page).exists()
    assert not heading or re.search(rf"^#+ {re.escape(heading)}$", (PROJECT / page).read_text(), re.MULTILINE)


@pytest.mark.parametrize("decision", sorted((PROJECT / "docs/adr").glob("0*.md")), ids=lambda path: path.stem)
def test_a_decision_is_in_the_index(decision: Path) -> None:
    assert f"({decision.name})" in (PROJECT / "docs/adr/README.md").read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(PROJECT)))
def test_a_command_of_make_exists(page: Path) -> None:
    makefile = (PROJECT / "Makefile").read_text()
    # In code spans, and at the start of a line in code blocks: "make" is also a verb.
    text = page.read_text()
    commands = [
        *re.findall(r"`make ([a-z][a-z -]*)", text),
        *re.findall(r"^(?:.*&& )?make ([a-z][a-z -]*)", text, re.MULTILINE),
    ]
    for target in {target for command in commands for target in command.split()}:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"make {target} does not exist"
