"""Who may know whom: decisions know no AWS, adapters decide nothing, and patience with a region is said once."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
CORE = ROOT / "layers" / "pilotlight" / "pilotlight"


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def starts(names: set[str], *prefixes: str) -> set[str]:
    return {name for name in names if any(name == prefix or name.startswith(f"{prefix}.") for prefix in prefixes)}


@pytest.mark.parametrize("path", sorted((CORE / "decide").glob("*.py")), ids=lambda path: path.stem)
def test_a_decision_knows_only_the_ground_floor(path: Path) -> None:
    known = starts(imports(path), "pilotlight", "boto3", "botocore", "aws_lambda_powertools", "os", "time", "urllib")
    assert not known - starts(known, "pilotlight.decide", "pilotlight.model", "pilotlight.errors")


@pytest.mark.parametrize("path", sorted((CORE / "aws").glob("*.py")), ids=lambda path: path.stem)
def test_an_adapter_carries_out_and_never_decides(path: Path) -> None:
    decided = starts(imports(path), "pilotlight.decide")
    # The shape of a change comes from where it is decided; what it does is data.
    assert decided <= {
        "pilotlight.decide.workload",
        "pilotlight.decide.workload.Change",
        "pilotlight.decide.workload.UNRESERVED",
    }
    assert not starts(imports(path), "pilotlight.step", "pilotlight.once", "pilotlight.config")


@pytest.mark.parametrize("path", [CORE / "model.py", CORE / "errors.py"], ids=lambda path: path.stem)
def test_the_ground_floor_stands_on_nothing(path: Path) -> None:
    assert not starts(imports(path), "pilotlight", "boto3", "botocore")


def test_only_the_factory_makes_clients() -> None:
    users = {path for path in (*CORE.rglob("*.py"), *ROOT.glob("functions/*/app.py")) if "boto3" in imports(path)}
    assert users - set(ROOT.glob("functions/pair/*.py")) - set(ROOT.glob("functions/orders/*.py")) == {
        CORE / "aws" / "clients.py"
    }


def test_only_whom_nothing_waits_for_speaks_to_a_region_that_may_be_lost() -> None:
    """The fence and the probe to the primary, a sentinel to the record in DR, and who notes the objects to both."""
    callers = {
        path.parent.name
        for path in ROOT.glob("functions/*/app.py")
        if "clients.far" in path.read_text() and path.parent.name != "pair"
    }
    assert callers == {"fence", "probe", "objects", "sentinel", "secrets"}
    assert not [path for path in CORE.rglob("*.py") if "far(" in path.read_text() and path.name != "clients.py"]


def test_patience_follows_from_the_region_that_is_named() -> None:
    """A step of an unplanned failover names its own region, so it is near and needs nothing of the other."""
    assert not [path for path in ROOT.glob("functions/*/app.py") if "clients.patient" in path.read_text()]
    assert not [path for path in CORE.rglob("*.py") if "patient(" in path.read_text() and path.name != "clients.py"]
    from pilotlight.aws import clients

    assert clients.at("rds", "eu-central-1") is clients.near("rds")
    assert clients.at("rds", "eu-west-1") is clients.patient("rds", "eu-west-1")


@pytest.mark.parametrize("step", ["control", "compute", "workload", "database", "source"])
def test_a_step_says_which_region_it_means_in_every_call(step: str) -> None:
    """An adapter's default is the function's own region, which may be the one that is left."""
    adapters = {"compute", "database", "workload"}
    tree = ast.parse((ROOT / "functions" / step / "app.py").read_text())
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and isinstance(node.func.value, ast.Name)
            and (node.func.value.id in adapters or node.func.attr == "put")
        ):
            said = " ".join(ast.unparse(argument) for argument in (*node.args, *[word.value for word in node.keywords]))
            named = ("clients.at(", "there(", "rds", "scaling", "lambdas", "tagging", "tuple")
            assert any(name in said for name in named), f"{step}: {ast.unparse(node)}"


def test_the_other_region_is_asked_once_and_briefly() -> None:
    from pilotlight.aws import clients

    clients.far.cache_clear()
    config = clients.far("autoscaling", "eu-west-1").meta.config
    assert config.connect_timeout <= 2
    assert config.read_timeout <= 2
    assert config.retries["total_max_attempts"] == 1
