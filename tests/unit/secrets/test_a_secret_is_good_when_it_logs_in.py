"""A copy is good when it is there, is what the source is, is under a key of its region, and opens the database."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ConnectTimeoutError

from pilotlight.aws import notes, secret
from pilotlight.decide import secrets as decide
from pilotlight.errors import TransientError
from pilotlight.model import Database, Login, SecretFacts
from tests.unit.core.conftest import DR, PRIMARY, Context, load

if TYPE_CHECKING:
    from types import ModuleType

COPY = SecretFacts("v2", home=PRIMARY)
SOURCE = SecretFacts("v2", key=f"arn:aws:kms:{PRIMARY}:123456789012:key/1", copies={DR: "InSync"})
IN = Login("v2", logged_in=True)
OF_DR = f"arn:aws:kms:{DR}:123456789012:key/2"


@pytest.mark.parametrize(
    ("here", "source", "login"),
    [
        (COPY, SOURCE, IN),
        (COPY, None, IN),
        (SecretFacts("v2", key=OF_DR, home=PRIMARY), SOURCE, IN),
        (SecretFacts("v2", key="alias/dev-pilotlight", home=PRIMARY), SOURCE, IN),
    ],
    ids=["copied", "the source does not answer", "under a key of DR's", "under an alias"],
)
def test_it_is_good(here: SecretFacts, source: SecretFacts | None, login: Login) -> None:
    assert decide.problem("dev/database", here, source, login, DR) == ""


@pytest.mark.parametrize(
    ("here", "source", "login", "said"),
    [
        (None, SOURCE, IN, "is not in eu-central-1"),
        (SecretFacts("v2", key=SOURCE.key), SOURCE, IN, "which is not of eu-central-1"),
        (SecretFacts("v1"), SOURCE, Login("v1", logged_in=True), "version v1 in eu-central-1 and v2 at home (InSync)"),
        (COPY, SecretFacts("v3"), IN, "(no copy is made)"),
        (COPY, SOURCE, Login("v2", detail="refused"), "does not log in: refused"),
        (COPY, SOURCE, Login(), "does not log in: no reason given"),
        (COPY, SOURCE, Login("v1", logged_in=True), "was read as version v1"),
    ],
)
def test_it_is_not(here: SecretFacts | None, source: SecretFacts, login: Login, said: str) -> None:
    assert said in decide.problem("dev/database", here, source, login, DR)


@pytest.fixture
def app(aws: Any, state_table: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    for name in ("dev/database", "dev/application"):
        source = aws("secretsmanager", PRIMARY).create_secret(
            Name=name, SecretString=json.dumps({"username": "u", "password": "hidden"}), ClientRequestToken="v" * 32
        )
        assert source["VersionId"] == "v" * 32
        aws("secretsmanager").create_secret(
            Name=name, SecretString=json.dumps({"username": "u", "password": "hidden"}), ClientRequestToken="v" * 32
        )
    real = secret.facts

    def facts(name: str, client: Any) -> SecretFacts:
        found = real(name, client)
        return SecretFacts(found.version, home=PRIMARY) if client.meta.region_name == DR else found

    monkeypatch.setattr(secret, "facts", facts)
    module = load("secrets")
    monkeypatch.setattr(module.database, "describe", lambda *_: Database("dev-db", "available", host="db", port=3306))
    answer = {
        "logins": {name: {"version": "v" * 32, "logged_in": True, "detail": ""} for name in
                   ("dev/database", "dev/application")}
    }  # fmt: skip
    monkeypatch.setattr(module.functions, "ask", lambda *_: answer)
    return module


def metric(aws: Any) -> bool:
    return "SecretsGood" in {one["MetricName"] for one in aws("cloudwatch").list_metrics()["Metrics"]}


def test_the_answer_is_noted_and_counted_and_has_no_value(app: ModuleType, aws: Any, caplog: Any) -> None:
    told = app.handler({"action": "watch"}, Context())
    assert told["good"], told
    assert "the same versions as at home" in told["told"]
    assert notes.read("dev-dr-state", "secrets") == told
    assert metric(aws)
    assert "hidden" not in json.dumps(told) + caplog.text


def test_a_source_that_does_not_answer_makes_no_copy_bad(app: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    known = secret.facts

    def facts(name: str, client: Any) -> SecretFacts:
        if client.meta.region_name == PRIMARY:
            raise ConnectTimeoutError(endpoint_url="https://secretsmanager")
        return known(name, client)

    monkeypatch.setattr(secret, "facts", facts)
    told = app.handler({"action": "watch"}, Context())
    assert (told["good"], told["told"]) == (
        True,
        f"each logs in to {DR}'s database; not compared, since {PRIMARY} does not answer",
    )


def test_a_copy_that_is_behind_or_missing_is_told(app: ModuleType, aws: Any) -> None:
    aws("secretsmanager", PRIMARY).put_secret_value(
        SecretId="dev/application", SecretString="{}", ClientRequestToken="w" * 32
    )
    aws("secretsmanager").delete_secret(SecretId="dev/database", ForceDeleteWithoutRecovery=True)
    told = app.handler({"action": "watch"}, Context())
    assert not told["good"]
    assert "dev/database is not in eu-central-1" in told["told"]
    assert f"dev/application is version {'v' * 32} in eu-central-1 and {'w' * 32} at home" in told["told"]


def test_a_function_that_cannot_look_is_no_good_look(app: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    def ask(*_: Any) -> Any:
        raise TransientError("dev-sql: the database does not answer")

    monkeypatch.setattr(app.functions, "ask", ask)
    told = app.handler({"action": "watch"}, Context())
    assert "dev/database does not log in: dev-sql: the database does not answer" in told["told"]


def test_a_version_that_is_not_there_yet_is_waited_for(aws: Any) -> None:
    aws("secretsmanager").create_secret(Name="dev/application", SecretString='{"username": "u", "password": "p"}')
    known = secret.credentials("dev/application", client=aws("secretsmanager"))
    assert secret.credentials("dev/application", known.version, aws("secretsmanager")) == known
    with pytest.raises(TransientError, match="is not in this region yet"):
        secret.credentials("dev/application", "w" * 32, aws("secretsmanager"))
