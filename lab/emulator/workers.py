"""Lambda's execution environments: what a failed handler tells, how one is started, and calls that nobody waits for."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import threading
import zipfile
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from lab.emulator import replace

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lab.world import Lab

_RAISED: Final = "__raised__"
"""Under this key a worker hands over what its handler raised."""


def install(lab: Lab) -> None:
    """Complete MiniStack's execution environments.

    Parameters
    ----------
    lab
        Its home holds the unpacked layers.
    """
    _tell_what_was_raised()
    _unpack_layers_once(_Layers(lab.home / "layers"))
    _honour_invocation_type()
    _count_what_runs()


_running: Counter[str] = Counter()
"""Function ARN to how many of its invocations run now."""


def is_busy(arn: str) -> bool:
    """Say whether an invocation of a function runs now.

    Parameters
    ----------
    arn
        The function's.

    Returns
    -------
    bool
        False for whatever is no function.
    """
    return _running[arn] > 0


def _count_what_runs() -> None:
    from ministack.services import lambda_svc

    def dispatch(original: Callable[..., Any]) -> Callable[..., Any]:
        def dispatched(function: dict[str, Any], config: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
            arn = str(config.get("FunctionArn", ""))
            _running[arn] += 1
            try:
                return original(function, config, *args, **kwargs)
            finally:
                _running[arn] -= 1

        return dispatched

    replace(lambda_svc, "_execute_function_dispatch", dispatch)


def _tell_what_was_raised() -> None:
    """On AWS a handler's exception reaches the caller under its class name, and its environment stays warm.

    MiniStack says ``Runtime.HandlerError`` for every exception, so no state machine could catch one by name, and ends
    the process. https://docs.aws.amazon.com/lambda/latest/dg/python-exceptions.html
    """
    from ministack.core import lambda_runtime
    from ministack.services import lambda_svc

    silent = '{"status": "error", "error": str(e), "trace": traceback.format_exc()}'
    telling = (
        f'{{"status": "ok", "result": {{"{_RAISED}": {{"errorMessage": str(e), "errorType": type(e).__name__,'
        ' "stackTrace": traceback.format_tb(e.__traceback__)}}}'
    )
    script = lambda_runtime._PYTHON_WORKER_SCRIPT
    if script.count(silent) != 1:
        raise RuntimeError("MiniStack's worker has changed: its handler's exceptions are told elsewhere")
    lambda_runtime._PYTHON_WORKER_SCRIPT = script.replace(silent, telling)

    def execute(original: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
        def executed(*args: Any, **kwargs: Any) -> dict[str, Any]:
            result = original(*args, **kwargs)
            body = result.get("body")
            if isinstance(body, dict) and set(body) == {_RAISED}:
                return {**result, "body": body[_RAISED], "error": True}
            return result

        return executed

    replace(lambda_svc, "_execute_function_warm", execute)


class _Layers:
    """Layers, unpacked and compiled once for all functions that share them.

    MiniStack unpacks every layer anew for every process, and nothing keeps the bytecode. On AWS a layer is mounted, not
    unpacked, so a cold start here would take several times as long as there.
    """

    def __init__(self, home: Path) -> None:
        self._home = home
        self._lock = threading.Lock()

    def directory(self, content: bytes, python: str) -> str:
        directory = self._home / hashlib.sha256(content).hexdigest()[:16]
        with self._lock:
            if not directory.exists():
                with zipfile.ZipFile(io.BytesIO(content)) as archive:
                    archive.extractall(directory)
                subprocess.run([python, "-m", "compileall", "-q", directory], check=False, stdout=subprocess.DEVNULL)
        return str(directory)


def _unpack_layers_once(layers: _Layers) -> None:
    from ministack.core import lambda_runtime
    from ministack.services import lambda_svc

    def spawn(original: Callable[[Any], None]) -> Callable[[Any], None]:
        def spawned(worker: Any) -> None:
            config = worker.config
            contents = [lambda_svc._resolve_layer_zip(layer) for layer in config.get("Layers", [])]
            python, _ = lambda_runtime._detect_runtime_binary(config.get("Runtime", ""))
            if not all(contents) or not python or "python" not in config.get("Runtime", ""):
                original(worker)
                return
            directories = os.pathsep.join(layers.directory(content, python) for content in contents)
            variables = config.get("Environment", {}).get("Variables", {}) | {"_LAMBDA_LAYERS_DIRS": directories}
            worker.config = {**config, "Layers": [], "Environment": {"Variables": variables}}
            try:
                original(worker)
            finally:
                worker.config = config

        return spawned

    replace(lambda_runtime.Worker, "_spawn", spawn)


def _honour_invocation_type() -> None:
    """``lambda:invoke`` with ``InvocationType: Event`` ends as soon as Lambda has taken the event.

    MiniStack's state machines wait for the function all the same.
    https://docs.aws.amazon.com/step-functions/latest/dg/connect-lambda.html
    """
    from ministack.services import lambda_svc, stepfunctions

    def invoke(original: Callable[[str, Any], Any]) -> Callable[[str, Any], Any]:
        def invoked(resource: str, arguments: Any) -> Any:
            if not resource.endswith("states:::lambda:invoke") or arguments.get("InvocationType") != "Event":
                return original(resource, arguments)
            reference = stepfunctions._resolve_lambda_function_ref(arguments.get("FunctionName", ""), optimized=True)
            function, config, name = lambda_svc._get_func_record_for_ref(reference)
            if not function or not config:
                raise stepfunctions._ExecutionError("Lambda.ResourceNotFoundException", f"Function not found: {name}")
            record = lambda_svc._execution_record_for_config(function, config)
            lambda_svc.invoke_async_with_retry(record, arguments.get("Payload", {}))
            return {"StatusCode": 202, "ExecutedVersion": config.get("Version", "$LATEST"), "Payload": ""}

        return invoked

    replace(stepfunctions, "_invoke_resource", invoke)
