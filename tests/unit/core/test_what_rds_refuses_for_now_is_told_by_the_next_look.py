"""Requests that change a database: RDS may be busy with the one before, and a step that runs twice asks twice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from pilotlight.aws import snapshots, standby

if TYPE_CHECKING:
    from collections.abc import Callable

SOURCE = "arn:aws:rds:eu-west-1:123456789012:db:dev-db"
ASKED: dict[str, Callable[[Any], None]] = {
    "take_snapshot": lambda rds: standby.take_snapshot("dev-db-final", "dev-db", {}, rds),
    "rename": lambda rds: standby.rename("dev-db", "dev-db-retired-3", rds),
    "keep_backups": lambda rds: standby.keep_backups("dev-db", 7, ("", ""), rds),
    "create_replica": lambda rds: standby.create_replica("dev-db", SOURCE, {}, "sg-open", rds),
    "copy": lambda rds: snapshots.copy("dev-db-switch-3", SOURCE, "alias/dev-pilotlight", rds),
    "restore": lambda rds: snapshots.restore("dev-db", "dev-db-switch-3", {}, "sg-closed", rds),
    "settle": lambda rds: snapshots.settle("dev-db", {}, rds),
}


class Rds:
    """Refuses everything."""

    def __init__(self, code: str) -> None:
        self.code = code

    def __getattr__(self, operation: str) -> Any:
        def refuse(**_: Any) -> None:
            raise ClientError({"Error": {"Code": self.code, "Message": "no"}}, operation)

        return refuse


@pytest.mark.parametrize("what", ASKED)
@pytest.mark.parametrize(
    "code",
    ["InvalidDBInstanceState", "InvalidDBInstanceStateFault", "DBInstanceAlreadyExists", "DBSnapshotAlreadyExists"],
)
def test_the_state_that_things_are_in_fails_no_step(what: str, code: str) -> None:
    ASKED[what](Rds(code))


@pytest.mark.parametrize("what", ASKED)
def test_any_other_refusal_does(what: str) -> None:
    with pytest.raises(ClientError, match="AccessDenied"):
        ASKED[what](Rds("AccessDenied"))
