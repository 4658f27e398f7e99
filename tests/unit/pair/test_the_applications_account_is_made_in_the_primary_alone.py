from __future__ import annotations

import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from functions.pair import app

from .conftest import DR, PRIMARY, environment, settings

if TYPE_CHECKING:
    from .conftest import Regions

EVENT = json.loads((Path(__file__).parents[3] / "events" / "pair-accounts.json").read_text())
WANTED = EVENT["ResourceProperties"]


class Sql:
    """The SQL function, as Lambda's client shows it."""

    # Named as boto3 names them.
    # ruff: noqa: N803

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.patience: list[Any] = []
        self.error = ""

    def invoke(self, FunctionName: str, Payload: bytes) -> Any:
        self.asked.append((FunctionName, json.loads(Payload)))
        if self.error:
            said = {"errorType": "FatalError", "errorMessage": self.error}
            return {"FunctionError": "Unhandled", "Payload": io.BytesIO(json.dumps(said).encode())}
        return {"Payload": io.BytesIO(b'{"prepared": true, "server": "mysql"}')}


@pytest.fixture
def sql(regions: Regions, monkeypatch: pytest.MonkeyPatch) -> Sql:
    made = Sql()
    reach = app._client

    def client(service: str, region: str, *patience: Any) -> Any:
        if service == "lambda":
            made.patience.append(*patience)
            return made
        return reach(service, region, *patience)

    monkeypatch.setattr(app, "_client", client)
    return made


def active(region: str) -> None:
    boto3.client("ssm", region_name=PRIMARY.region).put_parameter(
        Name=WANTED["ActiveRegionParameter"], Value=region, Type="String", Overwrite=True
    )


def work(event: Any, region: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    for name, value in environment(region).items():
        monkeypatch.setenv(name, value)
    return app._work(event)


@pytest.mark.parametrize("kind", ["Create", "Update"])
def test_by_the_sql_function_of_that_region(sql: Sql, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    active(PRIMARY.region)
    done = work({**EVENT, "RequestType": kind}, PRIMARY.region, monkeypatch)
    assert done == {"Accounts": "prepared in mysql"}
    # CloudFormation makes text of every property.
    assert sql.asked == [("dev-sql", {"action": "prepare", "database": {"host": WANTED["Host"], "port": 3306}})]


def test_a_deletion_takes_no_account_away(sql: Sql, monkeypatch: pytest.MonkeyPatch) -> None:
    active(PRIMARY.region)
    assert work({**EVENT, "RequestType": "Delete"}, PRIMARY.region, monkeypatch) == {}
    assert sql.asked == []


@pytest.mark.parametrize("kind", ["Create", "Update", "Delete"])
def test_never_in_dr(sql: Sql, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert work({**EVENT, "RequestType": kind}, DR.region, monkeypatch) == {}
    assert sql.asked == []


def test_never_in_a_database_that_was_left(sql: Sql) -> None:
    active(DR.region)
    assert app.prepare_accounts(settings(PRIMARY.region), WANTED) == {
        "Accounts": f"left as they are: {DR.region} is active"
    }
    assert sql.asked == []


def test_a_failure_is_told_in_the_sql_functions_own_words(sql: Sql) -> None:
    active(PRIMARY.region)
    sql.error = "schema app is not there"
    with pytest.raises(app.AccountsNotPreparedError, match="dev-sql: schema app is not there"):
        app.prepare_accounts(settings(PRIMARY.region), WANTED)


def test_it_is_waited_for_as_long_as_it_may_take_and_asked_once(sql: Sql) -> None:
    """Its own 30 seconds and a cold start; and there is time left to answer CloudFormation."""
    active(PRIMARY.region)
    app.prepare_accounts(settings(PRIMARY.region), WANTED)
    (patience,) = sql.patience
    assert 30 < patience.read_timeout < 60 - app._ANSWER_SECONDS
    assert patience.retries["total_max_attempts"] == 1
