from __future__ import annotations

from .templates import MAIN, TEMPLATES, references, resources

RECORD = "AWS::SSM::Parameter::Value<String>"
FOLLOWERS = {"compute", "configuration", "images", "workload"}


def test_what_follows_the_record_and_nothing_else_does() -> None:
    following = {
        template
        for template, document in TEMPLATES.items()
        if any("SSM::Parameter::Value" in parameter["Type"] for parameter in document.get("Parameters", {}).values())
    }
    assert following == FOLLOWERS


def test_the_record_is_read_and_never_handed_over_as_a_value() -> None:
    for name in FOLLOWERS:
        assert TEMPLATES[name]["Parameters"]["ActiveRegion"] == {"Type": RECORD}
        (stack,) = [r for r in MAIN["Resources"].values() if r["Properties"].get("TemplateURL") == f"infra/{name}.yaml"]
        # The name, from the stack that makes it: which is how it exists before it is read.
        assert stack["Properties"]["Parameters"]["ActiveRegion"] == {
            "Fn::GetAtt": ["Record", "Outputs.ActiveRegionParameter"]
        }
        assert TEMPLATES[name]["Conditions"]["IsActive"] == {
            "Fn::Equals": [{"Ref": "ActiveRegion"}, {"Ref": "AWS::Region"}]
        }


def test_the_record_begins_with_the_primary_and_is_nobodys_to_deploy() -> None:
    """The template's value never changes, so CloudFormation never writes the record again."""
    assert TEMPLATES["record"]["Resources"]["ActiveRegion"]["Properties"]["Value"] == {"Ref": "PrimaryRegion"}
    assert "ActiveRegion" not in MAIN["Parameters"]


def test_sizes_survive() -> None:
    group = TEMPLATES["compute"]["Resources"]["AutoScalingGroup"]
    assert group["Properties"]["MinSize"] == {"Fn::If": ["IsActive", {"Ref": "CapacityMin"}, 0]}
    assert group["Properties"]["MaxSize"] == {"Ref": "CapacityMax"}
    assert "DesiredCapacity" not in group["Properties"]
    assert group["UpdatePolicy"]["AutoScalingScheduledAction"] == {"IgnoreUnmodifiedGroupSizeProperties": True}


def test_no_version_goes_live_by_merely_existing() -> None:
    group = TEMPLATES["compute"]["Resources"]["AutoScalingGroup"]["Properties"]
    assert group["LaunchTemplate"]["Version"] == {"Fn::GetAtt": ["LaunchTemplate", "LatestVersionNumber"]}


def test_instances_that_still_start_are_not_replaced() -> None:
    group = TEMPLATES["compute"]["Resources"]["AutoScalingGroup"]["Properties"]
    assert group["HealthCheckType"] == "ELB"
    assert group["HealthCheckGracePeriod"] == 300


def test_the_standbys_functions_are_off_twice() -> None:
    workload = TEMPLATES["workload"]["Resources"]
    assert workload["Orders"]["Properties"]["ReservedConcurrentExecutions"] == {
        "Fn::If": ["IsActive", {"Ref": "AWS::NoValue"}, 0]
    }
    assert workload["OrdersTrigger"]["Properties"]["Enabled"] == {"Fn::If": ["IsActive", True, False]}


def test_the_standbys_rule_is_off_and_what_turns_it_is_on() -> None:
    rules = TEMPLATES["configuration"]["Resources"]
    assert rules["Changes"]["Properties"]["State"] == {"Fn::If": ["IsActive", "ENABLED", "DISABLED"]}
    for name in ("Recorded", "Hourly", "Weekly"):
        assert "State" not in rules[name]["Properties"]
    schedule = TEMPLATES["images"]["Resources"]
    assert schedule["Nightly"]["Properties"]["State"] == {"Fn::If": ["IsActive", "ENABLED", "DISABLED"]}
    for name in ("Recorded", "Hourly", "EndedBadly"):
        assert "State" not in schedule[name]["Properties"]


def test_the_database_is_what_its_regions_name_says() -> None:
    """After a promotion nothing that a deployment hands to the database's stack may differ."""
    database = TEMPLATES["database"]
    assert references(database["Conditions"]["IsSource"]) == {"AWS::Region", "PrimaryRegion"}
    assert references(list(database["Conditions"].values())) <= {"AWS::Region", "PrimaryRegion", "PerformanceInsights"}
    handed = references(MAIN["Resources"]["Database"]["Properties"]["Parameters"])
    assert handed <= set(MAIN["Parameters"]) | {"Network", "Encryption"}
    assert "Record" not in handed


def test_the_replica_keeps_the_word_for_its_source() -> None:
    """Taking it away in the template would make CloudFormation promote; changing it would replace the database."""
    properties = TEMPLATES["database"]["Resources"]["Database"]["Properties"]
    condition, for_source, for_replica = properties["SourceDBInstanceIdentifier"]["Fn::If"]
    assert (condition, for_source) == ("IsSource", {"Ref": "AWS::NoValue"})
    assert references(for_replica) == {"AWS::Partition", "AWS::AccountId", "PrimaryRegion", "Environment"}


def test_rds_does_not_manage_the_password() -> None:
    """RDS refuses replicas of a MySQL instance whose password it manages."""
    properties = TEMPLATES["database"]["Resources"]["Database"]["Properties"]
    assert "ManageMasterUserPassword" not in properties
    assert "resolve:secretsmanager" in str(properties["MasterUserPassword"])
    assert TEMPLATES["database"]["Resources"]["Secret"]["Properties"]["ReplicaRegions"] == [
        {"Region": {"Ref": "DrRegion"}}
    ]


def test_source_and_replica_have_the_same_parameters() -> None:
    group = TEMPLATES["database"]["Resources"]["ParameterGroup"]
    assert "Condition" not in group
    parameters = group["Properties"]["Parameters"]
    assert "Fn::If" not in str(parameters)
    assert (parameters["gtid-mode"], parameters["enforce_gtid_consistency"]) == ("ON", "ON")
    assert parameters["binlog_format"] == "ROW"


def test_no_nested_stack_needs_a_transform() -> None:
    for name, document in TEMPLATES.items():
        assert ("Transform" in document) == (name == "template")


def test_nobody_sets_capacity_concurrency_or_triggers_elsewhere() -> None:
    kinds = ("AWS::AutoScaling::AutoScalingGroup", "AWS::Lambda::EventSourceMapping")
    assert {(t, n) for t, n, _ in resources(*kinds)} == {
        ("compute", "AutoScalingGroup"),
        ("workload", "OrdersTrigger"),
        # Always on: what it feeds asks the record itself.
        ("configuration", "Trigger"),
    }
    assert {(t, n) for t, n, r in resources() if "ReservedConcurrentExecutions" in r.get("Properties", {})} == {
        ("workload", "Orders")
    }
