"""Parameter Store in bulk: a region's parameters with all they have, and the changes to copies.

What an API says when it refuses a value may quote it, so errors of writing are told by their code alone.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from pilotlight.aws import faults
from pilotlight.errors import TransientError
from pilotlight.model import Listing, Parameter, ParameterVersion

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

_NAMES_A_CALL = 10
_DESCRIBED_A_CALL = 50
_TAGGED_A_CALL = 100
_NONE = frozenset({"ParameterNotFound", "InvalidResourceId"})


def listed(paths: Iterable[str], client: Any, tagging: Any, wanted: Callable[[str], bool] | None = None) -> Listing:
    """List all parameters under some paths with all that listings tell: everything but labels.

    Three listings and no call for a single parameter: values come 10 a call, what describes them 50, tags 100. Only
    where a value is refused, each secret of its path that is wanted is asked for by its name: one that nobody can
    decrypt holds no other one back.

    Parameters
    ----------
    paths
        One below another is listed only if that one is refused.
    client, tagging
        Clients of one region for ``ssm`` and ``resourcegroupstaggingapi``.
    wanted
        Which secrets are asked for by their names; all if nothing is said.

    Returns
    -------
    Listing
        What there is, and what could not be read.
    """
    tagged = _tags(tagging)
    listing = Listing({}, {}, (), {})
    for path in sorted(paths):
        if any(f"{path}/".startswith(f"{above.rstrip('/')}/") for above in listing.paths):
            continue
        try:
            values, unread = _values(path, client, wanted or (lambda _: True))
        except ClientError as error:
            listing = replace(listing, refused={**listing.refused, path: _refusal(error)})
            continue
        found = _joined(_described(path, client), values, unread, tagged, client)
        listing = replace(
            listing,
            parameters={**listing.parameters, **found},
            unread={**listing.unread, **unread},
            paths=(*listing.paths, path),
        )
    return listing


def _joined(
    described: Mapping[str, dict[str, Any]],
    values: Mapping[str, dict[str, Any]],
    unread: dict[str, str],
    tagged: Mapping[str, Mapping[str, str]],
    client: Any,
) -> dict[str, Parameter]:
    """Join what two listings say of each parameter; note in ``unread`` whose value is refused meanwhile."""
    found: dict[str, Parameter] = {}
    for name in (described.keys() | values.keys()) - unread.keys():
        one = described.get(name), values.get(name)
        if one[0] and one[1] and one[0]["Version"] == one[1]["Version"]:
            found[name] = _parameter(one[0] | {"Value": one[1]["Value"]}, tagged.get(name.lstrip("/"), {}))
            continue
        # It changed while it was listed.
        try:
            fresh = read(name, client)
        except ClientError as error:
            unread[name] = _refusal(error)
            continue
        if fresh:
            found[name] = fresh[0]
    return found


def _refusal(error: ClientError) -> str:
    """Word a refusal; what passes by itself is none.

    Raises
    ------
    ClientError
        It is throttling, or the region's own trouble.
    """
    if isinstance(faults.sorted_into_family(error), TransientError):
        raise error
    return f"{faults.code(error)}: {error.response['Error'].get('Message', '')}".rstrip(": ")


def _values(path: str, client: Any, wanted: Callable[[str], bool]) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """List values by name; and by name why there is none: empty where it was not asked for.

    A page is refused as a whole for one secret whose key is disabled, gone, or not ours to use. Then the path is listed
    once more without decrypting, from its beginning, since no token of one listing is promised to be good for the
    other.
    """
    found: dict[str, dict[str, Any]] = {}
    try:
        for page in _pages(path, client, decrypt=True):
            found |= page
    except ClientError as error:
        _refusal(error)
    else:
        return found, {}
    unread: dict[str, str] = {}
    secrets = []
    for page in _pages(path, client, decrypt=False):
        for name, said in page.items():
            if said["Type"] != "SecureString":
                found[name] = said
            elif name not in found and wanted(name):
                secrets.append(name)
            elif name not in found:
                unread[name] = ""
    for some in chunks(secrets):
        found |= _decrypted(some, client, unread)
    return found, unread


def _pages(path: str, client: Any, *, decrypt: bool) -> Iterator[dict[str, dict[str, Any]]]:
    pages = client.get_paginator("get_parameters_by_path").paginate(Path=path, Recursive=True, WithDecryption=decrypt)
    # A page may be empty and still not be the last one, so the paginator and not the content decides.
    for page in pages:
        yield {parameter["Name"]: parameter for parameter in page["Parameters"]}


def _decrypted(names: list[str], client: Any, unread: dict[str, str]) -> dict[str, dict[str, Any]]:
    """Read secrets together, or, where that is refused, one by one; note in ``unread`` those that are."""
    try:
        answer = client.get_parameters(Names=names, WithDecryption=True)
    except ClientError as error:
        reason = _refusal(error)
        if len(names) > 1:
            return {name: said for one in names for name, said in _decrypted([one], client, unread).items()}
        unread[names[0]] = reason
        return {}
    return {parameter["Name"]: parameter for parameter in answer["Parameters"]}


def _described(path: str, client: Any) -> dict[str, dict[str, Any]]:
    below = {"ParameterFilters": [{"Key": "Path", "Option": "Recursive", "Values": [path]}]}
    only: dict[str, Any] = {} if path == "/" else below
    pages = client.get_paginator("describe_parameters").paginate(
        **only, PaginationConfig={"PageSize": _DESCRIBED_A_CALL}
    )
    return {parameter["Name"]: parameter for page in pages for parameter in page["Parameters"]}


def _tags(tagging: Any) -> dict[str, dict[str, str]]:
    """List the tags of a region's parameters; an ARN has the name without the slash it begins with."""
    pages = tagging.get_paginator("get_resources").paginate(
        ResourceTypeFilters=["ssm:parameter"], PaginationConfig={"PageSize": _TAGGED_A_CALL}
    )
    return {
        resource["ResourceARN"].split(":parameter/", 1)[1]: {tag["Key"]: tag["Value"] for tag in resource["Tags"]}
        for page in pages
        for resource in page["ResourceTagMappingList"]
        if ":parameter/" in resource["ResourceARN"]
    }


def _parameter(said: Mapping[str, Any], tags: Mapping[str, str]) -> Parameter:
    return Parameter(
        name=said["Name"],
        type=said["Type"],
        value=said["Value"],
        version=said["Version"],
        tier=said.get("Tier") or "Standard",
        data_type=said.get("DataType") or "text",
        description=said.get("Description") or "",
        allowed_pattern=said.get("AllowedPattern") or "",
        policies=tuple(policy["PolicyText"] for policy in said.get("Policies") or ()),
        key=said.get("KeyId") or "",
        tags=tags,
    )


def read(name: str, client: Any) -> tuple[Parameter, tuple[ParameterVersion, ...]] | None:
    """Read one parameter as it is now, with every version it had; None where there is none.

    From its history alone, since that says everything at once and of the same moment; and its tags.
    """
    try:
        versions = history(name, client)
        if not versions:
            return None
        now = tags(name, client)
    except ClientError as error:
        if faults.code(error) in _NONE:
            return None
        raise
    last = max(versions, key=lambda said: int(said["Version"]))
    return _parameter(last, now), as_versions(versions)


def tags(name: str, client: Any) -> dict[str, str]:
    """Read a parameter's tags as they are now, which a listing of a whole region's may not know yet."""
    found = client.list_tags_for_resource(ResourceType="Parameter", ResourceId=name)["TagList"]
    return {tag["Key"]: tag["Value"] for tag in found}


def history(name: str, client: Any) -> list[dict[str, Any]]:
    """Read all versions of a parameter; none where there is no such parameter.

    One version whose key is gone refuses them all. Then the present value is read alone, and older secrets have none.
    """
    try:
        return _history(name, client, decrypt=True)
    except ClientError as error:
        if faults.code(error) in _NONE:
            return []
        _refusal(error)
    said = _history(name, client, decrypt=False)
    now = client.get_parameter(Name=name, WithDecryption=True)["Parameter"]
    if now["Version"] != max(int(one["Version"]) for one in said):
        raise TransientError(f"{name} changed while it was read")
    for one in said:
        if one["Version"] == now["Version"]:
            one["Value"] = now["Value"]
        elif one["Type"] == "SecureString":
            one["Value"] = None
    return said


def _history(name: str, client: Any, *, decrypt: bool) -> list[dict[str, Any]]:
    pages = client.get_paginator("get_parameter_history").paginate(Name=name, WithDecryption=decrypt)
    return [said for page in pages for said in page["Parameters"]]


def versions(name: str, client: Any) -> tuple[ParameterVersion, ...]:
    """Read all versions of a parameter with their labels, oldest first."""
    return as_versions(history(name, client))


def as_versions(said: Iterable[Mapping[str, Any]]) -> tuple[ParameterVersion, ...]:
    """Turn a history into facts."""
    return tuple(
        sorted(
            (
                ParameterVersion(
                    one["Version"],
                    one["Type"],
                    one["Value"] or "",
                    one.get("AllowedPattern") or "",
                    tuple(one.get("Labels") or ()),
                    one["Value"] is not None,
                )
                for one in said
            ),
            key=lambda version: version.version,
        )
    )


def version(name: str, client: Any) -> int:
    """Read a parameter's present version; 0 where there is none."""
    try:
        return int(client.get_parameter(Name=name)["Parameter"]["Version"])
    except ClientError as error:
        if faults.code(error) in _NONE:
            return 0
        raise


def value(name: str, client: Any) -> str | None:
    """Read a plain parameter afresh; None where there is none."""
    try:
        return str(client.get_parameter(Name=name)["Parameter"]["Value"])
    except ClientError as error:
        if faults.code(error) in _NONE:
            return None
        raise


def existing(names: Iterable[str], client: Any) -> set[str]:
    """Say which of at most ten parameters exist."""
    return {found["Name"] for found in client.get_parameters(Names=list(names))["Parameters"]}


def chunks(names: Iterable[str]) -> Iterator[list[str]]:
    """Cut names into as many as one call takes."""
    every = list(names)
    for start in range(0, len(every), _NAMES_A_CALL):
        yield every[start : start + _NAMES_A_CALL]


# --- Writing


@contextmanager
def _without_values(what: str, name: str) -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        raise type(faults.sorted_into_family(error))(f"{what} {name}: {faults.code(error)}") from None
    except BotoCoreError as error:
        raise type(faults.sorted_into_family(error))(f"{what} {name}: {type(error).__name__}") from None


def create(parameter: Parameter, client: Any) -> bool:
    """Make a parameter with its tags, in one call; say whether there was none."""
    with _without_values("creating", parameter.name):
        try:
            client.put_parameter(
                **_written(parameter),
                DataType=parameter.data_type,
                Tags=[{"Key": key, "Value": text} for key, text in sorted(parameter.tags.items())],
            )
        except ClientError as error:
            if faults.code(error) == "ParameterAlreadyExists":
                return False
            raise
    return True


def overwrite(parameter: Parameter, client: Any, *, policies_off: bool = False) -> int:
    """Write a new version of a parameter and return its number. Tags stay as they are."""
    more = {"Policies": "[{}]"} if policies_off else {}
    with _without_values("writing", parameter.name):
        answer = client.put_parameter(**_written(parameter) | more, DataType=parameter.data_type, Overwrite=True)
    return int(answer["Version"])


def _written(parameter: Parameter) -> dict[str, Any]:
    written: dict[str, Any] = {
        "Name": parameter.name,
        "Type": parameter.type,
        "Value": parameter.value,
        "Tier": parameter.tier,
        # Said even where there is none: a version that says nothing keeps what the one before it had.
        "Description": parameter.description,
        "AllowedPattern": parameter.allowed_pattern,
    }
    if parameter.policies:
        written["Policies"] = json.dumps([json.loads(text) for text in parameter.policies])
    if parameter.key:
        written["KeyId"] = parameter.key
    return written


def delete(names: Iterable[str], client: Any) -> None:
    """Delete at most ten parameters; those that are gone already are no error."""
    every = list(names)
    with _without_values("deleting", ", ".join(every)):
        client.delete_parameters(Names=every)


def tag(name: str, on: Mapping[str, str], off: Iterable[str], client: Any) -> None:
    """Set and take off tags."""
    with _without_values("tagging", name):
        if gone := list(off):
            client.remove_tags_from_resource(ResourceType="Parameter", ResourceId=name, TagKeys=gone)
        if on:
            tags = [{"Key": key, "Value": text} for key, text in sorted(on.items())]
            client.add_tags_to_resource(ResourceType="Parameter", ResourceId=name, Tags=tags)


def label(name: str, number: int, labels: Iterable[str], client: Any) -> None:
    """Give a version labels; another version that has one loses it."""
    with _without_values("labelling", name):
        client.label_parameter_version(Name=name, ParameterVersion=number, Labels=list(labels))


def unlabel(name: str, number: int, labels: Iterable[str], client: Any) -> None:
    """Take labels off a version."""
    with _without_values("taking labels off", name):
        client.unlabel_parameter_version(Name=name, ParameterVersion=number, Labels=list(labels))
