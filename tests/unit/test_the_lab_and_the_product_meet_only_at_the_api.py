"""The product does not know that there is a lab, the lab does not know the product, and one package knows MiniStack."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
PRODUCT = [*(ROOT / "layers").rglob("*.py"), *(ROOT / "functions").rglob("*.py")]
LAB = list((ROOT / "lab").rglob("*.py"))


def imported(path: Path) -> set[str]:
    """Name the top-level packages that a file imports, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.partition(".")[0])
    return names


def importers(files: list[Path], package: str) -> set[str]:
    return {str(path.relative_to(ROOT)) for path in files if package in imported(path)}


def test_there_is_something_to_look_at() -> None:
    assert len(PRODUCT) > 20
    assert len(LAB) > 40
    assert importers(LAB, "lab")
    assert importers(PRODUCT, "pilotlight")


def test_neither_imports_the_other() -> None:
    assert importers(PRODUCT, "lab") == set()
    assert importers(LAB, "pilotlight") == set()


def test_the_product_has_no_word_for_the_lab() -> None:
    for path in [
        *PRODUCT,
        *(ROOT / "infra").glob("*.yaml"),
        ROOT / "template.yaml",
        *(ROOT / "statemachine").glob("*"),
    ]:
        words = path.read_text().lower()
        for word in ("ministack", "localhost", "lab_", "mariadbd"):
            assert word not in words, f"{path.relative_to(ROOT)} speaks of {word}"


def test_one_package_knows_ministack() -> None:
    outside = {path for path in importers(LAB, "ministack") if not path.startswith("lab/emulator/")}
    assert outside == set()
    assert importers(LAB, "ministack")
    assert importers(PRODUCT, "ministack") == set()
