from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from lab.sample_app.server import Application
from lab.sample_app.settings import MissingSettingError, Settings
from lab.sample_app.store import Aws, ConflictError, Orders, UnavailableError

if TYPE_CHECKING:
    from pathlib import Path

ENVIRONMENT = {
    "AWS_REGION": "eu-west-1",
    "APP_PORT": "8080",
    "DATABASE_SECRET_ID": "dev/application",
    "DATABASE_ENDPOINT_PARAMETER": "/dev/pilotlight/database-endpoint",
    "DATABASE_PORT_PARAMETER": "/dev/pilotlight/database-port",
    "DATABASE_NAME": "app",
    "BUCKET": "dev-app",
}
SETTINGS = Settings.from_env(ENVIRONMENT)


class Memory(Orders):
    """Orders kept in memory; out of reach when told so."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, str]] = {}
        self.tokens: dict[str, dict[str, str]] = {}
        self.fault: str | None = None

    def check(self) -> None:
        if self.fault:
            raise UnavailableError(self.fault)

    def place(self, order_id: str, note: str) -> dict[str, str]:
        self.check()
        if self.rows.setdefault(order_id, {"id": order_id, "note": note})["note"] != note:
            raise ConflictError("other note")
        return {"id": order_id, "region": "eu-west-1", "object": "written"}

    def find(self, order_id: str) -> dict[str, str] | None:
        self.check()
        return self.rows.get(order_id)

    def sign(self, token: str) -> dict[str, str]:
        self.check()
        self.tokens[token] = {"token": token, "region": "eu-west-1", "written_at": "2026-01-01T00:00:00"}
        return {"token": token, "region": "eu-west-1"}

    def signed(self, token: str) -> dict[str, str] | None:
        self.check()
        return self.tokens.get(token)


@pytest.fixture
def orders() -> Memory:
    return Memory()


@pytest.fixture
def application(orders: Memory) -> Application:
    return Application(SETTINGS, orders)


def post(application: Application, path: str, body: Any) -> tuple[int, dict[str, Any]]:
    return application.answer("POST", path, json.dumps(body).encode())


def test_an_order_is_placed_and_found(application: Application) -> None:
    assert post(application, "/orders", {"id": "a-1", "note": "tea"})[0] == 201
    assert application.answer("GET", "/orders/a-1", b"") == (200, {"id": "a-1", "note": "tea"})
    assert application.answer("GET", "/orders/a-2", b"")[0] == 404


def test_a_verification_token_is_written_and_read(application: Application) -> None:
    assert application.answer("GET", "/pilotlight/verify?token=t", b"")[0] == 404
    assert post(application, "/pilotlight/verify", {"token": "t"}) == (201, {"token": "t", "region": "eu-west-1"})
    status, found = application.answer("GET", "/pilotlight/verify?token=t", b"")
    assert status == 200
    assert set(found) == {"token", "region", "written_at"}


@pytest.mark.parametrize("path", ["/orders/a", "/health/deep", "/pilotlight/verify?token=t"])
def test_a_database_out_of_reach_is_a_503_with_the_reason(application: Application, orders: Memory, path: str) -> None:
    orders.fault = "the database does not answer"
    assert application.answer("GET", path, b"") == (503, {"error": "the database does not answer"})


def test_a_database_out_of_reach_leaves_the_shallow_health_check_well(application: Application, orders: Memory) -> None:
    orders.fault = "the database does not answer"
    assert application.answer("GET", "/health", b"")[0] == 200


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/orders", b"no json"),
        ("/orders", b"[]"),
        ("/orders", b'{"note": "no id"}'),
        ("/orders", b'{"id": "a/b"}'),
        ("/orders", b'{"id": 1}'),
        ("/pilotlight/verify", b"{}"),
    ],
)
def test_a_request_that_makes_no_sense_is_a_400(application: Application, path: str, body: bytes) -> None:
    assert application.answer("POST", path, body)[0] == 400


def test_the_same_id_with_another_note_is_a_conflict(application: Application) -> None:
    post(application, "/orders", {"id": "a", "note": "tea"})
    assert post(application, "/orders", {"id": "a", "note": "tea"})[0] == 201
    assert post(application, "/orders", {"id": "a", "note": "coffee"})[0] == 409


def test_without_its_parameters_it_says_where_it_looked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    application = Application(SETTINGS, Orders(SETTINGS, Aws("eu-west-1")))
    status, answer = application.answer("GET", "/health/deep", b"")
    assert status == 503
    assert "where the database is cannot be read" in answer["error"]


def test_a_missing_setting_is_named() -> None:
    with pytest.raises(MissingSettingError, match="BUCKET"):
        Settings.from_env({name: value for name, value in ENVIRONMENT.items() if name != "BUCKET"})


def test_the_deep_check_may_fail_alone(tmp_path: Path) -> None:
    mark = tmp_path / "deep-sick"
    application = Application(Settings.from_env({**ENVIRONMENT, "INSTANCE_DEEP_SICK_MARK": str(mark)}), orders=Memory())
    order = json.dumps({"id": "order-1"}).encode()
    assert application.answer("GET", "/health/deep", b"")[0] == 200
    mark.touch()
    assert application.answer("GET", "/health/deep", b"")[0] == 500
    assert application.answer("GET", "/health", b"")[0] == 200
    assert application.answer("POST", "/orders", order)[0] == 201
