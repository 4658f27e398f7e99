"""What CloudFormation's schemas do not say, and a service refuses all the same when the resource is made."""

from __future__ import annotations

import re
from typing import Any

import pytest

from .templates import MAIN, ids, resources

GROUPS = resources("AWS::EC2::SecurityGroup", "AWS::EC2::SecurityGroupIngress", "AWS::EC2::SecurityGroupEgress")
# https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_IpRange.html; of groups as sources it is one sign narrower.
DESCRIPTION = re.compile(r"[a-zA-Z0-9 ._\-:/()#,@\[\]+=;{}!$*]{1,255}")


@pytest.mark.parametrize(("template", "name", "group"), GROUPS, ids=ids(GROUPS))
def test_a_security_groups_descriptions_are_of_the_characters_that_ec2_takes(
    template: str, name: str, group: Any
) -> None:
    properties = group["Properties"]
    rules = [*properties.get("SecurityGroupIngress", []), *properties.get("SecurityGroupEgress", [])]
    told = [
        properties.get("GroupDescription"),
        properties.get("Description"),
        *(one.get("Description") for one in rules),
    ]
    found = [text for text in told if text is not None]
    assert found
    assert [text for text in found if not DESCRIPTION.fullmatch(text)] == [], template + name


@pytest.mark.parametrize(
    ("name", "taken"),
    [
        ("dev", True),
        ("prod2", True),
        ("internal", False),
        ("internal2", True),
        ("aws", False),
        ("ssmx", False),
        ("Dev", False),
    ],
)
def test_an_environments_name_begins_no_name_that_aws_refuses(name: str, taken: bool) -> None:
    assert bool(re.search(MAIN["Parameters"]["Environment"]["AllowedPattern"], name)) is taken


@pytest.mark.parametrize("parameter", ["PrimaryVpcCidr", "DrVpcCidr"])
def test_a_network_is_as_large_as_its_subnets_together(parameter: str) -> None:
    pattern = MAIN["Parameters"][parameter]["AllowedPattern"]
    assert re.search(pattern, "10.0.0.0/16")
    assert not re.search(pattern, "10.0.0.0/17")
