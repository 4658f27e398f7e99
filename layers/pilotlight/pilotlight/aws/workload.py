"""Workload functions: their reserved concurrency and their event source mappings."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import TYPE_CHECKING, Any, NamedTuple

from botocore.exceptions import ClientError

from pilotlight.aws import clients, faults
from pilotlight.decide.workload import UNRESERVED, Change
from pilotlight.errors import FatalError, PilotLightError, PreconditionFailed
from pilotlight.model import Function, Trigger

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

_TAG = "pilotlight:workload"
_MOST_TOLD = 50
_CONCURRENCY_TAG = "pilotlight:reserved-concurrency"


class Standing(NamedTuple):
    """What of the workload is there: each function's switches, names that nothing has, and what could not be seen."""

    found: tuple[Function, ...]
    missing: tuple[str, ...]
    failed: Mapping[str, PilotLightError]


def functions(
    environment: str, named: tuple[str, ...], tagging: Any = None, client: Any = None
) -> tuple[Function, ...]:
    """Find the team's functions: those tagged ``pilotlight:workload=<env>`` and those named in the configuration.

    Raises
    ------
    PreconditionFailed
        One is named and does not exist: who is to switch it on cannot.
    """
    tags: dict[str, dict[str, str]] = {name: {} for name in named} | _tagged(environment, tagging)
    lambdas, found = client or clients.near("lambda"), []
    for name in sorted(tags):
        with _exists(name, lambdas, named=name in named):
            found.append(_look(name, tags[name], lambdas))
    return tuple(found)


def names(environment: str, named: tuple[str, ...], tagging: Any = None) -> tuple[str, ...]:
    """List the team's functions without a look at them: those that are tagged, and those that are named."""
    return tuple(sorted({*named, *_tagged(environment, tagging)}))


def look(
    names: tuple[str, ...], own: str, client: Any = None, named: Collection[str] | None = None
) -> tuple[Function, ...]:
    """Read the switches of functions that are known by name.

    Parameters
    ----------
    own
        ARN of the function that asks, which says whose theirs are.
    named
        Those that have to exist, where not all of them have to.

    Raises
    ------
    PreconditionFailed
        One does not exist.
    """
    lambdas, found = client or clients.near("lambda"), []
    for name in names:
        with _exists(name, lambdas, named=named is None or name in named):
            seen = _look(name, {}, lambdas)
            # Lambda takes 15 calls a second, all functions together: who is on is not asked for its number.
            if seen.reserved_concurrency == 0:
                arn = ":".join((*own.split(":")[:3], lambdas.meta.region_name, *own.split(":")[4:6], name))
                number = _number(lambdas.list_tags(Resource=arn)["Tags"])
                seen = dataclasses.replace(seen, active_concurrency=number)
            found.append(seen)
    return tuple(found)


def standing(environment: str, named: tuple[str, ...], tagging: Any = None, client: Any = None) -> Standing:
    """Find the team's functions for whoever closes them: what cannot be looked at keeps no other one open."""
    try:
        tags, failed = _tagged(environment, tagging), {}
    except Exception as error:  # noqa: BLE001 - those that are named can be closed all the same
        tags, failed = {}, {f"those tagged {_TAG}": faults.sorted_into_family(error)}
    seen = standing_of(tuple(sorted({*named, *tags})), client)
    return seen._replace(failed={**failed, **seen.failed})


def standing_of(names: tuple[str, ...], client: Any = None) -> Standing:
    """Look at functions by name, each by itself. A region that does not answer is not asked for the next one."""
    lambdas = client or clients.near("lambda")
    found, missing, failed, silent = [], [], dict[str, PilotLightError](), None
    for name in names:
        if silent is not None:
            failed[name] = silent
            continue
        try:
            found.append(_look(name, {}, lambdas))
        except Exception as error:  # noqa: BLE001 - one that fails in any way keeps no other one open
            if _is_missing(error):
                missing.append(name)
                continue
            failed[name] = faults.sorted_into_family(error)
            silent = failed[name] if faults.is_silence(error) else None
    return Standing(tuple(found), tuple(missing), failed)


def change_each(names: tuple[str, ...], change: Callable[[Function], Change], client: Any = None) -> Standing:
    """Change functions, each by itself; ``failed`` has those that could not be seen, or not be changed."""
    seen = standing_of(names, client)
    return seen._replace(failed={**seen.failed, **apply_each(map(change, seen.found), client)})


def apply_each(changes: Iterable[Change], client: Any = None) -> dict[str, PilotLightError]:
    """Carry changes out, each function's by itself; say which failed, and why."""
    failed = {}
    for change in changes:
        try:
            apply([change], client)
        except Exception as error:  # noqa: BLE001 - one that fails in any way keeps no other one open
            failed[change.function] = faults.sorted_into_family(error)
    return failed


def require_all(failed: Mapping[str, PilotLightError]) -> None:
    """Fail if any function failed, now that all others are done; as hopelessly as the worst of them.

    Raises
    ------
    PilotLightError
        Of the same family, with every function's reason, up to as many as a state machine carries for sure.
    """
    if failed:
        families = [type(error) for error in failed.values()]
        worst = FatalError if FatalError in families else families[0]
        told = [f"function {name}: {error}" for name, error in failed.items()]
        more = [f"and {len(told) - _MOST_TOLD} more functions"] if len(told) > _MOST_TOLD else []
        raise worst("; ".join((*told[:_MOST_TOLD], *more)))


def _tagged(environment: str, tagging: Any) -> dict[str, dict[str, str]]:
    api = tagging or clients.near("resourcegroupstaggingapi")
    pages = api.get_paginator("get_resources").paginate(
        ResourceTypeFilters=["lambda:function"], TagFilters=[{"Key": _TAG, "Values": [environment]}]
    )
    return {
        resource["ResourceARN"].rsplit(":", 1)[-1]: {tag["Key"]: tag["Value"] for tag in resource["Tags"]}
        for page in pages
        for resource in page["ResourceTagMappingList"]
    }


@contextlib.contextmanager
def _exists(name: str, client: Any, *, named: bool = True) -> Iterator[None]:
    """Say of a function that is named and not there what to do about it: who opens a region needs all of them.

    One that is only tagged was deleted a moment ago: tags are forgotten later.
    """
    try:
        yield
    except ClientError as error:
        if not _is_missing(error):
            raise
        if not named:
            return
        raise PreconditionFailed(
            f"the workload function {name} does not exist in {client.meta.region_name}, so it cannot be switched on "
            "there: deploy it, or take it out of the parameter WorkloadFunctions (and of …/config/workload-functions "
            "in DR); then start again"
        ) from error


def _is_missing(error: Exception) -> bool:
    return isinstance(error, ClientError) and faults.code(error) == "ResourceNotFoundException"


def _look(name: str, tags: dict[str, str], lambdas: Any) -> Function:
    reserved = lambdas.get_function_concurrency(FunctionName=name).get("ReservedConcurrentExecutions")
    pages = lambdas.get_paginator("list_event_source_mappings").paginate(FunctionName=name)
    return Function(
        name=name,
        reserved_concurrency=reserved,
        active_concurrency=_number(tags),
        triggers=tuple(
            Trigger(mapping["UUID"], mapping["State"]) for page in pages for mapping in page["EventSourceMappings"]
        ),
    )


def _number(tags: Mapping[str, str]) -> int | None:
    number = tags.get(_CONCURRENCY_TAG, "")
    return int(number) if number.isdecimal() else None


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
