"""CloudFormation: resource types and properties that the templates use and MiniStack lacks."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import yaml

from lab.emulator import replace, wrap_resource

if TYPE_CHECKING:
    from collections.abc import Callable

    from lab.world import Lab


def install(_: Lab) -> None:
    """Add what is missing."""
    _parse_in_c()
    _conditions_on_the_region()
    _names_of_its_own_in_each_region()
    _nested_stacks()
    _security_group_rules()
    _vpc_attributes()


def _parse_in_c() -> None:
    """Parse templates with libyaml: in Python, the largest takes seconds, several times in a deployment."""
    from ministack.services.cloudformation import engine

    class Loader(yaml.CSafeLoader):
        yaml_constructors = engine.CfnLoader.yaml_constructors

    engine.CfnLoader = Loader


def _conditions_on_the_region() -> None:
    """Conditions know the pseudo parameters. In MiniStack `!Equals [!Ref AWS::Region, eu-west-1]` is never true."""
    from ministack.core.responses import get_account_id, get_region
    from ministack.services.cloudformation import changesets, engine, handlers, stacks

    def knowing_pseudo_parameters(original: Callable[..., dict[str, bool]]) -> Callable[..., dict[str, bool]]:
        def evaluate(template: dict[str, Any], params: dict[str, Any]) -> dict[str, bool]:
            pseudo = {"Region": get_region(), "AccountId": get_account_id(), "Partition": "aws"}
            known = {f"AWS::{name}": {"Type": "String", "Value": value} for name, value in pseudo.items()}
            return original(template, {**known, **params})

        return evaluate

    for module in (engine, changesets, handlers, stacks):
        replace(module, "_evaluate_conditions", knowing_pseudo_parameters)


def _names_of_its_own_in_each_region() -> None:
    """Let what a template leaves unnamed be called something else in each region; on AWS the end of it is random.

    MiniStack makes it of the stack's and the resource's names alone. Roles are known in all regions, so the second
    region's stack of the same name would take the first one's roles and their policies away.
    """
    from ministack.core.responses import get_region
    from ministack.services.cloudformation import provisioners

    def name(original: Callable[..., str]) -> Callable[..., str]:
        def named(*args: Any, **options: Any) -> str:
            theirs = original(*args, **options)
            suffix = hashlib.sha256(f"{theirs}:{get_region()}".encode()).hexdigest()[:13]
            return theirs[:-13] + (suffix if options.get("lowercase") else suffix.upper())

        return named

    replace(provisioners, "_physical_name", name)


def _nested_stacks() -> None:
    """Resources of a nested stack are treated as those of any stack.

    In a nested stack MiniStack hands on dynamic references as they are written, and forgets the attributes of what an
    update left alone. It also skips a nested stack whose own properties did not change: AWS looks into it at every
    update of its parent, and resolves its SSM-typed parameters anew.
    """
    from ministack.services.cloudformation import _stacks, engine, provisioners, stacks

    def resolved(props: Any) -> Any:
        return engine._resolve_dynamic_references(props)[0]

    def provision(original: Callable[..., Any]) -> Callable[..., Any]:
        def provisioned(resource_type: str, logical_id: str, props: dict[str, Any], stack_name: str) -> Any:
            return original(resource_type, logical_id, resolved(props), stack_name)

        return provisioned

    def update(original: Callable[..., Any]) -> Callable[..., Any]:
        def updated(
            resource_type: str,
            physical_id: str,
            old: dict[str, Any],
            new: dict[str, Any],
            stack_name: str,
            logical_id: str | None = None,
            old_attrs: dict[str, Any] | None = None,
        ) -> Any:
            if resource_type == "AWS::CloudFormation::Stack" and old == new:
                return provisioners._cfn_nested_stack_update(physical_id, old, new, stack_name)
            if old == new and old_attrs is None:
                known = _stacks[stack_name]["_resources"].get(logical_id, {})
                return physical_id, known.get("Attributes", {})
            return original(resource_type, physical_id, resolved(old), resolved(new), stack_name, logical_id, old_attrs)

        return updated

    replace(provisioners, "_provision_resource", provision)
    for module in (provisioners, stacks):
        replace(module, "_update_resource", update)


def _vpc_attributes() -> None:
    """`!GetAtt Vpc.CidrBlock`, which MiniStack does not return."""

    def with_cidr_block(original: Callable[..., Any]) -> Callable[..., Any]:
        def provision(*args: Any, **kwargs: Any) -> Any:
            from ministack.services import ec2

            vpc_id, attributes = original(*args, **kwargs)
            return vpc_id, {**attributes, "CidrBlock": ec2._vpcs[vpc_id]["CidrBlock"]}

        return provision

    wrap_resource("AWS::EC2::VPC", "create", with_cidr_block)
    wrap_resource("AWS::EC2::VPC", "update", with_cidr_block)


def _security_group_rules() -> None:
    """AWS::EC2::SecurityGroupIngress and -Egress: how two groups can name each other."""
    from ministack.services import ec2
    from ministack.services.cloudformation import provisioners

    def permission(props: dict[str, Any]) -> dict[str, Any]:
        rule: dict[str, Any] = {
            "IpProtocol": str(props.get("IpProtocol", "-1")),
            "IpRanges": [],
            "Ipv6Ranges": [],
            "PrefixListIds": [],
            "UserIdGroupPairs": [],
        }
        for port in ("FromPort", "ToPort"):
            if port in props:
                rule[port] = int(props[port])
        description = {"Description": props["Description"]} if "Description" in props else {}
        group = props.get("SourceSecurityGroupId") or props.get("DestinationSecurityGroupId")
        prefix_list = props.get("SourcePrefixListId") or props.get("DestinationPrefixListId")
        if group:
            rule["UserIdGroupPairs"] = [{"GroupId": group, **description}]
        elif prefix_list:
            rule["PrefixListIds"] = [{"PrefixListId": prefix_list, **description}]
        elif "CidrIp" in props:
            rule["IpRanges"] = [{"CidrIp": props["CidrIp"], **description}]
        return rule

    def handlers(table: str) -> dict[str, Any]:
        def create(logical_id: str, props: dict[str, Any], stack_name: str) -> tuple[str, dict[str, Any]]:
            ec2._security_groups[props["GroupId"]][table].append(permission(props))
            identity = f"{stack_name}-{logical_id}"
            return identity, {"Id": identity}

        def delete(_physical_id: str, props: dict[str, Any]) -> None:
            group = ec2._security_groups.get(props["GroupId"])
            if group and permission(props) in group[table]:
                group[table].remove(permission(props))

        def update(physical_id: str, old: dict[str, Any], new: dict[str, Any], stack_name: str) -> Any:
            delete(physical_id, old)
            _, attributes = create(physical_id.removeprefix(f"{stack_name}-"), new, stack_name)
            return physical_id, attributes

        return {"create": create, "update": update, "delete": delete}

    provisioners._RESOURCE_HANDLERS["AWS::EC2::SecurityGroupIngress"] = handlers("IpPermissions")
    provisioners._RESOURCE_HANDLERS["AWS::EC2::SecurityGroupEgress"] = handlers("IpPermissionsEgress")
