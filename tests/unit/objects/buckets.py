"""Two buckets in memory, with the words of the adapter: what replication made of their versions is set by the test."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from pilotlight.model import ObjectVersion

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pilotlight.model import Json

ACTIVE, RETURNED = "dev-app-123456789012-eu-central-1", "dev-app-123456789012-eu-west-1"


@dataclass
class _Kept:
    version: ObjectVersion
    status: str
    tags: dict[str, str] = field(default_factory=dict)


class Buckets:
    """Stands in for the adapters ``objects`` and ``evidence``."""

    def __init__(self) -> None:
        self.copied: list[str] = []
        self.refused: set[str] = set()
        self.dies_after: int | None = None
        self._kept: dict[str, dict[str, list[_Kept]]] = {ACTIVE: {}, RETURNED: {}}
        self._files: dict[str, str] = {}
        self._numbers = itertools.count(1)

    def write(self, bucket: str, key: str, modified: str, status: str, **more: Any) -> str:
        """Put a version on top of a key."""
        name = str(more.pop("version", f"v{next(self._numbers)}"))
        tags = more.pop("tags", {})
        self._kept[bucket].setdefault(key, []).insert(
            0, _Kept(ObjectVersion(key, name, modified, 5, latest=True, **more), status, tags)
        )
        return name

    def found(self) -> list[Json]:
        """All lines that were kept."""
        return [json.loads(line) for text in self._files.values() for line in text.splitlines()]

    # The adapters' words

    def by_key(self, bucket: str, after: str, client: Any) -> Iterator[tuple[str, tuple[ObjectVersion, ...]]]:
        for key in sorted(self._kept[bucket]):
            if key > after:
                yield (
                    key,
                    tuple(
                        ObjectVersion(
                            k.version.key, k.version.version, k.version.modified, 5, number == 0, k.version.marker
                        )
                        for number, k in enumerate(self._kept[bucket][key])
                    ),
                )

    def _one(self, bucket: str, key: str, version: str) -> _Kept:
        return next(kept for kept in self._kept[bucket][key] if kept.version.version == version)

    def status(self, bucket: str, key: str, version: str, client: Any) -> str:
        return self._one(bucket, key, version).status

    def settle(self, bucket: str, key: str, status: str) -> None:
        """Let S3 say something else of a key's newest version."""
        self._kept[bucket][key][0].status = status

    def current(self, bucket: str, key: str, client: Any) -> str | None:
        kept = self._kept[bucket].get(key)
        return kept[0].version.version if kept else None

    def tags(self, bucket: str, key: str, version: str, client: Any) -> dict[str, str]:
        return self._one(bucket, key, version).tags

    def copy(self, source: str, destination: str, key: str, version: str, labels: Any, client: Any) -> str | None:
        if key in self.refused:
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "CopyObject")
        if self.dies_after is not None and len(self.copied) >= self.dies_after:
            raise TimeoutError("Lambda stopped it")
        if key in self._kept[destination]:
            return None
        self.copied.append(key)
        return self.write(destination, key, "2026-11-23T02:30:00+00:00", "COMPLETED", tags=dict(labels or {}))

    def lines(self, bucket: str, key: str, client: Any) -> str:
        return self._files[f"{bucket}/{key}"]

    def keep(self, bucket: str, key: str, lines: Any, client: Any) -> str:
        self._files[f"{bucket}/{key}"] = lines.read().decode()
        return f"s3://{bucket}/{key}"
