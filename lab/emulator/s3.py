"""S3: replication as AWS does it.

AWS copies a version seconds after it was written, keeps its version id, says PENDING meanwhile, and catches up after an
outage. MiniStack copies at once, whatever the state of the regions, under another version id.
"""

from __future__ import annotations

import copy
import threading
from typing import TYPE_CHECKING, Any, NamedTuple

from lab.durations import duration
from lab.emulator import replace, scope

if TYPE_CHECKING:
    from collections.abc import Callable

    from lab.world import Lab


class _Transfer(NamedTuple):
    """One version on its way to another region."""

    source: str
    key: str
    rule: dict[str, Any]
    role: str
    version: dict[str, Any] | None  # the object's record; None for a delete marker
    data: Any
    marker_id: str
    due: float


class _Backlog:
    """What is still to be copied. Nothing leaves or enters a lost region; what waits goes when both ends are up."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._lock = threading.Lock()
        self._waiting: list[_Transfer] = []
        lab.on_return(lambda _: self.work())

    def add(self, transfer: _Transfer) -> None:
        with self._lock:
            self._waiting.append(transfer)
        self._lab.after(duration("s3-replication"), self.work, "s3-replication")

    def work(self) -> None:
        now = self._lab.clock.aws_now()
        with self._lock:
            ready = [transfer for transfer in self._waiting if transfer.due <= now and self._reachable(transfer)]
            self._waiting = [transfer for transfer in self._waiting if transfer not in ready]
            for transfer in ready:
                with scope(self._lab, self._lab.regions[0]):
                    _carry_out(transfer)

    def _reachable(self, transfer: _Transfer) -> bool:
        buckets = (transfer.source, _destination_name(transfer.rule))
        return not any(self._lab.is_down(_region_of(name)) for name in buckets)


def install(lab: Lab) -> None:
    """Replicate with a lag, and not while either region is lost.

    Parameters
    ----------
    lab
        Its clock times the lag; a returning region catches up.
    """
    from ministack.services import s3

    backlog = _Backlog(lab)

    def due() -> float:
        return lab.clock.aws_now() + duration("s3-replication") * 0.99  # the clock may wake a little early

    def objects(_: Callable[..., None]) -> Callable[..., None]:
        def replicate(
            bucket: str, key: str, obj: dict[str, Any], data: Any, tags: dict[str, str] | None = None
        ) -> None:
            rule, role = s3._replication_rule_for(bucket, key, tags)
            if rule is not None:
                obj["replication_status"] = "PENDING"
                backlog.add(_Transfer(bucket, key, rule, role, obj, data, "", due()))

        return replicate

    def markers(_: Callable[..., None]) -> Callable[..., None]:
        def replicate(bucket: str, key: str) -> None:
            rule, role = s3._replication_rule_for(bucket, key, None)
            if rule and (rule.get("DeleteMarkerReplication") or {}).get("Status") == "Enabled":
                marker_id = s3._object_versions[(bucket, key)][-1]["version_id"]
                backlog.add(_Transfer(bucket, key, rule, role, None, None, marker_id, due()))

        return replicate

    replace(s3, "_maybe_replicate", objects)
    replace(s3, "_maybe_replicate_delete_marker", markers)


def _carry_out(transfer: _Transfer) -> None:
    from ministack.services import s3

    target = s3._replication_destination(transfer.source, transfer.key, transfer.rule, transfer.role)
    if target is None:
        _report(transfer, "FAILED")
        return
    name, _account, bucket = target
    version_id = transfer.marker_id if transfer.version is None else transfer.version.get("version_id")
    versions = s3._object_versions.setdefault((name, transfer.key), [])
    if any(version["version_id"] == version_id for version in versions):
        return
    prior = bucket["objects"].get(transfer.key)
    if transfer.version is None:
        s3._record_delete_marker(name, transfer.key, prior)
        bucket["objects"].pop(transfer.key, None)
    else:
        replica = copy.deepcopy(transfer.version)
        replica["replication_status"] = "REPLICA"
        bucket["objects"][transfer.key] = replica
        s3._record_object_version(name, transfer.key, prior, replica, transfer.data)
        replica["version_id"] = version_id
        tags = s3._object_tags.get((transfer.source, transfer.key, version_id))
        if tags:
            s3._object_tags[(name, transfer.key, version_id)] = dict(tags)
    # MiniStack numbers what it records; AWS gives a replica the id of what it is a replica of.
    s3._object_versions[(name, transfer.key)][-1]["version_id"] = version_id
    _report(transfer, "COMPLETED")


def _report(transfer: _Transfer, status: str) -> None:
    from ministack.services import s3

    if transfer.version is None:
        return
    transfer.version["replication_status"] = status
    for entry in s3._object_versions.get((transfer.source, transfer.key), []):
        if entry["version_id"] == transfer.version.get("version_id"):
            entry["replication_status"] = status


def _destination_name(rule: dict[str, Any]) -> str:
    return str(rule["Destination"]["Bucket"]).rsplit(":", 1)[-1]


def _region_of(bucket: str) -> str:
    from ministack.services import s3

    for (_account, name), record in list(s3._buckets._data.items()):
        if name == bucket:
            return str(record.get("region", ""))
    return ""
