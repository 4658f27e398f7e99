"""How Route 53 answers: which of a name's records is given, by what their health checks and targets say.

https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/health-checks-how-route-53-chooses-records.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    Record = Mapping[str, Any]

ALIAS_TTL: Final = 60
"""Seconds that an answer from an alias to a load balancer may be kept."""


class Answer(NamedTuple):
    """What a name resolves to at one moment."""

    name: str
    addresses: tuple[str, ...]
    ttl: int
    at: float
    """The AWS second of the answer."""
    set_identifier: str | None = None
    region: str | None = None
    """Of the load balancer that an alias leads to."""
    port: int | None = None
    """Where that load balancer listens: DNS does not tell, but all of the lab's share one address."""


def choose(records: Iterable[Record], healthy: Callable[[Record], bool]) -> Record | None:
    """Choose one of the records that share a name and a type.

    Parameters
    ----------
    records
        With the names of ChangeResourceRecordSets.
    healthy
        Says what is known of a record; see :func:`is_healthy`.

    Returns
    -------
    Record | None
        None when there is none.
    """
    known = list(records)
    primaries = [record for record in known if record.get("Failover") == "PRIMARY"]
    secondaries = [record for record in known if record.get("Failover") == "SECONDARY"]
    if primaries or secondaries:
        for record in [*primaries, *secondaries]:
            if healthy(record):
                return record
        # None is healthy: as if all were.
        return (primaries or secondaries)[0]
    return next((record for record in known if healthy(record)), known[0] if known else None)


def is_healthy(record: Record, check: Callable[[str], bool], target: Callable[[Record], bool]) -> bool:
    """Say whether a record may be given.

    Parameters
    ----------
    record
        One record.
    check
        Says whether a health check, by its id, is healthy.
    target
        Says whether what an alias leads to has a healthy target.

    Returns
    -------
    bool
        A record without a health check whose target is not evaluated is always healthy.
    """
    if (identity := record.get("HealthCheckId")) and not check(identity):
        return False
    alias = record.get("AliasTarget")
    return not (alias and alias.get("EvaluateTargetHealth")) or target(record)


class Opinion:
    """What Route 53 holds a health check to be: healthy until it has learnt otherwise.

    Parameters
    ----------
    config
        With the names of HealthCheckConfig.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.config = config
        self._healthy: bool | None = None
        self._against = 0

    @property
    def healthy(self) -> bool:
        """What the records that name the check are told."""
        if _true(self.config.get("Disabled")):
            return True
        healthy = True if self._healthy is None else self._healthy
        return healthy != _true(self.config.get("Inverted"))

    def learn_from_alarm(self, breaching: bool | None) -> None:
        """Take note of what an alarm's data says.

        Parameters
        ----------
        breaching
            None when there is not enough data.
        """
        if breaching is not None:
            self._healthy = not breaching
            return
        match self.config.get("InsufficientDataHealthStatus", "LastKnownStatus"):
            case "Healthy":
                self._healthy = True
            case "Unhealthy":
                self._healthy = False

    def learn_from_probe(self, answered: bool) -> None:
        """Take note of a probe: it takes ``FailureThreshold`` in a row to change the opinion.

        Parameters
        ----------
        answered
            Whether the endpoint answered as it should.
        """
        held = True if self._healthy is None else self._healthy
        self._against = 0 if answered == held else self._against + 1
        if self._against >= int(self.config.get("FailureThreshold", 3)):
            self._healthy, self._against = answered, 0


def _true(value: object) -> bool:
    return str(value).lower() == "true"
