"""Workload functions are closed each by itself, and opened only where all of them are there."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from pilotlight.aws import clients, workload
from pilotlight.decide.workload import to_standby
from pilotlight.errors import FatalError, PreconditionFailed, TransientError
from tests.unit.core.conftest import Context, load
from tests.unit.core.samples import DR, plan

if TYPE_CHECKING:
    from pilotlight.model import Function

SILENCE = ReadTimeoutError(endpoint_url="lambda")


def refused(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "why"}}, "GetFunctionConcurrency")


class Functions:
    """A region's functions, all of them on; what is not named here does not exist."""

    meta = SimpleNamespace(region_name=DR)

    def __init__(self, *names: str, **errors: Exception) -> None:
        self.names = names
        self.errors = errors
        self.asked: list[str] = []
        self.off: list[str] = []
        self.tagged: Any = ["tagged"]
        self.reserved: dict[str, int] = {}

    def _known(self, name: str) -> None:
        if name not in (*self.names, *self.errors):
            raise refused("ResourceNotFoundException")

    def list_tags(self, Resource: str) -> Any:  # noqa: N803 - AWS's own word
        owner, _, name = Resource.partition(":function:")
        assert owner == f"arn:aws:lambda:{DR}:123456789012"
        self._known(name)
        return {"Tags": {"pilotlight:reserved-concurrency": "7"}}

    def get_function_concurrency(self, FunctionName: str) -> Any:  # noqa: N803
        self.asked.append(FunctionName)
        self._known(FunctionName)
        if FunctionName in self.errors:
            raise self.errors[FunctionName]
        return {"ReservedConcurrentExecutions": self.reserved[FunctionName]} if FunctionName in self.reserved else {}

    def put_function_concurrency(self, FunctionName: str, **_: Any) -> None:  # noqa: N803
        if FunctionName.startswith("stubborn"):
            raise refused("AccessDeniedException")
        self.off.append(FunctionName)

    def get_paginator(self, operation: str) -> Any:
        if operation == "get_resources" and isinstance(self.tagged, Exception):
            raise self.tagged
        pages: dict[str, Any] = {
            "list_event_source_mappings": {"EventSourceMappings": []},
            "get_resources": {
                "ResourceTagMappingList": [{"ResourceARN": f"arn:x:function:{n}", "Tags": []} for n in self.tagged]
            }
            if not isinstance(self.tagged, Exception)
            else {},
        }
        return SimpleNamespace(paginate=lambda **_: [pages[operation]])


OWN = "arn:aws:lambda:eu-north-1:123456789012:function:dev-dr-workload"


def names(found: tuple[Function, ...]) -> list[str]:
    return [function.name for function in found]


def test_what_does_not_exist_needs_no_closing_and_hides_nobody() -> None:
    there = Functions("tagged", "z")
    seen = workload.standing("dev", ("gone", "z"), there, there)
    assert names(seen.found) == ["tagged", "z"]
    assert seen.missing == ("gone",)
    assert seen.failed == {}


def test_one_that_cannot_be_looked_at_hides_nobody() -> None:
    there = Functions("tagged", "z", m=refused("AccessDeniedException"))
    seen = workload.standing("dev", ("m", "z"), there, there)
    assert names(seen.found) == ["tagged", "z"]
    assert isinstance(seen.failed["m"], FatalError)


def test_those_that_are_named_are_found_without_the_tags() -> None:
    there = Functions("z")
    there.tagged = SILENCE
    seen = workload.standing("dev", ("z",), there, there)
    assert names(seen.found) == ["z"]
    assert [type(reason) for reason in seen.failed.values()] == [TransientError]


def test_a_region_that_does_not_answer_is_not_asked_for_one_after_the_other() -> None:
    there = Functions("a", "y", "z", m=SILENCE)
    seen = workload.standing_of(("a", "m", "y", "z"), there)
    assert there.asked == ["a", "m"]
    # And what was found before is closed.
    assert names(seen.found) == ["a"]
    assert list(seen.failed) == ["m", "y", "z"]


def test_one_that_cannot_be_closed_keeps_no_other_one_open() -> None:
    there = Functions("a", "stubborn", "z")
    failed = workload.apply_each(map(to_standby, workload.standing_of(("a", "stubborn", "z"), there).found), there)
    assert there.off == ["a", "z"]
    with pytest.raises(FatalError, match=r"function stubborn: .*AccessDenied"):
        workload.require_all(failed)
    workload.require_all({})


def test_who_opens_is_told_by_name_what_is_not_there() -> None:
    there = Functions("tagged")
    told = rf"function gone does not exist in {DR}.*WorkloadFunctions"
    with pytest.raises(PreconditionFailed, match=told):
        workload.functions("dev", ("gone",), there, there)
    with pytest.raises(PreconditionFailed, match=told):
        workload.look(("tagged", "gone"), OWN, there)
    # Deleted a moment ago, and its tag not yet.
    there.tagged = ["tagged", "gone"]
    assert names(workload.functions("dev", (), there, there)) == ["tagged"]
    both = workload.names("dev", (), there)
    assert both == ("gone", "tagged")
    assert names(workload.look(both, OWN, there, named=())) == ["tagged"]
    with pytest.raises(PreconditionFailed, match=told):
        workload.look(both, OWN, there, named=("gone",))
    broken = Functions("tagged", gone=refused("AccessDeniedException"))
    with pytest.raises(ClientError, match="AccessDenied"):
        workload.functions("dev", ("gone",), broken, broken)


def test_who_opens_asks_for_tags_and_for_nothing_else_of_a_function() -> None:
    """Of its code and its environment, where a team may keep what is secret, it learns nothing."""
    there = Functions("off", "on")
    there.reserved = {"off": 0}
    seen = workload.look(("off", "on"), OWN, there)
    assert [(each.name, each.reserved_concurrency, each.active_concurrency) for each in seen] == [
        ("off", 0, 7),
        ("on", None, None),
    ]


# --- Everybody who closes


def test_a_fence_closes_the_others(aws: Any, state_table: str, monkeypatch: pytest.MonkeyPatch) -> None:
    there, module = Functions("a", "z"), load("fence")
    monkeypatch.setattr(clients, "far", lambda *_: there)
    assert module._functions(("a", "gone", "z"), "eu-west-1") == "2 off (gone not there)"
    assert there.off == ["a", "z"]


def test_a_planned_switch_closes_all_that_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    there, module = Functions("a", "stubborn", "z"), load("source")
    monkeypatch.setattr(clients, "at", lambda *_: there)
    monkeypatch.setattr(module, "_note", lambda _: None)
    call: Any = SimpleNamespace(
        payload={"source": "eu-west-1"},
        plan=plan(functions=("a", "gone", "stubborn", "z")),
        environment=None,
        context=Context(),
    )
    # It goes no further, and says why: what is not closed writes on.
    with pytest.raises(FatalError, match="function stubborn"):
        module.close(call)
    assert there.off == ["a", "z"]


def test_the_sentinel_closes_the_others_and_says_which_it_could_not(aws: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    there, module = Functions("tagged", "z", m=refused("AccessDeniedException")), load("sentinel")
    aws("ssm").put_parameter(
        Name="/dev/pilotlight/config/workload-functions", Value="gone,m,z", Type="String", Overwrite=True
    )
    near = clients.near
    monkeypatch.setattr(
        clients, "near", lambda name: there if name in ("lambda", "resourcegroupstaggingapi") else near(name)
    )
    monkeypatch.setattr(module, "_still", lambda _: True)
    call: Any = SimpleNamespace(environment=SimpleNamespace(prefix="/dev/pilotlight", name="dev"))
    done = module._functions(call)
    assert there.off == ["tagged", "z"]
    assert done.did == "tagged, z off"
    assert done.reason.startswith("m: ")


def test_of_many_functions_that_fail_as_many_are_named_as_a_state_machine_carries() -> None:
    failed = {f"f{number}": TransientError("x" * 500) for number in range(900)}
    with pytest.raises(TransientError, match="and 850 more functions") as raised:
        workload.require_all(failed)
    assert len(str(raised.value)) < 32_768
