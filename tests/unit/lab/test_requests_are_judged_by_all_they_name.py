"""What the lab asks IAM about a request, where MiniStack would ask about less or about something else."""

from __future__ import annotations

from typing import Any

import pytest

from lab.emulator.requests import checks, name_action, read

HERE, ACCOUNT = "eu-central-1", "000000000000"


def needed(action: str, body: bytes = b"", path: str = "/", **parameters: Any) -> set[tuple[str, str]]:
    asked = read(
        action, path, body, {key.replace("__", "."): value for key, value in parameters.items()}, HERE, ACCOUNT
    )
    return {(check.action, check.resource) for check in checks(asked, "ministacks")}


def rds(rest: str, region: str = HERE) -> str:
    return f"arn:aws:rds:{region}:{ACCOUNT}:{rest}"


def test_an_image_is_made_of_an_instance_and_tagged() -> None:
    assert needed("ec2:CreateImage", InstanceId="i-1", TagSpecification__1__ResourceType="image") == {
        ("ec2:CreateImage", f"arn:aws:ec2:{HERE}:{ACCOUNT}:instance/i-1"),
        ("ec2:CreateImage", f"arn:aws:ec2:{HERE}::image/*"),
        ("ec2:CreateImage", f"arn:aws:ec2:{HERE}::snapshot/*"),
        ("ec2:CreateTags", f"arn:aws:ec2:{HERE}::image/*"),
    }


def test_images_and_snapshots_belong_to_no_account() -> None:
    assert needed("ec2:DeregisterImage", ImageId="ami-1") == {
        ("ec2:DeregisterImage", f"arn:aws:ec2:{HERE}::image/ami-1")
    }
    assert needed("ec2:CreateTags", ResourceId__1="ami-1", ResourceId__2="snap-1") == {
        ("ec2:CreateTags", f"arn:aws:ec2:{HERE}::image/ami-1"),
        ("ec2:CreateTags", f"arn:aws:ec2:{HERE}::snapshot/snap-1"),
    }


@pytest.mark.parametrize(
    "action", ["ec2:DescribeInstances", "states:SendTaskSuccess", "cloudwatch:PutMetricData", "tag:GetResources"]
)
def test_where_iam_knows_no_resource_only_all_will_do(action: str) -> None:
    assert needed(action, InstanceId="i-1") == {(action, "*")}


def test_a_replica_needs_its_source_its_groups_and_its_tags() -> None:
    found = needed(
        "rds:CreateDBInstanceReadReplica",
        DBInstanceIdentifier="ours",
        SourceDBInstanceIdentifier=rds("db:theirs", "eu-west-1"),
        DBParameterGroupName="group",
        DBSubnetGroupName="nets",
        Tags__Tag__1__Key="a",
    )
    replica = {rds("db:ours"), rds("db:theirs", "eu-west-1"), rds("pg:group"), rds("subgrp:nets")}
    assert found == {("rds:CreateDBInstanceReadReplica", one) for one in replica} | {
        ("rds:AddTagsToResource", rds("db:ours"))
    }


def test_who_lists_all_databases_has_to_be_allowed_all() -> None:
    assert needed("rds:DescribeDBInstances") == {("rds:DescribeDBInstances", rds("db:*"))}
    assert needed("rds:DescribeDBInstances", DBInstanceIdentifier="ours") == {
        ("rds:DescribeDBInstances", rds("db:ours"))
    }


def test_every_parameter_of_a_list_counts_without_its_version() -> None:
    of_ours = f"arn:aws:ssm:{HERE}:{ACCOUNT}:parameter"
    assert needed("ssm:GetParameters", b'{"Names": ["/a/b:3", "c"]}') == {
        ("ssm:GetParameters", f"{of_ours}/a/b"),
        ("ssm:GetParameters", f"{of_ours}/c"),
    }


def test_a_rule_of_the_default_bus_is_named_without_it() -> None:
    assert needed("events:DisableRule", b'{"Name": "ours"}') == {
        ("events:DisableRule", f"arn:aws:events:{HERE}:{ACCOUNT}:rule/ours")
    }


@pytest.mark.parametrize(("method", "verb"), [("GET", "Get"), ("PUT", "Put"), ("DELETE", "Delete")])
def test_looking_at_a_concurrency_is_not_changing_it(method: str, verb: str) -> None:
    path = "/2019-09-30/functions/ours/concurrency"
    assert name_action("lambda", method, path, "lambda:PutFunctionConcurrency") == f"lambda:{verb}FunctionConcurrency"


def test_a_trigger_that_is_changed_has_a_name_for_it() -> None:
    assert name_action("lambda", "PUT", "/2015-03-31/event-source-mappings/1-2", None) == (
        "lambda:UpdateEventSourceMapping"
    )


def test_what_is_not_listed_is_judged_as_ministack_does() -> None:
    assert needed("sqs:SendMessage", b'{"QueueUrl": "q"}') == {("sqs:SendMessage", "ministacks")}
    assert name_action("sqs", "POST", "/", "sqs:SendMessage") == "sqs:SendMessage"
