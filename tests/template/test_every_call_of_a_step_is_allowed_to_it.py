"""What the functions call, read from their code, against what the template lets them."""

from __future__ import annotations

import ast
import re
from functools import cache

import botocore.session
import pytest
from botocore import xform_name

from .templates import ROOT, functions, many, statements, steps

CORE = ROOT / "layers" / "pilotlight" / "pilotlight"
SERVICES = (
    "autoscaling", "cloudwatch", "dynamodb", "ec2", "elbv2", "events", "kms", "lambda", "rds",
    "resourcegroupstaggingapi", "s3", "secretsmanager", "sns", "ssm", "stepfunctions",
)  # fmt: skip
# A snapshot that is to carry tags has to be tagged by whoever takes it.
# What is asked for by its version, or copied with its tags, needs the rights on those; and only who may list a bucket
# hears that something is not there.
IMPLIED = {
    "CreateDBSnapshot": {"AddTagsToResource"},
    "GetObjectTagging": {"GetObjectVersionTagging"},
    "CopyObject": {"GetObjectVersion", "PutObjectTagging", "ListBucket"},
}
# Where an action of IAM is not named like the call that it allows.
ACTIONS = {
    "Invoke": "InvokeFunction", "HeadObject": "GetObject", "ListObjectVersions": "ListBucketVersions",
    "CopyObject": "PutObject",
}  # fmt: skip
# Reached by the adapter's words, never by the step: these only switch off.
NEVER_TAKEN = {
    "fence": {"DeleteFunctionConcurrency"},
    "standby": {"DeleteFunctionConcurrency"},
    "sentinel": {"DeleteFunctionConcurrency", "EnableRule"},
}
# Powertools keeps what was done once: its own code, not the adapters', calls these.
ONCE = {"GetItem", "PutItem", "UpdateItem", "DeleteItem"}
BESIDE = (functions()[name] for name in ("ParameterSyncFunction", "SentinelFunction", "ImageFunction"))
STEPS = {f["CodeUri"].split("/")[1]: f for f in (*steps().values(), *BESIDE)}


@cache
def operations() -> dict[str, str]:
    """Method name of boto3 to operation, over all services that the adapters use."""
    session = botocore.session.get_session()
    return {
        xform_name(name): name for service in SERVICES for name in session.get_service_model(service).operation_names
    }


class Adapter:
    """One module of the core: which operations each of its functions reaches."""

    def __init__(self, name: str) -> None:
        tree = ast.parse((CORE / "aws" / f"{name}.py").read_text())
        self._bodies = {
            node.name: node
            for top in tree.body
            for node in ([top, *top.body] if isinstance(top, ast.ClassDef) else [top])
            if isinstance(node, ast.FunctionDef)
        }

    def reached(self, function: str, seen: frozenset[str] = frozenset()) -> set[str]:
        if function in seen or function not in self._bodies:
            return set()
        found: set[str] = set()
        for node in ast.walk(self._bodies[function]):
            if not isinstance(node, ast.Call):
                continue
            called = node.func
            if isinstance(called, ast.Attribute) and called.attr == "get_paginator":
                assert isinstance(node.args[0], ast.Constant)
                found.add(operations()[str(node.args[0].value)])
            elif isinstance(called, ast.Attribute) and called.attr in operations():
                found.add(operations()[called.attr])
            elif isinstance(called, ast.Name):
                found |= self.reached(called.id, seen | {function})
            elif isinstance(called, ast.Attribute) and ast.unparse(called.value) == "self":
                found |= self.reached(called.attr, seen | {function})
        return found


def adapters_used(step: str) -> set[tuple[str, str]]:
    """Adapter and function for every call that a step's own code makes, and for what its wrapper does."""
    source = (ROOT / "functions" / step / "app.py").read_text()
    tree = ast.parse(source)
    modules: dict[str, tuple[str, str]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "pilotlight.aws":
            modules |= {alias.asname or alias.name: (alias.name, "") for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("pilotlight.aws."):
            modules |= {a.asname or a.name: (node.module.rsplit(".", 1)[1], a.name) for a in node.names}
    used: set[tuple[str, str]] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules:
            used.add((modules[node.value.id][0], node.attr))
        elif isinstance(node, ast.Name) and node.id in modules and modules[node.id][1]:
            used.add(modules[node.id])
        elif (
            isinstance(node, ast.Attribute)
            and node.attr in ("replace", "find", "note_fence")
            and "store" in ast.dump(node)
        ):
            used.add(("record", node.attr))
    if re.search(r"\bcurrent\(|\.store\b", source):
        used.add(("record", "read"))
    return used


def needed(step: str) -> set[str]:
    found = {op for module, function in adapters_used(step) for op in Adapter(module).reached(function)}
    if "pilotlight.once" in (ROOT / "functions" / step / "app.py").read_text():
        found |= ONCE
    found -= NEVER_TAKEN.get(step, set())
    implied = {extra for op in found for extra in IMPLIED.get(op, set())}
    return {ACTIONS.get(op, op) for op in found} | implied


def granted(step: str) -> set[str]:
    return {
        action.split(":")[1]
        for statement in statements(STEPS[step]["Policies"])
        for action in many(statement["Action"])
        if statement["Effect"] == "Allow"
    }


# Needed by what is called and not by who calls it: keys behind tables and topics, what Auto Scaling checks of a caller.
BEHIND_A_CALL = {
    "Decrypt", "DescribeKey", "GenerateDataKey", "RunInstances", "CreateTags", "PassRole", "GetParameters",
    "CreateGrant",
}  # fmt: skip


# Needed by Lambda, which hands over what is in the queue; and by Parameter Store, which encrypts for the caller.
BEHIND_A_CALL_OF = {
    "parameter_sync": {"ReceiveMessage", "DeleteMessage", "GetQueueAttributes", "Encrypt"},
    # EC2 copies disks from one key to the other for whoever asks it to.
    "image": {"Encrypt", "GenerateDataKeyWithoutPlaintext", "ReEncryptFrom", "ReEncryptTo"},
}


@pytest.mark.parametrize("step", sorted(STEPS))
def test_what_it_calls_is_granted(step: str) -> None:
    assert needed(step) - granted(step) == set()


@pytest.mark.parametrize("step", sorted(STEPS))
def test_what_it_does_not_call_is_not_granted(step: str) -> None:
    assert granted(step) - needed(step) - BEHIND_A_CALL - BEHIND_A_CALL_OF.get(step, set()) == set()


def test_the_reading_of_the_code_finds_something() -> None:
    assert "PromoteReadReplica" in needed("database")
    assert "ModifyDBInstance" in needed("fence")
    assert {"InvokeFunction", "ModifyDBParameterGroup", "DeleteFunctionConcurrency"} <= needed("source")
    assert "GetParametersByPath" in needed("control")
    assert needed("sql") == {"GetSecretValue", "PutObject"}
    assert "GetSecretValue" not in needed("secrets")
    assert {"PutParameter", "GetResources", "EnableRule"} <= needed("parameter_sync")
    assert {"PutMetricData", "GetMetricStatistics", "DescribeLoadBalancers", "PutItem"} <= needed("probe")
    assert {"ListBucketVersions", "GetMetricData", "PutObject"} <= needed("objects")
    assert {"PutItem", "DisableRule", "ModifyDBParameterGroup", "PutMetricData"} <= needed("sentinel")
    assert {"CopyImage", "DeregisterImage", "PutMetricData", "GetKeyPolicy"} <= needed("image")
