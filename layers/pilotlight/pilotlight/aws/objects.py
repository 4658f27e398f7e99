"""S3: the versions of both buckets, what S3 says of their replication, and copies that write over nothing."""

from __future__ import annotations

import datetime as dt
import itertools
from operator import attrgetter
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from botocore.exceptions import ClientError

from pilotlight.aws import faults
from pilotlight.model import ObjectVersion

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pilotlight.model import Json

RULE = "pilotlight"
_GONE = ("404", "NoSuchKey", "NoSuchVersion", "NotFound", "405", "MethodNotAllowed")
_THERE = ("PreconditionFailed", "ConditionalRequestConflict", "412", "409")
_METRICS = ("OperationsPendingReplication", "BytesPendingReplication", "ReplicationLatency")
_FAILED = "OperationsFailedReplication"


# --- Figures


def figures(
    source: str, destination: str, since: dt.datetime, now: dt.datetime, cloudwatch: Any
) -> tuple[dict[str, tuple[str, float]], float]:
    """Read what S3 has published of the replication between two buckets, in the region of the source.

    Returns
    -------
    tuple
        Metric to moment and value of its newest data point, as far as there is one; and the sum of what failed.
    """
    dimensions = [
        {"Name": "SourceBucket", "Value": source},
        {"Name": "DestinationBucket", "Value": destination},
        {"Name": "RuleId", "Value": RULE},
    ]
    queries = [
        {
            "Id": f"m{number}",
            "MetricStat": {
                "Metric": {"Namespace": "AWS/S3", "MetricName": name, "Dimensions": dimensions},
                "Period": 60,
                "Stat": "Sum" if name == _FAILED else "Maximum",
            },
        }
        for number, name in enumerate((*_METRICS, _FAILED))
    ]
    answer = cloudwatch.get_metric_data(MetricDataQueries=queries, StartTime=since, EndTime=now)
    newest: dict[str, tuple[str, float]] = {}
    failed = 0.0
    for found in answer["MetricDataResults"]:
        name = (*_METRICS, _FAILED)[int(found["Id"][1:])]
        points = sorted(zip(found["Timestamps"], found["Values"], strict=True))
        if name == _FAILED:
            failed = sum(value for _, value in points)
        elif points:
            newest[name] = (_text(points[-1][0]), float(points[-1][1]))
    return newest, failed


# --- Versions


def by_key(bucket: str, after: str, client: Any) -> Iterator[tuple[str, tuple[ObjectVersion, ...]]]:
    """List the versions of a bucket, key by key in the order of names, those after a key.

    Yields
    ------
    tuple
        The key and its versions, the newest first.
    """
    for key, versions in itertools.groupby(_versions(bucket, after, client), attrgetter("key")):
        # Where a listing begins with its marker itself, that has been looked at.
        if key > after:
            yield key, tuple(sorted(versions, key=lambda one: (not one.latest, _reversed(one.modified))))


def _reversed(moment: str) -> float:
    return -dt.datetime.fromisoformat(moment).timestamp()


def _versions(bucket: str, after: str, client: Any) -> Iterator[ObjectVersion]:
    start = {"KeyMarker": after} if after else {}
    for page in client.get_paginator("list_object_versions").paginate(Bucket=bucket, **start):
        # Two lists, each in the order of names: a page has whole stretches of the bucket's one order.
        found = [(one, False) for one in page.get("Versions", ())]
        found += [(one, True) for one in page.get("DeleteMarkers", ())]
        for one, marker in sorted(found, key=lambda pair: pair[0]["Key"]):
            yield ObjectVersion(
                key=one["Key"],
                version=one["VersionId"],
                modified=_text(one["LastModified"]),
                size=int(one.get("Size", 0)),
                latest=bool(one["IsLatest"]),
                marker=marker,
            )


def status(bucket: str, key: str, version: str, client: Any) -> str:
    """Say how far the replication of a version is; empty where it has no such status, ``gone`` where it is no more."""
    try:
        answer = client.head_object(Bucket=bucket, Key=key, VersionId=version)
    except ClientError as error:
        if faults.code(error) in _GONE:
            return "gone"
        raise
    # S3 writes COMPLETED in answers and COMPLETE in some older ones.
    found = str(answer.get("ReplicationStatus", ""))
    return "COMPLETED" if found == "COMPLETE" else found


def current(bucket: str, key: str, client: Any) -> str | None:
    """Name the version that a key has now, empty for a deletion; None where nothing was ever under it."""
    try:
        answer = client.head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if faults.code(error) not in _GONE:
            raise
        headers = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
        return "" if headers.get("x-amz-delete-marker") == "true" else None
    return str(answer.get("VersionId", "null"))


def tags(bucket: str, key: str, version: str, client: Any) -> dict[str, str]:
    """Read the tags of a version."""
    answer = client.get_object_tagging(Bucket=bucket, Key=key, VersionId=version)
    return {tag["Key"]: tag["Value"] for tag in answer["TagSet"]}


def copy(
    source: str, destination: str, key: str, version: str, labels: Mapping[str, str] | None, client: Any
) -> str | None:
    """Copy a version to the other bucket, with metadata and tags, under that bucket's own key, if nothing is there.

    Parameters
    ----------
    labels
        The copy's tags; None for those of the source.
    client
        Of the destination's region.

    Returns
    -------
    str or None
        The copy's version; None where the key is there by now: nothing was written.
    """
    tagging: Json = (
        {} if labels is None else {"TaggingDirective": "REPLACE", "Tagging": urlencode(labels, quote_via=quote)}
    )
    try:
        answer = client.copy_object(
            Bucket=destination,
            Key=key,
            CopySource={"Bucket": source, "Key": key, "VersionId": version},
            IfNoneMatch="*",
            MetadataDirective="COPY",
            **tagging,
        )
    except ClientError as error:
        if faults.code(error) in _THERE:
            return None
        raise
    return str(answer.get("VersionId", ""))


# --- What was found


def lines(bucket: str, key: str, client: Any) -> str:
    """Read what was kept under a name."""
    body: bytes = client.get_object(Bucket=bucket, Key=key)["Body"].read()
    return body.decode()


def _text(moment: dt.datetime) -> str:
    return moment.astimezone(dt.UTC).isoformat(timespec="seconds")
