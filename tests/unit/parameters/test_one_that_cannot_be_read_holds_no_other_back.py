"""A secret that nobody can decrypt, and a path that may not be listed: told by name, and everything else crosses."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from pilotlight.aws import parameter_store
from pilotlight.decide.parameters import roots
from pilotlight.errors import PreconditionFailed
from pilotlight.model import Crossing
from tests.unit.core.conftest import DR, PRIMARY

if TYPE_CHECKING:
    from tests.unit.parameters.regions import Regions


@dataclass
class Locks:
    """What Parameter Store refuses, by region: to decrypt some names or versions of them, and to list some paths."""

    names: set[tuple[str, str]] = field(default_factory=set)
    paths: set[tuple[str, str]] = field(default_factory=set)
    versions: set[tuple[str, str, int]] = field(default_factory=set)
    code: str = "AccessDeniedException"


def refusal(code: str, operation: str, status: int = 400) -> ClientError:
    return ClientError(
        {"Error": {"Code": code, "Message": "no"}, "ResponseMetadata": {"HTTPStatusCode": status}},  # type: ignore[typeddict-item]
        operation,
    )


@pytest.fixture
def locks(two: Regions, monkeypatch: pytest.MonkeyPatch) -> Locks:
    """As AWS does it: one that cannot be decrypted refuses the whole call, whatever else was asked for."""
    locks = Locks()
    for region in (PRIMARY, DR):
        client = two.ssm(region)
        real = client._make_api_call

        def call(operation: str, asked: Any, region: str = region, real: Any = real) -> Any:
            if operation == "GetParametersByPath" and (region, asked["Path"]) in locks.paths:
                raise refusal("AccessDeniedException", operation)
            answer = real(operation, asked)
            found = answer.get("Parameters", []) if asked.get("WithDecryption") else []
            # One parameter alone is answered without a list.
            found += [answer["Parameter"]] if asked.get("WithDecryption") and "Parameter" in answer else []
            if any(
                (region, one["Name"]) in locks.names or (region, one["Name"], one["Version"]) in locks.versions
                for one in found
            ):
                raise refusal(locks.code, operation)
            return answer

        monkeypatch.setattr(client, "_make_api_call", call)
    return locks


def fill(two: Regions, count: int, **more: Any) -> list[str]:
    names = [f"/dev/app/{number:03}" for number in range(count)]
    for name in names:
        two.put(name, "v1", **more)
    return names


@pytest.mark.parametrize("code", ["AccessDeniedException", "InvalidKeyId", "KMSInvalidStateException"])
@pytest.mark.parametrize("labels", [True, False])
def test_the_other_secrets_and_everything_after_it_cross(two: Regions, locks: Locks, code: str, labels: bool) -> None:
    names = fill(two, 25, Type="SecureString")
    two.put("/dev/app/plain", "v1")
    locks.code, locks.names = code, {(PRIMARY, "/dev/app/003")}
    answer = two.reconcile(labels=labels)
    assert (answer["compared"], answer["created"], answer["failed"]) == (26, 25, 1)
    (failure,) = answer["failures"]
    assert failure["name"] == "/dev/app/003"
    assert f"could not be decrypted in {PRIMARY} ({code}: no)" in failure["reason"]
    assert "alias alias/dev-…" in failure["reason"]
    crossed = [name for name in names if two.value(name) == "v1"]
    assert crossed == [name for name in names if name != "/dev/app/003"]
    # Nobody waits for it: then it is told by an error, and the others have crossed all the same.
    with pytest.raises(PreconditionFailed, match=r"1 of 26 parameters were not carried.*/dev/app/003: it could not be"):
        two.invoke({"action": "reconcile"})


def test_a_copy_is_never_deleted_because_its_source_could_not_be_read(two: Regions, locks: Locks) -> None:
    fill(two, 3, Type="SecureString")
    two.reconcile()
    locks.names = {(PRIMARY, "/dev/app/001")}
    for labels in (True, False):
        answer = two.reconcile(labels=labels)
        assert (answer["deleted"], answer["failed"]) == (0, 1)
    assert two.value("/dev/app/001") == "v1"


def test_a_copy_that_cannot_be_read_is_told_and_not_written_over(two: Regions, locks: Locks) -> None:
    fill(two, 3, Type="SecureString")
    two.reconcile()
    two.put("/dev/app/000", "v2", Type="SecureString")
    locks.names = {(DR, "/dev/app/001")}
    answer = two.reconcile()
    assert (answer["updated"], answer["failed"]) == (1, 1)
    assert f"could not be decrypted in {DR}" in answer["failures"][0]["reason"]


def test_one_that_never_crosses_is_not_decrypted_and_not_told(two: Regions, locks: Locks) -> None:
    two.configure(sync_exclude="/dev/local")
    fill(two, 2)
    two.put("/dev/local/x", "v", Type="SecureString")
    locks.names = {(PRIMARY, "/dev/local/x")}
    answer = two.reconcile()
    assert (answer["created"], answer["failed"], answer["failures"]) == (2, 0, [])
    assert two.calls[(PRIMARY, "GetParameters")] == 0
    # It stays in its region, with the two records and settings of the orchestrator's.
    assert answer["left"] == two.reconcile()["left"] == 3


def test_one_that_changes_while_it_is_listed_and_is_refused_then_is_told(
    two: Regions, locks: Locks, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(two, 2, Type="SecureString")
    two.reconcile()
    described = parameter_store._described

    def then_a_change(path: str, client: Any) -> Any:
        if client.meta.region_name == PRIMARY:
            two.put("/dev/app/000", "v2", Type="SecureString")
            locks.names = {(PRIMARY, "/dev/app/000")}
        return described(path, client)

    monkeypatch.setattr(parameter_store, "_described", then_a_change)
    answer = two.reconcile(labels=False)
    assert [one["name"] for one in answer["failures"]] == ["/dev/app/000"]


def test_throttling_is_no_refusal(two: Regions, locks: Locks) -> None:
    """Or a busy minute would be told as a broken key, secret by secret."""
    fill(two, 2, Type="SecureString")
    locks.code, locks.names = "ThrottlingException", {(PRIMARY, "/dev/app/001")}
    with pytest.raises(Exception, match="ThrottlingException"):
        two.reconcile()
    assert two.calls[(PRIMARY, "GetParameters")] == 0


def test_one_that_can_be_read_costs_no_call_more(two: Regions, locks: Locks) -> None:
    fill(two, 25, Type="SecureString")
    two.reconcile(labels=False)
    two.calls.clear()
    two.reconcile(labels=False)
    good = two.calls[(PRIMARY, "GetParametersByPath")]
    assert two.calls[(PRIMARY, "GetParameters")] == 0
    locks.names = {(PRIMARY, "/dev/app/011")}
    two.calls.clear()
    two.reconcile(labels=False)
    # The path once more, the secrets that no page gave ten a call, and those of one refused call by their names.
    assert two.calls[(PRIMARY, "GetParametersByPath")] <= 2 * good
    assert two.calls[(PRIMARY, "GetParameters")] <= 3 + 10


# --- Older versions


@pytest.fixture
def moved(two: Regions, locks: Locks) -> str:
    """One that is under a new key, while older versions of it are under one that is gone."""
    name = "/dev/app/x"
    for value in ("v1", "v2"):
        two.put(name, value, Type="SecureString")
    two.reconcile()
    two.put(name, "v3", Type="SecureString")
    locks.versions = {(PRIMARY, name, 1), (PRIMARY, name, 2)}
    return name


@pytest.mark.parametrize("way", ["event", "reconciliation"])
def test_the_present_value_crosses_though_older_ones_cannot_be_read(two: Regions, moved: str, way: str) -> None:
    if way == "event":
        assert two.send(moved)["batchItemFailures"] == []
    else:
        assert two.reconcile(labels=True)["failures"] == []
    assert two.value(moved) == "v3"
    two.calls.clear()
    answer = two.reconcile(labels=True)
    assert (answer["failed"], two.calls[(DR, "PutParameter")]) == (0, 0)


def test_a_label_of_one_that_cannot_be_read_is_told_and_the_value_crosses(two: Regions, moved: str) -> None:
    for number, label in ((1, "old"), (3, "new")):
        two.ssm().label_parameter_version(Name=moved, ParameterVersion=number, Labels=[label])
    answer = two.reconcile(labels=True)
    assert answer["failed"] == 1
    assert "old stands for an older version" in answer["failures"][0]["reason"]
    assert two.value(moved) == "v3"
    assert [one["itemIdentifier"] for one in two.send(moved)["batchItemFailures"]] == ["message-0"]


def test_a_label_moves_off_a_copys_version_that_cannot_be_read(two: Regions, locks: Locks) -> None:
    name = "/dev/app/x"
    two.put(name, "v1", Type="SecureString")
    two.ssm().label_parameter_version(Name=name, ParameterVersion=1, Labels=["stable"])
    two.reconcile()
    two.put(name, "v2", Type="SecureString")
    two.reconcile()
    two.ssm().label_parameter_version(Name=name, ParameterVersion=2, Labels=["stable"])
    locks.versions = {(DR, name, 1)}
    assert two.reconcile(labels=True)["failures"] == []
    locks.versions = set()
    assert two.get(name)["Labels"] == {"stable": "v2"}


# --- A path that may not be listed


def test_a_path_that_may_not_be_listed_is_told_and_all_others_cross(two: Regions, locks: Locks) -> None:
    two.configure(sync_paths="/more")
    two.put("/more/x", "v")
    fill(two, 2)
    locks.paths = {(PRIMARY, "/more"), (DR, "/more")}
    answer = two.reconcile()
    assert (answer["created"], answer["failed"]) == (2, 1)
    (failure,) = answer["failures"]
    assert failure["name"] == "/more"
    assert "deploy both regions with this one in SyncPaths" in failure["reason"]


@pytest.mark.parametrize("side", [PRIMARY, DR])
def test_nothing_under_it_is_changed_or_deleted(two: Regions, locks: Locks, side: str) -> None:
    two.configure(sync_paths="/more")
    two.put("/more/x", "v")
    two.reconcile()
    two.put("/more/x", "v2")
    locks.paths = {(side, "/more")}
    two.calls.clear()
    for labels in (True, False):
        answer = two.reconcile(labels=labels)
        assert (answer["failed"], answer["deleted"], answer["created"], answer["updated"]) == (1, 0, 0, 0)
    assert two.value("/more/x") == "v"
    assert two.calls[(DR, "PutParameter")] == 0


def test_a_path_inside_one_that_may_not_be_listed_is_listed(two: Regions, locks: Locks) -> None:
    two.configure(sync_paths="/")
    fill(two, 2)
    locks.paths = {(PRIMARY, "/"), (DR, "/")}
    answer = two.reconcile()
    assert (answer["created"], [one["name"] for one in answer["failures"]]) == (2, ["/"])


@pytest.mark.parametrize(
    ("paths", "wanted"),
    [
        (("/dev",), ("/dev",)),
        (("/dev", "/dev/app", "/devil/", "/team"), ("/dev", "/devil", "/team")),
        (("/dev", "/"), ("/",)),
    ],
)
def test_nothing_is_listed_twice(two: Regions, paths: tuple[str, ...], wanted: tuple[str, ...]) -> None:
    from pilotlight.aws import clients

    tagging = clients.steady("resourcegroupstaggingapi", PRIMARY)
    assert parameter_store.listed(roots(Crossing("dev", paths)), two.ssm(), tagging).paths == wanted
