from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from pilotlight.aws import database
from pilotlight.errors import PreconditionFailed, TransientError
from pilotlight.model import Doors


def group(ec2: Any, vpc: str, door: str, name: str = "") -> str:
    made = ec2.create_security_group(
        GroupName=name or door,
        Description=door,
        VpcId=vpc,
        TagSpecifications=[
            {
                "ResourceType": "security-group",
                "Tags": [
                    {"Key": "pilotlight:environment", "Value": "dev"},
                    {"Key": "pilotlight:door", "Value": door},
                ],
            }
        ],
    )
    return str(made["GroupId"])


def test_both_doors_are_found_by_their_tags(aws: Any) -> None:
    ec2 = aws("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    opened, closed = group(ec2, vpc, "open"), group(ec2, vpc, "closed")
    assert database.doors("dev", ec2) == Doors(open=opened, closed=closed)


def test_a_door_that_is_missing_or_doubled_is_named(aws: Any) -> None:
    ec2 = aws("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    group(ec2, vpc, "open")
    with pytest.raises(PreconditionFailed, match="0 security groups are tagged pilotlight:door=closed"):
        database.doors("dev", ec2)
    group(ec2, vpc, "closed")
    group(ec2, vpc, "closed", "second")
    with pytest.raises(PreconditionFailed, match="2 security groups"):
        database.doors("dev", ec2)


class Rds:
    """Remembers what it is asked to change."""

    def __init__(self, refuses: str = "") -> None:
        self.asked: list[dict[str, Any]] = []
        self._refuses = refuses

    def modify_db_instance(self, **asked: Any) -> None:
        if self._refuses:
            raise ClientError({"Error": {"Code": self._refuses, "Message": ""}}, "ModifyDBInstance")
        self.asked.append(asked)

    def modify_db_parameter_group(self, **asked: Any) -> None:
        self.asked.append(asked)


def test_a_door_is_another_group_and_no_changed_rule_and_carries_out_nothing_that_is_queued() -> None:
    rds = Rds()
    database.set_door("dev-db", "sg-closed", rds)
    assert rds.asked == [{"DBInstanceIdentifier": "dev-db", "VpcSecurityGroupIds": ["sg-closed"]}]


def test_an_instance_that_is_busy_is_tried_again() -> None:
    with pytest.raises(TransientError, match="dev-db"):
        database.set_door("dev-db", "sg-closed", Rds("InvalidDBInstanceState"))
    with pytest.raises(ClientError):
        database.set_door("dev-db", "sg-closed", Rds("AccessDenied"))


@pytest.mark.parametrize(("frozen", "value"), [(True, "1"), (False, "{TrueIfReplica}")])
def test_a_freeze_is_a_dynamic_parameter(frozen: bool, value: str) -> None:
    rds = Rds()
    database.set_read_only("dev-db", frozen=frozen, client=rds)
    (asked,) = rds.asked
    assert asked["Parameters"] == [{"ParameterName": "read_only", "ParameterValue": value, "ApplyMethod": "immediate"}]
