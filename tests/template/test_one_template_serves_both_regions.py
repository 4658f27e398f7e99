from __future__ import annotations

import tomllib

from pilotlight.config import Environment, Names, crossing_from, image_settings_from, settings_from

from .templates import MAIN, ROOT, TEMPLATES, resources, steps

CONFIG = tomllib.loads((ROOT / "samconfig.toml").read_text())


def test_there_is_one_template() -> None:
    assert [path.name for path in ROOT.glob("*.yaml") if not path.name.startswith(".")] == ["template.yaml"]
    used = {
        resource["Properties"]["TemplateURL"]
        for resource in MAIN["Resources"].values()
        if resource["Type"] == "AWS::CloudFormation::Stack"
    }
    # The one that is deployed by itself, in a third region.
    assert used == {f"infra/{name}.yaml" for name in TEMPLATES if name not in ("template", "health-forward")}


def test_both_regions_are_deployed_with_it_under_one_name() -> None:
    for kind in ("dev", "lab"):
        primary, dr = (CONFIG[f"{kind}-{role}"]["deploy"]["parameters"] for role in ("primary", "dr"))
        assert primary["stack_name"] == dr["stack_name"] == "dev-pilotlight"
        assert primary["region"] == MAIN["Parameters"]["PrimaryRegion"]["Default"]
        assert dr["region"] == MAIN["Parameters"]["DrRegion"]["Default"]
        for parameters in (primary, dr):
            assert "template_file" not in parameters
            assert {"CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"} <= set(parameters["capabilities"].split())


def test_a_third_region_and_twice_the_same_one_are_refused_with_a_sentence() -> None:
    for rule in MAIN["Rules"].values():
        for assertion in rule["Assertions"]:
            assert assertion["AssertDescription"]
    looks = {"LooksInTenSeconds", "LooksInTwentySeconds", "LooksInThirtySeconds"}
    assert set(MAIN["Rules"]) == {"RegionsDiffer", "RegionIsOneOfTheTwo", "AZoneNeedsAName"} | looks


def test_a_wrong_parameter_is_refused_with_a_sentence() -> None:
    for name, parameter in MAIN["Parameters"].items():
        assert parameter["Description"], name
        if "AllowedPattern" in parameter:
            assert parameter["ConstraintDescription"].startswith("must be"), name


def test_a_dr_region_that_shares_its_fate_with_global_services_is_warned_of() -> None:
    warning = MAIN["Outputs"]["DrRegionWarning"]
    assert "us-east-1" in str(MAIN["Conditions"][warning["Condition"]])


def test_the_primary_is_asked_for_its_database_before_a_replica_is_made() -> None:
    assert MAIN["Resources"]["Database"]["DependsOn"] == "DatabaseSource"
    assert MAIN["Resources"]["DatabaseSource"]["Type"] == "Custom::DatabaseSource"


def test_pairing_comes_after_all_that_it_needs_of_its_own_region() -> None:
    assert set(MAIN["Resources"]["Pairing"]["Properties"]) >= {"Bucket", "Key", "ReplicationRole", "StateTable"}


def test_the_orchestrator_is_set_by_the_parameters_that_the_templates_make() -> None:
    """What the functions read is what is deployed: by name, and by what a deployment without parameters writes."""
    path = "/${Environment}/pilotlight/config/"
    written = {}
    for _, _, resource in resources("AWS::SSM::Parameter"):
        name = resource["Properties"]["Name"]["Fn::Sub"]
        # One is the id of a health check that the template makes.
        if name.startswith(path) and "Ref" in resource["Properties"]["Value"]:
            parameter = MAIN["Parameters"][resource["Properties"]["Value"]["Ref"]]
            written[name.removeprefix(path)] = str(parameter["Default"])
    settings = settings_from(written, "/dev/pilotlight/config")
    assert settings.capacity.maximum == 4
    assert settings.workload_functions == ()
    assert settings.hosted_zone == ""
    crossing = crossing_from(written, "/dev/pilotlight/config", "dev")
    assert (crossing.paths, crossing.exclude, crossing.rewrite) == (("/dev",), (), {})
    assert {"sync-paths", "sync-exclude", "sync-rewrite"} <= set(written)
    images = image_settings_from(written, "/dev/pilotlight/config")
    assert (images.keep, images.copy_minutes) == (3, 0)
    assert {"image-keep", "image-copy-minutes"} <= set(written)


def test_the_functions_find_what_they_look_for_by_name() -> None:
    names = Names("dev")

    def named(template: str, resource: str, key: str) -> str:
        value = TEMPLATES[template]["Resources"][resource]["Properties"][key]["Fn::Sub"]
        return str(value).replace("${Environment}", "dev")

    assert named("database", "Database", "DBInstanceIdentifier") == names.database
    assert named("database", "Secret", "Name") == names.secret
    assert named("compute", "AutoScalingGroup", "AutoScalingGroupName") == names.group
    assert named("compute", "LaunchTemplate", "LaunchTemplateName") == names.launch_template
    assert named("compute", "LoadBalancer", "Name") == names.load_balancer
    assert named("template", "Failover", "Name") == names.failover
    assert named("template", "SqlFunction", "FunctionName") == names.sql
    assert named("template", "ParameterSyncFunction", "FunctionName") == names.parameter_sync
    assert named("template", "TrafficFunction", "FunctionName") == names.traffic
    assert named("configuration", "Changes", "Name") == names.parameter_sync
    for resource, key in (("ImageMachine", "Name"), ("ImageFunction", "FunctionName"), ("ImageTable", "TableName")):
        assert named("template", resource, key) == names.image
    assert named("images", "Nightly", "Name") == names.image
    (alias,) = [found["Properties"]["AliasName"] for _, _, found in resources("AWS::KMS::Alias")]
    assert alias == {"Fn::Sub": names.key.replace("dev", "${Environment}")}
    # It freezes databases by their parameter group, and names that like the database.
    assert named("database", "ParameterGroup", "DBParameterGroupName") == names.database


def test_the_functions_are_given_the_environment_they_read() -> None:
    shared = MAIN["Globals"]["Function"]["Environment"]["Variables"]
    for name in steps():
        variables = shared | MAIN["Resources"][name]["Properties"]["Environment"]["Variables"]
        environment = Environment.read(dict.fromkeys(variables, "set") | {"AWS_REGION": "eu-central-1"})
        # It looks into the database alone, and has no way to the table from where it is.
        assert bool(environment.state_table) == (name != "SqlFunction")
        assert bool(environment.topic_arn) == (name in ("NotifyFunction", "DecisionFunction"))
