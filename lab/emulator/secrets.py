"""Secrets Manager: replicas follow with a lag, and not while either region is lost."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from lab.durations import duration
from lab.emulator import replace, scope

if TYPE_CHECKING:
    from collections.abc import Callable

    from lab.world import Lab


def install(lab: Lab) -> None:
    """Let replica secrets follow the lab's regions.

    Parameters
    ----------
    lab
        Its clock times the replication; a returning region catches up.
    """
    from ministack.services import secretsmanager

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
