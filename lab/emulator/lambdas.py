"""Lambda: what of a function carries a region's posture, and how long a trigger takes to change."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from lab.durations import duration
from lab.emulator import replace, runtime_python, wrap_resource

if TYPE_CHECKING:
    from collections.abc import Callable

    from lab.world import Lab

    Handler = Callable[..., Any]


def install(lab: Lab) -> None:
    """Complete MiniStack's Lambda.

    Parameters
    ----------
    lab
        Its clock times the transitions.
    """
    _run_functions_as_aws_does(lab)
    _keep_reserved_concurrency()
    _let_mappings_take_their_time(lab)
    _retry_on_the_clock(lab)


def _run_functions_as_aws_does(lab: Lab) -> None:
    from ministack.core import lambda_runtime

    python = str(runtime_python(lab.home))

    def detect(original: Handler) -> Handler:
        def detected(runtime: str) -> tuple[str, str]:
            binary, script = original(runtime)
            return (python, script) if runtime.startswith("python") else (binary, script)

        return detected

    # MiniStack runs a function under the Python it runs under itself, with all that is installed there.
    replace(lambda_runtime, "_detect_runtime_binary", detect)


def _keep_reserved_concurrency() -> None:
    """CloudFormation's ReservedConcurrentExecutions, which MiniStack drops.

    AWS: set when declared; taken away when the template declared it before and does not any more; never touched when
    the template does not speak of it, so that a reservation made through the API outlives a deploy.
    """
    from ministack.services import lambda_svc

    def apply(name: str, old: dict[str, Any], new: dict[str, Any]) -> None:
        declared, before = new.get("ReservedConcurrentExecutions"), old.get("ReservedConcurrentExecutions")
        if declared is not None and declared != before:
            lambda_svc._functions[name]["concurrency"] = int(declared)
        elif declared is None and before is not None:
            lambda_svc._functions[name]["concurrency"] = None

    def create(original: Handler) -> Handler:
        def created(logical_id: str, props: dict[str, Any], stack_name: str) -> Any:
            name, attributes = original(logical_id, props, stack_name)
            apply(name, {}, props)
            return name, attributes

        return created

    def update(original: Handler) -> Handler:
        def updated(physical_id: str, old: dict[str, Any], new: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
            name, attributes = original(physical_id, old, new, *args, **kwargs)
            apply(name, old if name == physical_id else {}, new)
            return name, attributes

        return updated

    wrap_resource("AWS::Lambda::Function", "create", create)
    wrap_resource("AWS::Lambda::Function", "update", update)


def _let_mappings_take_their_time(lab: Lab) -> None:
    """Event source mappings change in steps: Enabling or Disabling first, and a change meanwhile is refused."""
    from ministack.core.responses import error_response_json
    from ministack.services import lambda_svc

    def settle(esm: dict[str, Any], *, enabled: bool) -> None:
        esm["Enabled"], esm["State"] = enabled, "Enabled" if enabled else "Disabled"
        esm["LastModified"] = int(time.time())

    def update(original: Handler) -> Handler:
        def updated(esm_id: str, data: dict[str, Any]) -> Any:
            esm = lambda_svc._esms.get(esm_id)
            if esm is None or "Enabled" not in data:
                return original(esm_id, data)
            if esm["State"] in ("Enabling", "Disabling"):
                message = f"Cannot update the event source mapping because it is in use: {esm['State']}."
                return error_response_json("ResourceInUseException", message, 400)
            if bool(data["Enabled"]) == esm["Enabled"]:
                return original(esm_id, data)
            enabled = bool(data["Enabled"])
            # While it is being enabled it does not poll yet; while it is being disabled it still does.
            rest = {name: value for name, value in data.items() if name != "Enabled"}
            esm["State"] = "Enabling" if enabled else "Disabling"
            seconds = duration("mapping-enable" if enabled else "mapping-disable")
            lab.after(seconds, lambda: settle(esm, enabled=enabled), "mapping-transition")
            return original(esm_id, rest)

        return updated

    replace(lambda_svc, "_update_esm", update)

    def create(original: Handler) -> Handler:
        def created(logical_id: str, props: dict[str, Any], stack_name: str) -> Any:
            esm_id, attributes = original(logical_id, props, stack_name)
            # MiniStack reports every mapping of a template as Enabled. CloudFormation waits until it has settled.
            settle(lambda_svc._esms[esm_id], enabled=_true(props.get("Enabled", True)))
            return esm_id, attributes

        return created

    def changed(original: Handler) -> Handler:
        def change(physical_id: str, old: dict[str, Any], new: dict[str, Any], *args: Any) -> Any:
            esm_id, attributes = original(physical_id, old, new, *args)
            if "Enabled" in new:
                settle(lambda_svc._esms[esm_id], enabled=_true(new["Enabled"]))
            return esm_id, attributes

        return change

    wrap_resource("AWS::Lambda::EventSourceMapping", "create", create)
    wrap_resource("AWS::Lambda::EventSourceMapping", "update", changed)


def _retry_on_the_clock(lab: Lab) -> None:
    from ministack.services import lambda_svc

    def follow(_: float) -> None:
        # AWS waits one minute before the first retry of an asynchronous invocation and two before the second.
        lambda_svc._LAMBDA_ASYNC_RETRY_BASE_SECONDS = lab.clock.real(60)
        lambda_svc._LAMBDA_ASYNC_RETRY_MAX_SECONDS = lab.clock.real(120)

    lab.clock.on_change(follow)


def _true(value: object) -> bool:
    return str(value).lower() == "true"
