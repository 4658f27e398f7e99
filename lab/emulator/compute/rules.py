"""Security group rules: one source each, and the same rule however it is described.

MiniStack compares whole permissions, with their owner and several sources at once. So a rule revoked in the words of
DescribeSecurityGroups stays, and says that it is gone: a fence that was never put up.
"""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any, Final

from ministack.services import ec2

from lab.emulator import replace
from lab.emulator.compute.wire import AwsError, Params, Reply, answering, many, one

if TYPE_CHECKING:
    from collections.abc import Callable

_SOURCES: Final = {
    "IpRanges": "CidrIp",
    "Ipv6Ranges": "CidrIpv6",
    "PrefixListIds": "PrefixListId",
    "UserIdGroupPairs": "GroupId",
}


def install() -> None:
    """Let the four actions on rules do what they do on AWS."""
    replace(ec2, "_parse_ip_permissions", _one_source_each)
    replace(ec2, "_rules_match", lambda _: lambda first, second: _identity(first) == _identity(second))
    errors = answering(ec2._error)
    for direction, rules in (("Ingress", "IpPermissions"), ("Egress", "IpPermissionsEgress")):
        for verb, refuse in (("Authorize", _refuse_duplicates), ("Revoke", _refuse_unknown)):
            action = f"{verb}SecurityGroup{direction}"
            ec2._ACTION_MAP[action] = errors(_checked(ec2._ACTION_MAP[action], rules, refuse))


def _one_source_each(original: Callable[..., list[dict[str, Any]]]) -> Callable[..., list[dict[str, Any]]]:
    @wraps(original)
    def parse(params: Params, prefix: str) -> list[dict[str, Any]]:
        return [single for permission in original(params, prefix) for single in _split(permission)]

    return parse


def _split(permission: dict[str, Any]) -> list[dict[str, Any]]:
    empty = {**permission, **{kind: [] for kind in _SOURCES}}
    singles = [{**empty, kind: [source]} for kind in _SOURCES for source in permission.get(kind, [])]
    return singles or [permission]


def _identity(rule: dict[str, Any]) -> tuple[Any, ...]:
    """Return what makes a rule the same rule: its description and the peer's account do not."""
    sources = frozenset(
        (kind, source.get(key) if isinstance(source, dict) else source)
        for kind, key in _SOURCES.items()
        for source in rule.get(kind, [])
    )
    return str(rule["IpProtocol"]), rule.get("FromPort", -1), rule.get("ToPort", -1), sources


def _checked(
    handler: Callable[[Params], Reply], rules: str, refuse: Callable[[set[Any], set[Any]], None]
) -> Callable[[Params], Reply]:
    @wraps(handler)
    def checked(params: Params) -> Reply:
        group = ec2._security_groups.get(one(params, "GroupId"))
        if group and not many(params, "SecurityGroupRuleId"):
            asked = {_identity(rule) for rule in ec2._parse_ip_permissions(params, "IpPermissions")}
            refuse(asked, {_identity(rule) for rule in group[rules]})
        return handler(params)

    return checked


def _refuse_duplicates(asked: set[Any], there: set[Any]) -> None:
    for protocol, low, high, _ in asked & there:
        raise AwsError(
            "InvalidPermission.Duplicate",
            f'the specified rule "{protocol}, from port: {low}, to port: {high}, ALLOW" already exists',
        )


def _refuse_unknown(asked: set[Any], there: set[Any]) -> None:
    if asked - there:
        raise AwsError("InvalidPermission.NotFound", "The specified rule does not exist in this security group.")
