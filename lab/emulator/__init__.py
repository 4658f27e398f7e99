"""AWS for two regions, in this process: MiniStack, and what it lacks.

This package is the only place that knows MiniStack. Its modules replace private functions of an exactly pinned version,
each module for one service, each change with a comment on what AWS does and what MiniStack does by itself.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractContextManager

    from lab.world import Lab

    Asgi = Callable[..., Awaitable[None]]

# In the order in which they are installed: a later module may build on what an earlier one replaced.
_MODULES: Final = (
    "history",
    "workers",
    "forks",
    "outage",
    "stepfunctions",
    "limits",
    "nested",
    "holds",
    "lambdas",
    "events",
    "delivery",
    "schedules",
    "cloudwatch",
    "s3",
    "secrets",
    "parameters",
    "queues",
    "rds",
    "compute",
    "route53",
    "network",
    "cloudformation",
    "permissions",
)

# What a person's shell may hold that must not reach the emulated services or the Lambda processes.
_UNWANTED: Final = ("AWS_", "PYTHON", "VIRTUAL_ENV", "UV_", "SAM_CLI_", "MINISTACK_", "LOCALSTACK_", "PERSIST")


def configure(lab: Lab) -> None:
    """Set the environment that MiniStack reads when it is imported.

    Parameters
    ----------
    lab
        Its port and home are what MiniStack is told.

    Raises
    ------
    RuntimeError
        When MiniStack was imported before: it would have read another environment.
    """
    if "ministack.app" in sys.modules:
        raise RuntimeError("MiniStack is imported already: one process runs one lab")
    for name in [name for name in os.environ if name.startswith(_UNWANTED)]:
        del os.environ[name]
    scratch = lab.home / "tmp"
    scratch.mkdir()
    os.environ.update(
        {
            "GATEWAY_PORT": str(lab.port),
            "MINISTACK_HOST": "127.0.0.1",
            "MINISTACK_ACCOUNT_ID": lab.account,
            "MINISTACK_REGION": lab.regions[0],
            "AWS_ENDPOINT_URL": lab.endpoint,
            "LAMBDA_EXECUTOR": "local",
            # Permissions are enforced: see permissions.py.
            "AUTH": "true",
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
            # A container engine of the machine is none of the lab's business: MiniStack would tidy up in it.
            "DOCKER_HOST": f"unix://{lab.home / 'no-container-engine'}",
            # Everything that MiniStack writes goes away with the lab's home.
            "TMPDIR": str(scratch),
            # Python's own settings for the Lambda processes: nothing from a person's home.
            "PYTHONNOUSERSITE": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
    )
    tempfile.tempdir = None  # `tempfile` remembers its first answer


def install(lab: Lab) -> Asgi:
    """Import MiniStack, let each module of this package complete it, and return its ASGI application.

    Parameters
    ----------
    lab
        Handed to every module's ``install``.

    Returns
    -------
    Asgi
        Answers AWS requests, without outages: ``lab.server`` adds those.
    """
    configure(lab)
    ministack = importlib.import_module("ministack.app")
    for name in _MODULES:
        importlib.import_module(f"lab.emulator.{name}").install(lab)
    application: Asgi = ministack.app
    return application


def scope(lab: Lab, region: str) -> AbstractContextManager[None]:
    """Act in a region of the lab's account: MiniStack's stores answer for the account and region of the caller.

    Parameters
    ----------
    lab
        Whose account.
    region
        A region's name.

    Returns
    -------
    AbstractContextManager[None]
        Within it, MiniStack's stores are that region's.
    """
    from ministack.core.responses import request_scope

    manager: AbstractContextManager[None] = request_scope(lab.account, region)
    return manager


def here() -> str:
    """Return the region that the calling thread or task acts in.

    Returns
    -------
    str
        A region's name.
    """
    from ministack.core.responses import get_region

    region: str = get_region()
    return region


def replace(module: Any, name: str, wrapper: Callable[[Any], Any]) -> None:
    """Replace ``module.name`` by ``wrapper(original)``; a name that is gone is an error, not a silent no-op.

    Parameters
    ----------
    module
        A module of MiniStack.
    name
        A function of it.
    wrapper
        Takes the original, returns what stands in for it.
    """
    original = getattr(module, name)
    replacement = wrapper(original)
    setattr(module, name, replacement)
    # Tables of handlers hold the function itself, so the name alone is not enough.
    for table in (value for key, value in vars(module).items() if isinstance(value, dict) and key.isupper()):
        for key, value in table.items():
            if value is original:
                table[key] = replacement


# What AWS's Python runtime has beside the standard library.
_RUNTIME_PACKAGES: Final = ("boto3", "botocore", "s3transfer", "jmespath", "dateutil", "urllib3", "six")


def runtime_python(home: Path) -> Path:
    """Return the executable that Lambda processes run under: the standard library and the SDK, as on AWS.

    Any other dependency that a function forgot to bring would otherwise be found in whatever Python the lab runs under.

    Parameters
    ----------
    home
        A directory for the small wrapper and what it adds.

    Returns
    -------
    Path
        An executable that takes a script's path.
    """
    packages = home / "lambda-packages"
    packages.mkdir()
    for name in _RUNTIME_PACKAGES:
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:
            raise RuntimeError(f"{name} is missing in the lab's environment: run scripts/setup")
        found = Path(spec.origin)
        source = found.parent if found.name == "__init__.py" else found
        (packages / source.name).symlink_to(source)
    wrapper = home / "lambda-python"
    shim = Path(__file__).parents[1] / "function_shim.py"
    # -S: no site-packages. The worker puts the function's code and its layers before what PYTHONPATH names.
    wrapper.write_text(
        "#!/bin/sh\n"
        f'export PYTHONPATH="{packages}" LAB_HOME="{home}"\n'
        'case "$1" in -*) ;; *) '
        f'set -- "{shim}" "$@" ;; esac\n'
        f'exec "{sys._base_executable}" -S "$@"\n'  # type: ignore[attr-defined]
    )
    wrapper.chmod(0o755)
    return wrapper


def wrap_resource(resource_type: str, verb: str, wrapper: Callable[[Any], Any]) -> None:
    """Replace how CloudFormation creates, updates or deletes a resource type that MiniStack knows.

    Parameters
    ----------
    resource_type
        For example ``AWS::Lambda::Function``.
    verb
        ``create``, ``update`` or ``delete``.
    wrapper
        Takes the original, returns what stands in for it.
    """
    from ministack.services.cloudformation import provisioners

    handlers = provisioners._RESOURCE_HANDLERS[resource_type]
    handlers[verb] = wrapper(handlers[verb])
