"""S3: replication as AWS does it.

AWS copies a version seconds after it was written, keeps its version id, says PENDING meanwhile, catches up after an
outage, and publishes what is pending every minute, in the region of the source. MiniStack copies at once, whatever the
state of the regions, under another version id, and publishes nothing.
"""

from __future__ import annotations

import copy
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from lab.durations import duration
from lab.emulator import replace, scope

if TYPE_CHECKING:
    from collections.abc import Callable

    from lab.world import Lab


_MINUTE: Final = 60.0


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
    written: float

    @property
    def bytes(self) -> int:
        return int(self.version["size"]) if self.version else 0


class _Backlog:
    """What is still to be copied. Nothing leaves or enters a lost region; what waits goes when both ends are up."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._lock = threading.Lock()
        self._waiting: list[_Transfer] = []
        self._refused: dict[str, str] = {}
        self._failed: Counter[tuple[str, str, str]] = Counter()
        lab.on_return(lambda _: self.work())
        lab.spawn(self._publish, "s3-replication-metrics")
        lab.controls["objects"] = {"refuse": self.refuse, "hold": self.hold, "allow": self.allow}

    # Faults: each for all keys that begin with a prefix, in both directions.

    def refuse(self, prefix: str) -> None:
        """Let replication fail, as it does where the role may not use the other side's key."""
        self._refused[prefix] = "FAILED"

    def hold(self, prefix: str) -> None:
        """Let replication hang: what is written stays pending."""
        self._refused[prefix] = "PENDING"

    def allow(self, prefix: str | None = None) -> None:
        """Take a fault back, or all of them. What has failed stays so, as on AWS; what hung goes on."""
        self._refused = {known: fault for known, fault in self._refused.items() if prefix not in (None, known)}
        self.work()

    def _fault(self, transfer: _Transfer) -> str:
        return next((fault for prefix, fault in self._refused.items() if transfer.key.startswith(prefix)), "")

    def add(self, transfer: _Transfer) -> None:
        with self._lock:
            self._waiting.append(transfer)
        self._lab.after(duration("s3-replication"), self.work, "s3-replication")

    def work(self) -> None:
        now = self._lab.clock.aws_now()
        with self._lock:
            ready = [transfer for transfer in self._waiting if transfer.due <= now and self._reachable(transfer)]
            left = {id(transfer) for transfer in ready}
            self._waiting = [transfer for transfer in self._waiting if id(transfer) not in left]
            for transfer in ready:
                with scope(self._lab, self._lab.regions[0]):
                    if self._fault(transfer) == "FAILED":
                        _report(transfer, "FAILED")
                    else:
                        _carry_out(transfer)
                if transfer.version and transfer.version["replication_status"] == "FAILED":
                    self._failed[_path(transfer)] += 1

    def _reachable(self, transfer: _Transfer) -> bool:
        buckets = (transfer.source, _destination_name(transfer.rule))
        held = self._fault(transfer) == "PENDING"
        return not held and not any(self._lab.is_down(_region_of(name)) for name in buckets)

    # What AWS/S3 says of it, for rules with metrics. A lost region says nothing, and what it would have said is gone.

    def _publish(self) -> None:
        while self._lab.clock.sleep_aws(_MINUTE):
            now = self._lab.clock.aws_now()
            with self._lock:
                waiting, failed = list(self._waiting), dict(self._failed)
                self._failed.clear()
            for path in _measured_paths():
                region = _region_of(path[0])
                if region and not self._lab.is_down(region):
                    mine = [transfer for transfer in waiting if _path(transfer) == path]
                    with scope(self._lab, region):
                        _put_metrics(path, mine, failed.get(path, 0), now)


def install(lab: Lab) -> None:
    """Replicate with a lag, and not while either region is lost.

    Parameters
    ----------
    lab
        Its clock times the lag; a returning region catches up.
    """
    from ministack.services import s3

    backlog = _Backlog(lab)

    def times() -> tuple[float, float]:
        now = lab.clock.aws_now()
        return now + duration("s3-replication") * 0.99, now  # the clock may wake a little early

    def objects(_: Callable[..., None]) -> Callable[..., None]:
        def replicate(
            bucket: str, key: str, obj: dict[str, Any], data: Any, tags: dict[str, str] | None = None
        ) -> None:
            rule, role = s3._replication_rule_for(bucket, key, tags)
            if rule is not None:
                obj["replication_status"] = "PENDING"
                backlog.add(_Transfer(bucket, key, rule, role, obj, data, "", *times()))

        return replicate

    def markers(_: Callable[..., None]) -> Callable[..., None]:
        def replicate(bucket: str, key: str) -> None:
            rule, role = s3._replication_rule_for(bucket, key, None)
            if rule and (rule.get("DeleteMarkerReplication") or {}).get("Status") == "Enabled":
                marker_id = s3._object_versions[(bucket, key)][-1]["version_id"]
                backlog.add(_Transfer(bucket, key, rule, role, None, None, marker_id, *times()))

        return replicate

    replace(s3, "_maybe_replicate", objects)
    replace(s3, "_maybe_replicate_delete_marker", markers)
    _copies_keep_their_conditions()


def _copies_keep_their_conditions() -> None:
    """CopyObject takes If-None-Match and If-Match as PutObject does. MiniStack's writes over whatever is there."""
    from ministack.services import s3

    def copy_object(original: Callable[..., Any]) -> Callable[..., Any]:
        def copying(bucket_name: str, dest_key: str, headers: dict[str, str]) -> Any:
            bucket = s3._ensure_bucket(bucket_name)
            there = bucket["objects"].get(dest_key) if bucket else None
            return s3._check_put_preconditions(headers, there) or original(bucket_name, dest_key, headers)

        return copying

    replace(s3, "_copy_object", copy_object)


type _Path = tuple[str, str, str]


def _path(transfer: _Transfer) -> _Path:
    return transfer.source, _destination_name(transfer.rule), str(transfer.rule.get("ID", ""))


def _measured_paths() -> list[_Path]:
    """List source, destination and rule wherever a rule has its metrics on."""
    from ministack.services import s3

    return [
        (bucket, _destination_name(rule), str(rule.get("ID", "")))
        for (_account, bucket), configuration in list(s3._bucket_replication._data.items())
        for rule in configuration.get("Rules", [])
        if rule["Destination"].get("Metrics", {}).get("Status") == "Enabled"
    ]


def _put_metrics(path: _Path, waiting: list[_Transfer], failed: int, now: float) -> None:
    from ministack.services import cloudwatch

    values = {
        "OperationsPendingReplication": (len(waiting), "Count"),
        "BytesPendingReplication": (sum(transfer.bytes for transfer in waiting), "Bytes"),
        "ReplicationLatency": (max((now - transfer.written for transfer in waiting), default=0.0), "Seconds"),
        "OperationsFailedReplication": (failed, "Count"),
    }
    dimensions = [
        {"Name": name, "Value": value}
        for name, value in zip(("SourceBucket", "DestinationBucket", "RuleId"), path, strict=True)
    ]
    data = [
        {"MetricName": name, "Dimensions": dimensions, "Value": float(value), "Unit": unit}
        for name, (value, unit) in values.items()
    ]
    cloudwatch._put_metric_data({}, {"Namespace": "AWS/S3", "MetricData": data}, is_cbor=False, is_json=True)


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
