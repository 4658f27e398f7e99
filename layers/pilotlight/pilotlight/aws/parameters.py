"""Parameter Store: the orchestrator's configuration, and the few parameters a switch rewrites."""

from __future__ import annotations

from typing import Any

from pilotlight.aws import clients


def under(path: str, client: Any = None) -> dict[str, str]:
    """Read all parameters under a path.

    Parameters
    ----------
    path
        Without a slash at its end.

    Returns
    -------
    dict
        Name below the path to value.
    """
    ssm = client or clients.near("ssm")
    found: dict[str, str] = {}
    # A page may be empty and still not be the last one, so the paginator and not the content decides.
    for page in ssm.get_paginator("get_parameters_by_path").paginate(Path=path, Recursive=True):
        for parameter in page["Parameters"]:
            found[parameter["Name"].removeprefix(f"{path}/")] = parameter["Value"]
    return found


def values(names: tuple[str, ...], client: Any = None) -> dict[str, str]:
    """Read parameters by name; one that does not exist is left out."""
    answer = (client or clients.near("ssm")).get_parameters(Names=list(names))
    return {parameter["Name"]: parameter["Value"] for parameter in answer["Parameters"]}


def put(name: str, value: str, client: Any = None) -> None:
    """Overwrite a parameter that a deployment made."""
    (client or clients.near("ssm")).put_parameter(Name=name, Value=value, Type="String", Overwrite=True)
