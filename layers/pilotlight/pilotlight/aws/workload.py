"""Workload functions: their reserved concurrency and their event source mappings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from pilotlight.aws import clients, faults
from pilotlight.decide.workload import UNRESERVED, Change
from pilotlight.model import Function, Trigger

if TYPE_CHECKING:
    from collections.abc import Iterable

_TAG = "pilotlight:workload"
_CONCURRENCY_TAG = "pilotlight:reserved-concurrency"


def functions(
    environment: str, named: tuple[str, ...], tagging: Any = None, client: Any = None
) -> tuple[Function, ...]:
    """Find the team's functions: those tagged ``pilotlight:workload=<env>`` and those named in the configuration."""
    api = tagging or clients.near("resourcegroupstaggingapi")
    pages = api.get_paginator("get_resources").paginate(
        ResourceTypeFilters=["lambda:function"], TagFilters=[{"Key": _TAG, "Values": [environment]}]
    )
    tags: dict[str, dict[str, str]] = {name: {} for name in named}
    for page in pages:
        for resource in page["ResourceTagMappingList"]:
            name = resource["ResourceARN"].rsplit(":", 1)[-1]
            tags[name] = {tag["Key"]: tag["Value"] for tag in resource["Tags"]}
    return tuple(_look(name, tags[name], client) for name in sorted(tags))


def look(names: tuple[str, ...], client: Any = None) -> tuple[Function, ...]:
    """Read the switches of functions that are known by name."""
    lambdas = client or clients.near("lambda")
    return tuple(_look(name, lambdas.get_function(FunctionName=name).get("Tags", {}), lambdas) for name in names)


def _look(name: str, tags: dict[str, str], client: Any) -> Function:
    lambdas = client or clients.near("lambda")
    reserved = lambdas.get_function_concurrency(FunctionName=name).get("ReservedConcurrentExecutions")
    pages = lambdas.get_paginator("list_event_source_mappings").paginate(FunctionName=name)
    number = tags.get(_CONCURRENCY_TAG, "")
    return Function(
        name=name,
        reserved_concurrency=reserved,
        active_concurrency=int(number) if number.isdecimal() else None,
        triggers=tuple(
            Trigger(mapping["UUID"], mapping["State"]) for page in pages for mapping in page["EventSourceMappings"]
        ),
    )


def apply(changes: Iterable[Change], client: Any = None) -> None:
    """Carry changes out. Off: triggers, then concurrency. On: concurrency, then triggers."""
    lambdas = client or clients.near("lambda")
    for change in changes:
        for trigger in change.triggers_off:
            _switch(lambdas, trigger, enabled=False)
        if change.concurrency == UNRESERVED:
            lambdas.delete_function_concurrency(FunctionName=change.function)
        elif change.concurrency is not None:
            lambdas.put_function_concurrency(
                FunctionName=change.function, ReservedConcurrentExecutions=change.concurrency
            )
        for trigger in change.triggers_on:
            _switch(lambdas, trigger, enabled=True)


def _switch(lambdas: Any, trigger: str, *, enabled: bool) -> None:
    try:
        lambdas.update_event_source_mapping(UUID=trigger, Enabled=enabled)
    except ClientError as error:
        # In transition from an earlier call. The next poll looks at it again.
        if faults.code(error) not in ("ResourceInUseException", "ResourceConflictException"):
            raise
