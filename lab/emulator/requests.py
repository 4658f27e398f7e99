"""What AWS judges a request by: which action it is, what it is done to, and what the condition keys say.

MiniStack evaluates policies well, but for many of the requests made here it asks about another action (every call about
a function's concurrency is a put to it), about no resource at all, or about the first of several; and what it cannot
name an action for it lets through. Here is the Service Authorization Reference for what this lab is used for, and
nothing more: an action that is not listed is judged as MiniStack sees it.
https://docs.aws.amazon.com/service-authorization/latest/reference/reference.html
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

# A list or a look that IAM knows no resource for: only "*" allows it, whatever the request names.
_OF_NO_RESOURCE: Final = re.compile(
    r"(ec2|autoscaling|elasticloadbalancing):Describe\w+|states:SendTask\w+|cloudwatch:(Get|Put|List)Metric\w+"
    r"|lambda:ListEventSourceMappings|ssm:DescribeParameters|tag:GetResources"
)
# Images and snapshots belong to no account in an ARN.
_EC2_TYPES: Final = {
    "ami": ("", "image"),
    "snap": ("", "snapshot"),
    "i": (None, "instance"),
    "lt": (None, "launch-template"),
    "vol": (None, "volume"),
}
_RDS_NAMES: Final = {
    "DBInstanceIdentifier": "db",
    "SourceDBInstanceIdentifier": "db",
    "DBSnapshotIdentifier": "snapshot",
    "SourceDBSnapshotIdentifier": "snapshot",
    "TargetDBSnapshotIdentifier": "snapshot",
    "DBParameterGroupName": "pg",
    "DBSubnetGroupName": "subgrp",
    "OptionGroupName": "og",
}


@dataclass(frozen=True)
class Check:
    """One thing that has to be allowed."""

    action: str
    resource: str
    keys: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Asked:
    """A request, as far as judging it goes."""

    action: str
    path: str
    fields: Mapping[str, Any]
    region: str
    account: str

    def arn(self, service: str, rest: str, account: str | None = None) -> str:
        """Name something in the request's region; what is an ARN already stays one."""
        owner = self.account if account is None else account
        return rest if rest.startswith("arn:") else f"arn:aws:{service}:{self.region}:{owner}:{rest}"

    def one(self, name: str) -> str:
        """Read a field that holds one text."""
        value = self.fields.get(name, "")
        return str(value[0] if isinstance(value, list) and value else value or "")

    def many(self, name: str) -> list[str]:
        """Read a list, of JSON or of a query."""
        if isinstance(value := self.fields.get(name), list):
            return [str(one) for one in value]
        return [self.one(key) for key in self.fields if re.fullmatch(rf"{re.escape(name)}\.(member\.)?\d+", key)]


def read(action: str, path: str, body: bytes, parameters: Mapping[str, Any], region: str, account: str) -> Asked:
    """Read the fields of a request, whichever of AWS's protocols it speaks.

    Parameters
    ----------
    action
        What IAM calls it.
    path
        The request's.
    body
        The request's.
    parameters
        Of the query, or of a body that is one.
    region
        Whom it was sent to.
    account
        Whose it is.

    Returns
    -------
    Asked
        What the checks are made of.
    """
    fields: Any = None
    if body[:1] == b"{":
        try:
            fields = json.loads(body)
        except ValueError:  # the service will say so
            fields = None
    return Asked(action, path, fields if isinstance(fields, dict) else parameters, region, account)


def name_action(service: str, method: str, path: str, ministacks: str | None) -> str | None:
    """Name the action of a request, where MiniStack names another or none.

    Parameters
    ----------
    service
        As MiniStack calls it.
    method
        The request's.
    path
        The request's.
    ministacks
        What MiniStack says it is.

    Returns
    -------
    str | None
        What IAM calls it; None for what nobody knows.
    """
    if service == "lambda" and path.rstrip("/").endswith("/concurrency"):
        verb = {"GET": "Get", "DELETE": "Delete"}.get(method, "Put")
        return f"lambda:{verb}FunctionConcurrency"
    if service == "lambda" and re.fullmatch(r"/[\d-]+/event-source-mappings/[^/]+/?", path):
        return f"lambda:{ {'GET': 'Get', 'DELETE': 'Delete'}.get(method, 'Update') }EventSourceMapping"
    return ministacks


def checks(asked: Asked, ministacks: str) -> list[Check]:
    """List all that has to be allowed before a request is answered.

    Parameters
    ----------
    asked
        The request.
    ministacks
        The resource that MiniStack would judge it by.

    Returns
    -------
    list[Check]
        At least one; the action itself comes first.
    """
    service, _, name = asked.action.partition(":")
    if _OF_NO_RESOURCE.fullmatch(asked.action):
        return [Check(asked.action, "*", _keys(asked, "*"))]
    named = _NAMERS.get(service)
    found = list(dict.fromkeys(named(asked, name))) if named else []
    own = [Check(asked.action, one, _keys(asked, one)) for one in found or [ministacks]]
    return own + list(_dependent(asked, service, name))


def _ec2(asked: Asked, name: str) -> Iterator[str]:
    if name == "CreateImage":
        yield _ec2_arn(asked, asked.one("InstanceId"))
    if name in ("CreateImage", "CopyImage"):
        # The new ones, which have no name yet. The image that is copied is not judged on AWS either.
        yield asked.arn("ec2", "image/*", "")
    if name == "CreateImage":
        yield asked.arn("ec2", "snapshot/*", "")
    if name in ("DeregisterImage", "DeleteSnapshot"):
        yield from (_ec2_arn(asked, one) for key in ("ImageId", "SnapshotId") if (one := asked.one(key)))
    if name == "CreateLaunchTemplateVersion" and (template := _launch_template(asked)):
        yield _ec2_arn(asked, template["LaunchTemplateId"])
    if name in ("CreateTags", "DeleteTags"):
        yield from (_ec2_arn(asked, one) for one in asked.many("ResourceId"))


def _launch_template(asked: Asked, prefix: str = "") -> dict[str, Any]:
    from ministack.services import ec2

    wanted = asked.one(f"{prefix}LaunchTemplateId"), asked.one(f"{prefix}LaunchTemplateName")
    templates = ec2._launch_templates.values()
    return next((one for one in templates if {one["LaunchTemplateId"], one["LaunchTemplateName"]} & set(wanted)), {})


def _ec2_arn(asked: Asked, identifier: str) -> str:
    owner, kind = _EC2_TYPES.get(identifier.partition("-")[0], (None, ""))
    return asked.arn("ec2", f"{kind}/{identifier}", owner) if kind else "*"


def _rds(asked: Asked, name: str) -> Iterator[str]:
    for key, kind in _RDS_NAMES.items():
        if value := asked.one(key):
            yield value if value.startswith("arn:") else asked.arn("rds", f"{kind}:{value}")
    if name in ("AddTagsToResource", "RemoveTagsFromResource", "ListTagsForResource"):
        yield asked.one("ResourceName")
    # Who asks for all has to be allowed all.
    if name == "DescribeDBInstances" and not asked.one("DBInstanceIdentifier"):
        yield asked.arn("rds", "db:*")
    if name == "DescribeDBSnapshots" and not asked.one("DBSnapshotIdentifier"):
        yield asked.arn("rds", "snapshot:*")


def _ssm(asked: Asked, name: str) -> Iterator[str]:
    if name in ("GetParameters", "DeleteParameters"):
        yield from (_parameter(asked, one) for one in asked.many("Names"))
    elif name == "GetParametersByPath":
        yield _parameter(asked, asked.one("Path"))
    elif name == "GetParameter":
        yield _parameter(asked, asked.one("Name"))


def _parameter(asked: Asked, name: str) -> str:
    if name.startswith("arn:"):
        return name
    # A version or a label that is asked for is no part of the name.
    return asked.arn("ssm", f"parameter/{name.partition(':')[0].strip('/')}")


def _events(asked: Asked, _: str) -> Iterator[str]:
    name = asked.one("Name") or asked.one("Rule")
    if name and asked.one("EventBusName") in ("", "default"):
        yield asked.arn("events", f"rule/{name}")


def _kms(asked: Asked, _: str) -> Iterator[str]:
    from ministack.services import kms

    # An alias stands for its key.
    if key := kms._resolve_key(asked.one("KeyId")):
        yield key["Arn"]


def _lambda(asked: Asked, name: str) -> Iterator[str]:
    if name.endswith("EventSourceMapping") and name != "CreateEventSourceMapping":
        yield asked.arn("lambda", f"event-source-mapping:{asked.path.rstrip('/').rpartition('/')[2]}")


_NAMERS: Final[dict[str, Callable[[Asked, str], Iterable[str]]]] = {
    "ec2": _ec2,
    "rds": _rds,
    "ssm": _ssm,
    "events": _events,
    "kms": _kms,
    "lambda": _lambda,
}


def _dependent(asked: Asked, service: str, name: str) -> Iterator[Check]:
    """List what else the caller needs, because the request tags or starts something."""
    if service == "ec2" and name != "CreateTags":
        for key in asked.fields:
            if re.fullmatch(r"TagSpecification\.\d+\.ResourceType", key):
                yield Check("ec2:CreateTags", _any(asked, asked.one(key)), {"ec2:CreateAction": name})
    if service == "rds" and name.startswith(("Create", "Copy", "Restore")):
        made = {"CreateDBSnapshot": "DBSnapshotIdentifier", "CopyDBSnapshot": "TargetDBSnapshotIdentifier"}
        key = made.get(name, "DBInstanceIdentifier")
        if any(re.match(r"Tags\.(Tag|member)\.\d+\.Key", each) for each in asked.fields):
            yield Check("rds:AddTagsToResource", asked.arn("rds", f"{_RDS_NAMES[key]}:{asked.one(key)}"))
    if name == "UpdateAutoScalingGroup" and (template := _launch_template(asked, "LaunchTemplate.")):
        yield from _to_start(asked, _ec2_arn(asked, template["LaunchTemplateId"]))


def _to_start(asked: Asked, template: str) -> Iterator[Check]:
    """Who gives a group a launch template has to be allowed to start what it starts."""
    keys = {"ec2:LaunchTemplate": template}
    yield Check("ec2:RunInstances", template, keys)
    for kind in ("image", "instance", "network-interface", "security-group", "subnet", "volume"):
        yield Check("ec2:RunInstances", _any(asked, kind), keys)
    for kind in ("instance", "volume"):
        yield Check("ec2:CreateTags", _any(asked, kind), {"ec2:CreateAction": "RunInstances"})


def _any(asked: Asked, kind: str) -> str:
    return asked.arn("ec2", f"{kind}/*", "" if kind in ("image", "snapshot") else None)


def _keys(asked: Asked, resource: str) -> dict[str, Any]:
    """Tell the condition keys that MiniStack knows nothing of."""
    service = asked.action.partition(":")[0]
    if asked.action == "cloudwatch:PutMetricData":
        return {"cloudwatch:namespace": asked.one("Namespace")}
    if service == "kms" and (aliases := _aliases(resource)):
        return {"kms:ResourceAliases": aliases}
    if asked.action.endswith("EventSourceMapping"):
        from ministack.services import lambda_svc

        mapping = lambda_svc._esms.get(resource.rpartition(":")[2]) or {}
        return {"lambda:FunctionArn": mapping["FunctionArn"]} if mapping else {}
    if service == "dynamodb" and (leading := _leading_keys(asked)):
        return {"dynamodb:LeadingKeys": leading}
    return {}


def _aliases(key: str) -> list[str]:
    from ministack.services import kms

    identifier = key.rpartition("/")[2]
    return [f"alias/{arn.partition(':alias/')[2]}" for arn, of in kms._aliases.items() if of == identifier]


def _leading_keys(asked: Asked) -> list[str]:
    """List the partition keys of the items that a request is about."""
    from ministack.services import dynamodb

    table = dynamodb._tables.get(asked.one("TableName").rpartition("/")[2] or "") or {}
    hashes = [one["AttributeName"] for one in table.get("KeySchema", []) if one["KeyType"] == "HASH"]
    item = asked.fields.get("Key") or asked.fields.get("Item") or {}
    return [str(value) for name in hashes for value in (item.get(name) or {}).values()]


def tags_of_ec2() -> Iterator[tuple[str, list[dict[str, str]]]]:
    """Yield what of EC2 is tagged in the region of the caller, for ``aws:ResourceTag``.

    Yields
    ------
    tuple[str, list[dict[str, str]]]
        ARN and tags.
    """
    from ministack.core.responses import get_account_id, get_region
    from ministack.services import ec2

    asked = Asked("", "", {}, get_region(), get_account_id())
    for identifier, tags in ec2._tags.items():
        yield _ec2_arn(asked, identifier), tags
