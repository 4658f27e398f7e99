"""Secrets Manager: secrets of templates, and replicas that follow with a lag and not while a region is lost."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

from lab.durations import duration
from lab.emulator import replace, scope

if TYPE_CHECKING:
    from collections.abc import Callable

    from lab.world import Lab


def install(lab: Lab) -> None:
    """Generate secrets as templates say, and let replicas follow the lab's regions.

    Parameters
    ----------
    lab
        Its clock times the replication; a returning region catches up.
    """
    from ministack.services import secretsmanager

    _generate_as_told()

    def reachable(region: str, source_region: str) -> bool:
        return not (lab.is_down(region) or lab.is_down(source_region))

    def sync(original: Callable[[dict[str, Any]], None]) -> Callable[[dict[str, Any]], None]:
        def synced(secret: dict[str, Any]) -> None:
            spec, _ = secretsmanager._secret_scope_from_arn(secret["ARN"])

            def follow() -> None:
                # MiniStack copies to every replica region at once and with no lag.
                near = [
                    status
                    for status in secret.get("ReplicationStatus", [])
                    if reachable(status.get("Region", ""), spec.region)
                ]
                view = copy.copy(secret)
                view["ReplicationStatus"] = near
                with scope(lab, spec.region):
                    original(view)

            lab.after(duration("secret-replication"), follow, "secret-replication")

        return synced

    replace(secretsmanager, "_sync_replicas", sync)

    def catch_up(_: str) -> None:
        for (_account, region, _name), secret in list(secretsmanager._secrets.all_items()):
            if secret.get("ReplicationStatus") and not lab.is_down(region):
                secretsmanager._sync_replicas(secret)

    lab.on_return(catch_up)


def _generate_as_told() -> None:
    """GenerateSecretString takes all that GetRandomPassword takes. MiniStack drops ExcludePunctuation and its likes."""
    from ministack.services import secretsmanager
    from ministack.services.cloudformation import provisioners

    def generate(original: Callable[[dict[str, Any]], str]) -> Callable[[dict[str, Any]], str]:
        def generated(props: dict[str, Any]) -> str:
            wanted = props.get("GenerateSecretString")
            if not wanted or props.get("SecretString"):
                return original(props)
            request = {name: value if name == "ExcludeCharacters" else _plain(value) for name, value in wanted.items()}
            _status, _headers, body = secretsmanager._get_random_password(request)
            password = json.loads(body)["RandomPassword"]
            if "SecretStringTemplate" not in wanted:
                return str(password)
            return json.dumps({**json.loads(wanted["SecretStringTemplate"]), wanted["GenerateStringKey"]: password})

        return generated

    replace(provisioners, "_sm_secret_string", generate)


def _plain(value: Any) -> Any:
    """Read a template's value: numbers and booleans may be written as strings there."""
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    return int(value) if isinstance(value, str) and value.isdigit() else value
