"""The application's account: what it is granted, and that its password is in no error, however it is looked at."""

from __future__ import annotations

import traceback
from typing import Any

import pymysql
import pytest

from pilotlight import sql
from pilotlight.aws.secret import Credentials
from pilotlight.errors import FatalError, PilotLightError, PreconditionFailed, TransientError
from tests.unit.core.servers import server

APPLICATION = Credentials("application", "a-secret-word")
ITS_OWN = [
    {"Grants for application@%": "GRANT USAGE ON *.* TO `application`@`%` REQUIRE SSL"},
    {"Grants for application@%": "GRANT SELECT, INSERT ON `my\\_app`.* TO `application`@`%`"},
]
MORE = {"Grants for application@%": "GRANT CONNECTION_ADMIN ON *.* TO `application`@`%`"}


def prepare(seen: sql.Server) -> None:
    sql.prepare(seen, "pilotlight", APPLICATION, "my_app")


@pytest.mark.parametrize("kind", ["mysql", "mariadb"])
def test_an_account_has_rights_on_its_schema_only_and_needs_tls(kind: str) -> None:
    seen, fake = server(kind, grants=ITS_OWN)
    prepare(seen)
    told = list(zip(fake.told, fake.given, strict=True))
    accounts = [(statement, given) for statement, given in told if "USER" in statement.split()[:2]]
    assert [given for _, given in accounts] == [("application", "a-secret-word")] * 2
    assert all(statement.endswith("REQUIRE SSL") for statement, _ in accounts)
    grants = [statement for statement in fake.told if statement.startswith("GRANT")]
    assert len(grants) == 1
    assert grants[0].endswith(" ON `my\\_app`.* TO %s@'%%'")
    assert "ALL" not in grants[0]
    assert not any(statement.startswith("REVOKE") for statement in fake.told)
    assert "a-secret-word" not in "".join(fake.told)


@pytest.mark.parametrize(
    "grant",
    [
        "GRANT CONNECTION_ADMIN ON *.* TO `application`@`%`",
        "GRANT SELECT ON `other`.* TO `application`@`%`",
        "GRANT SELECT ON `my\\_app`.* TO `application`@`%` WITH GRANT OPTION",
    ],
)
def test_what_an_account_has_beyond_its_schema_is_taken_away(grant: str) -> None:
    seen, fake = server(grants=[[*ITS_OWN, {"": grant}], ITS_OWN])
    prepare(seen)
    revoked = next(index for index, statement in enumerate(fake.told) if statement.startswith("REVOKE"))
    granted = next(index for index, statement in enumerate(fake.told) if statement.startswith("GRANT"))
    assert revoked < granted


def test_what_cannot_be_taken_away_is_told() -> None:
    role = {"": "GRANT `rds_superuser_role`@`%` TO `application`@`%`"}
    with pytest.raises(PreconditionFailed, match="rds_superuser_role"):
        prepare(server(grants=[*ITS_OWN, role])[0])


@pytest.mark.parametrize(
    ("error", "family"),
    [
        (pymysql.err.ProgrammingError(1064, "syntax error near 'a-secret-word'"), FatalError),
        (pymysql.err.OperationalError(1819, "a-secret-word does not satisfy the policy"), PreconditionFailed),
        (pymysql.err.OperationalError(1227, "a-secret-word"), PreconditionFailed),
        (pymysql.err.OperationalError(2013, "Lost connection during 'a-secret-word'"), TransientError),
    ],
)
@pytest.mark.parametrize("statement", ["create_user", "alter_user"])
def test_a_password_is_in_no_error(error: Exception, family: type[PilotLightError], statement: str) -> None:
    answers: dict[str, Any] = {statement: error}
    with pytest.raises(family) as raised:
        prepare(server(**answers)[0])
    assert str(error.args[0]) in str(raised.value)
    assert "a-secret-word" not in "".join(traceback.format_exception(raised.value))
    everything: list[Any] = [raised.value]
    while everything:
        one = everything.pop()
        assert "a-secret-word" not in repr(one)
        everything += [other for other in (one.__cause__, one.__context__) if other is not None]
    assert "a-secret-word" not in repr(APPLICATION)
