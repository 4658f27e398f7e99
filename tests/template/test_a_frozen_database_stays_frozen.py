"""What a switchover closes is closed by other means than the template, and no deployment opens it by the way."""

from __future__ import annotations

from typing import Any

from .templates import MAIN, ROOT, TEMPLATES, many, references, statements, steps

NETWORK = TEMPLATES["network"]["Resources"]
DATABASE = TEMPLATES["database"]["Resources"]
INSTANCE = TEMPLATES["compute"]["Resources"]["InstanceRole"]["Properties"]


def keys(value: Any) -> set[str]:
    if isinstance(value, dict):
        return {str(key) for key in value} | {key for below in value.values() for key in keys(below)}
    if isinstance(value, list):
        return {key for below in value for key in keys(below)}
    return set()


def tags(resource: Any) -> dict[str, Any]:
    return {tag["Key"]: tag["Value"] for tag in resource["Properties"]["Tags"]}


def secrets(policies: Any) -> set[str]:
    """Which secrets policies let read."""
    return {
        resource["Fn::Sub"].split(":secret:")[1]
        for statement in statements(policies)
        if "secretsmanager:GetSecretValue" in many(statement["Action"])
        for resource in many(statement["Resource"])
    }


def test_no_template_says_who_may_write() -> None:
    named = {name for name, template in TEMPLATES.items() if keys(template) & {"read_only", "super_read_only"}}
    assert named == set()


def test_the_database_is_deployed_behind_its_open_door_and_no_other() -> None:
    assert DATABASE["Database"]["Properties"]["VPCSecurityGroups"] == [{"Ref": "SecurityGroupId"}]
    assert MAIN["Resources"]["Database"]["Properties"]["Parameters"]["SecurityGroupId"] == {
        "Fn::GetAtt": ["Network", "Outputs.DatabaseSecurityGroupId"]
    }
    output = TEMPLATES["network"]["Outputs"]["DatabaseSecurityGroupId"]["Value"]
    assert references(output) == {"DatabaseSecurityGroup"}


def test_there_is_one_door_of_each_kind_and_the_environment_is_on_both() -> None:
    doors = {
        name: tags(resource)
        for name, resource in NETWORK.items()
        if resource["Type"] == "AWS::EC2::SecurityGroup" and "pilotlight:door" in tags(resource)
    }
    assert {name: found["pilotlight:door"] for name, found in doors.items()} == {
        "DatabaseSecurityGroup": "open",
        "ClosedDatabaseSecurityGroup": "closed",
    }
    assert all(found["pilotlight:environment"] == {"Ref": "Environment"} for found in doors.values())


def test_the_closed_door_lets_in_who_proves_and_nobody_else() -> None:
    into = [
        resource["Properties"]
        for resource in NETWORK.values()
        if resource["Type"] == "AWS::EC2::SecurityGroupIngress"
        and references(resource["Properties"]["GroupId"]) == {"ClosedDatabaseSecurityGroup"}
    ]
    assert "SecurityGroupIngress" not in NETWORK["ClosedDatabaseSecurityGroup"]["Properties"]
    assert [references(rule["SourceSecurityGroupId"]) for rule in into] == [{"FunctionSecurityGroup"}]
    # And nothing but that function is in that group.
    users = {name for name, f in steps().items() if "Outputs.FunctionSecurityGroupId" in str(f.get("VpcConfig", {}))}
    assert users == {"SqlFunction"}
    handed = [name for name, r in MAIN["Resources"].items() if "Outputs.FunctionSecurityGroupId" in str(r)]
    assert handed == ["SqlFunction"]


def test_who_closes_takes_no_rule_away() -> None:
    """Opening again is the same call with the other group."""
    for name, function in steps().items():
        for statement in statements(function["Policies"]):
            assert not [action for action in many(statement["Action"]) if "SecurityGroupIngress" in action], name


def test_the_application_has_an_account_of_its_own() -> None:
    master, application = DATABASE["Secret"]["Properties"], DATABASE["ApplicationSecret"]["Properties"]
    assert master["Name"] == {"Fn::Sub": "${Environment}/database"}
    assert application["Name"] == {"Fn::Sub": "${Environment}/application"}
    users = [secret["GenerateSecretString"]["SecretStringTemplate"] for secret in (master, application)]
    assert users == ['{"username": "pilotlight"}', '{"username": "application"}']
    assert references(DATABASE["Database"]["Properties"]["MasterUserPassword"]) >= {"Secret"}
    assert "ApplicationSecret" not in str(DATABASE["Database"])


def test_both_regions_know_both_accounts() -> None:
    for name in ("Secret", "ApplicationSecret"):
        assert DATABASE[name]["Condition"] == "IsSource"
        assert DATABASE[name]["Properties"]["ReplicaRegions"] == [{"Region": {"Ref": "DrRegion"}}]


def test_instances_are_told_their_own_account_and_can_read_no_other() -> None:
    assert secrets(INSTANCE["Policies"]) == {"${Environment}/application-??????"}
    launch = TEMPLATES["compute"]["Resources"]["LaunchTemplate"]["Properties"]["LaunchTemplateData"]
    written = launch["UserData"]["Fn::Base64"]["Fn::Sub"]
    assert "DATABASE_SECRET_ID=${Environment}/application\n" in written
    assert "${Environment}/database" not in written


def test_the_master_account_is_the_sql_functions_alone() -> None:
    holders = {name for name, f in steps().items() if secrets(f["Policies"])}
    assert holders == {"SqlFunction"}
    assert secrets(steps()["SqlFunction"]["Policies"]) == {
        "${Environment}/database-??????",
        "${Environment}/application-??????",
    }


def test_the_account_is_made_before_the_first_instance_and_again_when_it_changes() -> None:
    accounts = MAIN["Resources"]["DatabaseAccounts"]
    assert accounts["Type"] == "Custom::DatabaseAccounts"
    assert {"SqlFunction", "Database", "Record", "DatabaseName"} <= references(accounts["Properties"])
    assert references(accounts["Properties"]["Secret"]) == {"IsPrimary", "Database"}
    assert MAIN["Resources"]["Compute"]["DependsOn"] == "DatabaseAccounts"
    read = (ROOT / "functions" / "pair" / "app.py").read_text()
    for name in ("Function", "ActiveRegionParameter", "Host", "Port"):
        assert f'wanted["{name}"]' in read
        assert name in accounts["Properties"]


def test_the_sql_function_is_told_whose_schema_the_account_is_for() -> None:
    variables = MAIN["Resources"]["SqlFunction"]["Properties"]["Environment"]["Variables"]
    assert variables["DATABASE_NAME"] == {"Ref": "DatabaseName"}
    assert MAIN["Resources"]["Database"]["Properties"]["Parameters"]["DatabaseName"] == {"Ref": "DatabaseName"}


def test_the_heart_can_beat() -> None:
    assert DATABASE["ParameterGroup"]["Properties"]["Parameters"]["event_scheduler"] == "ON"
