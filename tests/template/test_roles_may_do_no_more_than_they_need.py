from __future__ import annotations

import fnmatch
import re
from typing import Any

import pytest

from .templates import MAIN, TEMPLATES, functions, many, resources, statements, steps

# Actions for which IAM knows no resource (Service Authorization Reference). "*" is the only thing to write for them.
NO_RESOURCE_LEVEL = {
    "autoscaling:DescribeAutoScalingGroups",
    "autoscaling:DescribeScalingActivities",
    "cloudwatch:DescribeAlarms",
    "cloudwatch:GetMetricStatistics",
    "cloudwatch:GetMetricData",
    "cloudwatch:PutMetricData",
    "ec2:DescribeImages",
    "ec2:DescribeInstances",
    "ec2:DescribeLaunchTemplateVersions",
    "ec2:DescribeSecurityGroups",
    "ec2:DescribeSnapshots",
    "elasticloadbalancing:DescribeListeners",
    "elasticloadbalancing:DescribeLoadBalancers",
    "elasticloadbalancing:DescribeTargetHealth",
    "lambda:ListEventSourceMappings",
    "logs:CreateLogDelivery",
    "logs:DeleteLogDelivery",
    "logs:DescribeLogGroups",
    "logs:DescribeResourcePolicies",
    "logs:GetLogDelivery",
    "logs:ListLogDeliveries",
    "logs:PutResourcePolicy",
    "logs:UpdateLogDelivery",
    "ssm:DescribeParameters",
    "ssm:UpdateInstanceInformation",
    "ssmmessages:CreateControlChannel",
    "ssmmessages:CreateDataChannel",
    "ssmmessages:OpenControlChannel",
    "ssmmessages:OpenDataChannel",
    "states:SendTaskSuccess",
    "tag:GetResources",
    "xray:GetSamplingRules",
    "xray:GetSamplingTargets",
    "xray:PutTelemetryRecords",
    "xray:PutTraceSegments",
}
NAMESPACE = "cloudwatch:namespace"
CONTROL_PLANES_ELSEWHERE = ("iam", "route53", "cloudformation", "organizations", "account")
# What a failover changes; everything else it may only look at, or use the key, the lock and the topic for.
CHANGES = {
    "control": {"ssm:PutParameter"},
    "database": {
        "rds:PromoteReadReplica",
        "rds:ModifyDBInstance",
        "rds:ModifyDBParameterGroup",
        "lambda:InvokeFunction",
    },
    "sql": {"s3:PutObject"},
    "compute": {
        "ssm:PutParameter",
        "ec2:CreateLaunchTemplateVersion",
        "autoscaling:UpdateAutoScalingGroup",
        "ec2:RunInstances",
        "ec2:CreateTags",
    },
    "workload": {
        "lambda:PutFunctionConcurrency",
        "lambda:DeleteFunctionConcurrency",
        "lambda:UpdateEventSourceMapping",
    },
    "verify": set(),
    "fence": {
        "autoscaling:UpdateAutoScalingGroup",
        "ssm:PutParameter",
        "rds:ModifyDBInstance",
        "lambda:PutFunctionConcurrency",
        "lambda:UpdateEventSourceMapping",
    },
    "source": {
        "autoscaling:UpdateAutoScalingGroup",
        "ssm:PutParameter",
        "rds:ModifyDBInstance",
        "rds:ModifyDBParameterGroup",
        "lambda:InvokeFunction",
        "lambda:PutFunctionConcurrency",
        "lambda:DeleteFunctionConcurrency",
        "lambda:UpdateEventSourceMapping",
    },
    "notify": {"sns:Publish"},
    "secrets": {"cloudwatch:PutMetricData", "lambda:InvokeFunction"},
    "objects": {"cloudwatch:PutMetricData", "s3:PutObject", "s3:PutObjectTagging"},
    "failback": set(),
    # It asks the replica, and tells; what it decides is carried out by the others.
    "decision": {"cloudwatch:SetAlarmState", "lambda:InvokeFunction", "sns:Publish", "states:SendTaskSuccess"},
    "traffic": {"cloudwatch:PutMetricData"},
    "probe": {"cloudwatch:PutMetricData", "lambda:InvokeFunction", "ssm:PutParameter"},
    "snapshot": {
        "rds:AddTagsToResource",
        "rds:CopyDBSnapshot",
        "rds:CreateDBSnapshot",
        "rds:ModifyDBInstance",
        "rds:RestoreDBInstanceFromDBSnapshot",
        "kms:CreateGrant",
        "ssm:PutParameter",
    },
    "standby": {
        "autoscaling:UpdateAutoScalingGroup",
        "kms:CreateGrant",
        "ssm:PutParameter",
        "rds:AddTagsToResource",
        "rds:CreateDBInstanceReadReplica",
        "rds:CreateDBSnapshot",
        "rds:ModifyDBInstance",
        "rds:ModifyDBParameterGroup",
        "lambda:InvokeFunction",
        "lambda:PutFunctionConcurrency",
        "lambda:UpdateEventSourceMapping",
    },
}
FAILOVER = steps()
# A planned switch goes both ways, so its steps reach into either region. The fence tries the primary alone: only that
# is ever left without a word.
REACHES_INTO_THE_PRIMARY = {"FenceFunction"}
REACHES_INTO_BOTH = {"ControlFunction", "DatabaseFunction", "ComputeFunction", "WorkloadFunction", "SourceFunction"}
# Work on whichever region is the standby, and ask the other.
WORKS_ON_THE_STANDBY = {"SnapshotFunction", "StandbyFunction", "ObjectsFunction", "SecretsFunction"}
# Asks the primary what anybody may ask, and changes nothing there.
LOOKS_AT_THE_PRIMARY = {"ProbeFunction"}

ROLES = [
    (template, name, resource)
    for template, name, resource in resources(
        "AWS::IAM::Role", "AWS::Serverless::Function", "AWS::Serverless::StateMachine"
    )
]
ALLOWED = [
    pytest.param(name, statement, id=f"{template}-{name}-{statement.get('Sid', number)}")
    for template, name, resource in ROLES
    for number, statement in enumerate(statements(resource["Properties"].get("Policies", [])))
    if statement["Effect"] == "Allow"
]


def test_every_role_of_the_failover_is_looked_at() -> None:
    assert {f["FunctionName"]["Fn::Sub"].rsplit("-", 1)[1] for f in FAILOVER.values()} == set(CHANGES)
    assert len(ALLOWED) > 40


@pytest.mark.parametrize(("template", "name", "resource"), ROLES, ids=[f"{t}-{n}" for t, n, _ in ROLES])
def test_a_statements_name_is_its_own(template: str, name: str, resource: Any) -> None:
    """IAM refuses a policy in which two statements have one Sid."""
    for policy in resource["Properties"].get("Policies", []):
        named = [each["Sid"] for each in statements([policy]) if "Sid" in each]
        assert len(named) == len(set(named))


@pytest.mark.parametrize(("name", "statement"), ALLOWED)
def test_actions_are_named_one_by_one(name: str, statement: Any) -> None:
    assert "NotAction" not in statement
    assert not [action for action in many(statement["Action"]) if "*" in action]


@pytest.mark.parametrize(("name", "statement"), ALLOWED)
def test_all_resources_only_where_there_is_nothing_narrower(name: str, statement: Any) -> None:
    if "*" not in many(statement["Resource"]):
        return
    if statement["Sid"] == "ItsMetrics":
        assert many(statement["Action"]) == ["cloudwatch:PutMetricData"]
        assert statement["Condition"]["StringEquals"]["cloudwatch:namespace"] == "PilotLight"
        return
    if statement["Sid"] == "WhateverTheLaunchTemplateStarts":
        assert set(statement["Condition"]) == {"ArnEquals"}
        assert set(statement["Condition"]["ArnEquals"]) == {"ec2:LaunchTemplate"}
        return
    assert statement["Sid"].startswith("NoResourceLevelPermissions")
    assert set(many(statement["Action"])) <= NO_RESOURCE_LEVEL


@pytest.mark.parametrize(("name", "statement"), ALLOWED)
def test_who_puts_figures_puts_no_number_that_moves_traffic(name: str, statement: Any) -> None:
    if "cloudwatch:PutMetricData" in many(statement["Action"]):
        held = [keys[NAMESPACE] for keys in statement["Condition"].values() if NAMESPACE in keys]
        assert held == ["PilotLight/Traffic" if name == "TrafficFunction" else "PilotLight"]


@pytest.mark.parametrize(("name", "statement"), ALLOWED)
def test_what_knows_a_resource_is_not_hidden_among_what_does_not(name: str, statement: Any) -> None:
    if statement.get("Sid", "").startswith("NoResourceLevelPermissions"):
        assert many(statement["Resource"]) == ["*"]


@pytest.mark.parametrize(("name", "statement"), ALLOWED)
def test_what_knows_no_resource_is_given_none(name: str, statement: Any) -> None:
    """With any other resource than "*" it is granted to nobody, and nothing says so before the day."""
    if set(many(statement["Action"])) & NO_RESOURCE_LEVEL:
        assert many(statement["Resource"]) == ["*"]


@pytest.mark.parametrize("name", sorted(FAILOVER))
def test_looking_at_all_resources_is_held_to_one_region(name: str) -> None:
    for statement in statements(FAILOVER[name]["Policies"]):
        if "*" in many(statement["Resource"]) and statement["Sid"].startswith("NoResourceLevelPermissions"):
            assert set(statement["Condition"]["StringEquals"]) == {"aws:RequestedRegion"}
            if name in REACHES_INTO_BOTH:
                regions = [{"Ref": "PrimaryRegion"}, {"Ref": "DrRegion"}]
                assert statement["Condition"]["StringEquals"]["aws:RequestedRegion"] == regions


@pytest.mark.parametrize(("name", "statement"), ALLOWED)
def test_a_role_is_handed_to_one_service(name: str, statement: Any) -> None:
    if "iam:PassRole" in many(statement["Action"]):
        assert set(statement["Condition"]["StringEquals"]) == {"iam:PassedToService"}
        assert "*" not in str(statement["Resource"])


@pytest.mark.parametrize("name", [*sorted(FAILOVER), "Failover", "Failback", "Reprotect"])
def test_a_failover_never_reaches_for_a_control_plane_elsewhere(name: str) -> None:
    granted = [
        action
        for statement in statements(MAIN["Resources"][name]["Properties"]["Policies"])
        for action in many(statement["Action"])
        if statement["Effect"] == "Allow"
    ]
    assert granted
    # Handing over a role is a check in the region, no call to IAM.
    assert [a for a in granted if a.split(":")[0] in CONTROL_PLANES_ELSEWHERE] in ([], ["iam:PassRole"])


@pytest.mark.parametrize("name", sorted(FAILOVER))
def test_a_step_changes_what_its_name_says(name: str) -> None:
    step = FAILOVER[name]["FunctionName"]["Fn::Sub"].rsplit("-", 1)[1]
    reading = ("Get", "List", "Describe", "Decrypt", "Generate")
    changing = {
        action
        for statement in statements(FAILOVER[name]["Policies"])
        for action in many(statement["Action"])
        if statement["Effect"] == "Allow"
        and not action.split(":")[1].startswith(reading)
        and action.split(":")[0] not in ("dynamodb", "iam")
    }
    assert changing == CHANGES[step]


@pytest.mark.parametrize(
    "name",
    sorted(set(FAILOVER) - REACHES_INTO_THE_PRIMARY - REACHES_INTO_BOTH - WORKS_ON_THE_STANDBY - LOOKS_AT_THE_PRIMARY),
)
def test_only_who_closes_a_region_reaches_into_the_other(name: str) -> None:
    assert "PrimaryRegion" not in str(FAILOVER[name]["Policies"])


@pytest.mark.parametrize("name", sorted(LOOKS_AT_THE_PRIMARY))
def test_who_looks_at_the_primary_only_looks(name: str) -> None:
    for statement in statements(FAILOVER[name]["Policies"]):
        if "PrimaryRegion" in str(statement):
            assert all(action.split(":")[1].startswith("Describe") for action in many(statement["Action"]))


def test_the_probe_writes_its_own_notes_and_never_the_record() -> None:
    writing = [s for s in statements(FAILOVER["ProbeFunction"]["Policies"]) if "PutItem" in str(s["Action"])]
    assert [s["Condition"]["ForAllValues:StringEquals"]["dynamodb:LeadingKeys"] for s in writing] == [
        ["watch", "probe", "health"]
    ]


WHOSE_NOTES = {
    ("ProbeFunction", "watch", "probe", "health"),
    ("SentinelFunction", "posture-${AWS::Region}"),
    ("SecretsFunction", "secrets"),
    ("ObjectsFunction", "objects", "objects-switch", "objects-return"),
    ("DecisionFunction", "decision", "approval"),
    ("NotifyFunction", "approval"),
    # The first record, where there is none.
    ("PairFunction", "switch"),
}


def test_whoever_puts_into_the_state_table_puts_what_is_its_own() -> None:
    found = set()
    for name, function in functions().items():
        for statement in statements(function.get("Policies", [])):
            table = str(statement["Resource"])
            if "dynamodb:PutItem" in many(statement["Action"]) and ("StateTable" in table or "-dr-state" in table):
                keys = statement["Condition"]["ForAllValues:StringEquals"]["dynamodb:LeadingKeys"]
                found.add((name, *(key["Fn::Sub"] if isinstance(key, dict) else key for key in keys)))
    assert found == WHOSE_NOTES


@pytest.mark.parametrize("name", sorted(REACHES_INTO_THE_PRIMARY))
def test_the_fence_changes_nothing_in_its_own_region(name: str) -> None:
    changing = [
        statement
        for statement in statements(FAILOVER[name]["Policies"])
        for action in many(statement["Action"])
        if action.split(":")[1].startswith(("Modify", "Put", "Delete", "Invoke"))
        and action.split(":")[0] != "dynamodb"
        and statement["Effect"] == "Allow"
    ]
    assert changing
    for statement in changing:
        assert "PrimaryRegion" in str(statement["Resource"]), statement["Sid"]
        assert "AWS::Region" not in str(statement), statement["Sid"]


@pytest.mark.parametrize("name", sorted(REACHES_INTO_BOTH))
def test_what_may_be_changed_in_one_region_may_be_changed_in_the_other(name: str) -> None:
    """Named, never asked for: DR is deployed, and switches, while the primary is lost."""
    once = {"WhateverTheLaunchTemplateStarts", "TheLaunchTemplateAlone"}
    once |= {"WhateverThePrimarysLaunchTemplateStarts", "ThePrimarysLaunchTemplateAlone"}
    for statement in statements(FAILOVER[name]["Policies"]):
        changes = any(
            action.split(":")[1].startswith(("Modify", "Put", "Update", "Delete", "Invoke", "Promote"))
            for action in many(statement["Action"])
        )
        services = {action.split(":")[0] for action in many(statement["Action"])} - {"dynamodb"}
        if not changes or not services or statement["Effect"] == "Deny" or statement["Sid"] in once:
            continue
        if statement["Sid"] == "SwitchWhatIsNamed":
            regions = statement["Condition"]["StringEquals"]["aws:RequestedRegion"]
            assert regions == [{"Ref": "PrimaryRegion"}, {"Ref": "DrRegion"}]
            continue
        resources = [resource["Fn::Sub"] for resource in statement["Resource"]]
        there = {resource.replace("${PrimaryRegion}", "*") for resource in resources if "${PrimaryRegion}" in resource}
        here = {resource.replace("${DrRegion}", "*") for resource in resources if "${DrRegion}" in resource}
        assert there == here != set(), statement["Sid"]


def test_only_our_own_launch_templates_start_anything() -> None:
    found = {s["Sid"]: s for s in statements(FAILOVER["ComputeFunction"]["Policies"])}
    primary = found["ThePrimarysLaunchTemplateAlone"]
    assert primary["Condition"] == {"StringEquals": {"aws:ResourceTag/pilotlight:environment": {"Ref": "Environment"}}}
    # Whoever may start instances from any template of the primary may use none but those.
    started = found["WhateverThePrimarysLaunchTemplateStarts"]
    assert not [resource for resource in started["Resource"] if "launch-template" in resource["Fn::Sub"]]
    assert set(started["Condition"]["ArnLike"]) == {"ec2:LaunchTemplate"}
    template = TEMPLATES["compute"]["Resources"]["LaunchTemplate"]["Properties"]["TagSpecifications"]
    assert template == [
        {
            "ResourceType": "launch-template",
            "Tags": [{"Key": "pilotlight:environment", "Value": {"Ref": "Environment"}}],
        }
    ]


def test_the_role_that_is_handed_over_is_the_instances_of_either_region() -> None:
    (handed,) = [s for s in statements(FAILOVER["ComputeFunction"]["Policies"]) if s["Sid"] == "WithTheInstancesRole"]
    name = TEMPLATES["compute"]["Resources"]["InstanceRole"]["Properties"]["RoleName"]["Fn::Sub"]
    roles = [resource["Fn::Sub"].split(":role/")[1] for resource in handed["Resource"]]
    assert roles == [name.replace("AWS::Region", region) for region in ("PrimaryRegion", "DrRegion")]


@pytest.mark.parametrize("name", sorted(WORKS_ON_THE_STANDBY))
def test_who_works_on_both_regions_is_held_to_the_two(name: str) -> None:
    """By the resource, or where that leaves the region open, by a condition."""
    for statement in statements(FAILOVER[name]["Policies"]):
        regions = {
            part for text in re.findall(r"arn:[^']*", str(statement["Resource"])) for part in text.split(":")[3:4]
        }
        if statement["Effect"] == "Allow" and (regions & {"*"} or many(statement["Resource"]) == ["*"]):
            held = statement["Condition"]["StringEquals"]["aws:RequestedRegion"]
            assert held == [{"Ref": "PrimaryRegion"}, {"Ref": "DrRegion"}], statement["Sid"]


@pytest.mark.parametrize("name", sorted(WORKS_ON_THE_STANDBY))
def test_nothing_that_was_a_database_is_ever_deleted(name: str) -> None:
    granted = {action for s in statements(FAILOVER[name]["Policies"]) for action in many(s["Action"])}
    assert not [action for action in granted if "Delete" in action]


@pytest.mark.parametrize(
    ("name", "functions"),
    [
        (
            name,
            [
                "${DrRegion}:${AWS::AccountId}:function:${Environment}-dr-*",
                "${PrimaryRegion}:${AWS::AccountId}:function:${Environment}-sql",
                "${DrRegion}:${AWS::AccountId}:function:${Environment}-sql",
                "${PrimaryRegion}:${AWS::AccountId}:function:${Environment}-sentinel",
                "${DrRegion}:${AWS::AccountId}:function:${Environment}-sentinel",
            ],
        )
        for name in ("WorkloadFunction", "SourceFunction")
    ]
    + [
        (
            "StandbyFunction",
            [
                "*:${AWS::AccountId}:function:${Environment}-dr-*",
                "*:${AWS::AccountId}:function:${Environment}-sql",
                "*:${AWS::AccountId}:function:${Environment}-sentinel",
            ],
        ),
        (
            "FenceFunction",
            [
                "${PrimaryRegion}:${AWS::AccountId}:function:${Environment}-sql",
                "${PrimaryRegion}:${AWS::AccountId}:function:${Environment}-sentinel",
            ],
        ),
    ],
)
def test_a_switch_cannot_switch_itself_off(name: str, functions: list[str]) -> None:
    """Whatever somebody tags: neither what runs it, nor what it looks into the database with."""
    (denied,) = [s for s in statements(FAILOVER[name]["Policies"]) if s["Effect"] == "Deny"]
    granted = {a for s in statements(FAILOVER[name]["Policies"]) if s["Effect"] == "Allow" for a in many(s["Action"])}
    assert set(many(denied["Action"])) == granted & {
        "lambda:PutFunctionConcurrency",
        "lambda:DeleteFunctionConcurrency",
    }
    assert [resource["Fn::Sub"].split(":lambda:")[1] for resource in many(denied["Resource"])] == functions


def _of_the_sentinel() -> list[Any]:
    return list(statements(MAIN["Resources"]["SentinelFunction"]["Properties"]["Policies"]))


def test_a_sentinel_changes_its_own_region_alone() -> None:
    """But for its note beside the record, and for whom it tells: both are in DR."""
    in_dr = {"ReadTheRecord", "WriteItsNoteBesideIt", "Tell", "KeyOfDrThroughItsServices"}
    for statement in _of_the_sentinel():
        if statement["Sid"] in in_dr:
            assert "${DrRegion}" in statement["Resource"]["Fn::Sub"], statement["Sid"]
            continue
        assert "PrimaryRegion" not in str(statement), statement["Sid"]
        assert "DrRegion" not in str(statement), statement["Sid"]
        assert "AWS::Region" in str(statement), statement["Sid"]


def test_a_sentinel_may_write_no_note_but_its_own() -> None:
    (note,) = [s for s in _of_the_sentinel() if s["Sid"] == "WriteItsNoteBesideIt"]
    keys = note["Condition"]["ForAllValues:StringEquals"]["dynamodb:LeadingKeys"]
    assert keys == [{"Fn::Sub": "posture-${AWS::Region}"}]
    dynamo = {a for s in _of_the_sentinel() for a in many(s["Action"]) if a.startswith("dynamodb:")}
    assert dynamo == {"dynamodb:GetItem", "dynamodb:PutItem"}


def test_a_sentinel_can_open_nothing_and_delete_nothing() -> None:
    granted = {a for s in _of_the_sentinel() if s["Effect"] == "Allow" for a in many(s["Action"])}
    opening = ("Enable", "Delete", "Create", "Promote", "Start", "Run", "Add", "Remove", "Tag")
    assert not [action for action in granted if action.split(":")[1].startswith(opening)]


def test_a_sentinel_cannot_switch_itself_off() -> None:
    (denied,) = [s for s in _of_the_sentinel() if s["Effect"] == "Deny"]
    assert denied["Action"] == "lambda:PutFunctionConcurrency"
    names = [resource["Fn::Sub"].split(":function:")[1] for resource in denied["Resource"]]
    assert names == ["${Environment}-dr-*", "${Environment}-sql", "${Environment}-sentinel"]


def test_the_sync_writes_parameters_of_the_other_region_alone() -> None:
    """Half of why it cannot loop, and why it cannot harm the region that serves."""
    policies = MAIN["Resources"]["ParameterSyncFunction"]["Properties"]["Policies"]
    reading = ("Get", "List", "Describe")
    writing = [
        statement
        for statement in statements(policies)
        for action in many(statement["Action"])
        if statement["Effect"] == "Allow" and action.startswith("ssm:") and not action.split(":")[1].startswith(reading)
    ]
    assert writing
    other = {"Fn::If": ["IsPrimary", {"Ref": "DrRegion"}, {"Ref": "PrimaryRegion"}]}
    assert all(statement["Condition"]["StringEquals"]["aws:RequestedRegion"] == other for statement in writing)
    (denied,) = [statement for statement in statements(policies) if statement["Effect"] == "Deny"]
    # Of no environment, whatever path is named.
    assert set(many(denied["Action"])) == {action for statement in writing for action in many(statement["Action"])}
    assert denied["Resource"]["Fn::Sub"].endswith("parameter/*/pilotlight/*")


@pytest.mark.parametrize(
    ("paths", "granted", "refused"),
    [
        ("/team", ["/team/x", "/team/a/b"], ["/team-secrets/x", "/teams", "/other/x", "loose"]),
        ("/team,/a/b", ["/team/x", "/a/b/c"], ["/team-secrets/x", "/a/bc/x", "/a/x"]),
        ("/", ["/team/x", "loose"], []),
        ("-", [], ["/team/x", "loose", "/x"]),
    ],
)
def test_a_path_that_is_named_names_what_is_below_it_and_no_neighbour(
    paths: str, granted: list[str], refused: list[str]
) -> None:
    policies = MAIN["Resources"]["ParameterSyncFunction"]["Properties"]["Policies"]
    found = {statement["Sid"]: statement for statement in statements(policies)}
    for sid in ("ReadBothSides", "WriteTheOtherSideAlone"):
        allowed = [part.split(":parameter", 1)[1] for part in _written(found[sid]["Resource"], paths).split(",")]
        for name in granted:
            assert any(fnmatch.fnmatchcase(_resource(name), one) for one in allowed), (sid, name)
        for name in refused:
            assert not any(fnmatch.fnmatchcase(_resource(name), one) for one in allowed), (sid, name)
    # Listing a path is asked of the path itself.
    reading = [
        part.split(":parameter", 1)[1] for part in _written(found["ReadBothSides"]["Resource"], paths).split(",")
    ]
    assert paths == "-" or all(any(fnmatch.fnmatchcase(path, one) for one in reading) for path in paths.split(","))


@pytest.mark.parametrize("paths", ["/team/", "/team,/", "//", "team", "/a,", "/a,/b/"])
def test_paths_are_written_as_the_role_is_made_of_them(paths: str) -> None:
    pattern = MAIN["Parameters"]["SyncPaths"]["AllowedPattern"]
    assert not re.search(pattern, paths)
    assert all(re.search(pattern, good) for good in ("-", "/", "/team", "/team/a.b,/x_y"))


def _resource(name: str) -> str:
    """Say what stands behind ``parameter`` in a parameter's ARN."""
    return name if name.startswith("/") else f"/{name}"


def _written(value: Any, paths: str) -> str:
    """Write out what CloudFormation makes of a list of resources, with these paths."""
    match value:
        case {"Fn::Split": [_, one]} | {"Fn::Sub": str() as one}:
            return _written(one, paths)
        case {"Fn::Sub": [text, more]}:
            for key, inner in more.items():
                text = text.replace(f"${{{key}}}", _written(inner, paths))
            return str(text)
        case {"Fn::If": ["SyncsEverything", yes, no]}:
            return _written(yes if paths == "/" else no, paths)
        case {"Fn::Join": [delimiter, {"Fn::Split": [",", {"Ref": "SyncPaths"}]}]}:
            return str(delimiter).join(paths.split(","))
    assert isinstance(value, str)
    return value


@pytest.mark.parametrize(("name", "statement"), ALLOWED)
def test_the_key_is_used_through_a_service_or_found_by_its_alias(name: str, statement: Any) -> None:
    if not any(action.startswith("kms:") for action in many(statement["Action"])):
        return
    keys = {key for operator in statement["Condition"].values() for key in operator}
    assert keys & {"kms:ViaService", "kms:ResourceAliases"}


def test_everybody_in_a_key_policy_is_somebody() -> None:
    """A principal "*" is only a way to name a role that may not exist yet."""
    for statement in TEMPLATES["encryption"]["Resources"]["Key"]["Properties"]["KeyPolicy"]["Statement"]:
        if statement["Principal"] == {"AWS": "*"}:
            assert set(statement["Condition"]["StringEquals"]) == {"kms:CallerAccount", "aws:PrincipalArn"}
        # Rules are held by the policies of the queues (test_everything_is_encrypted).
        elif "Service" in statement["Principal"] and statement["Sid"] != "EventsReachQueues":
            assert statement["Condition"]
