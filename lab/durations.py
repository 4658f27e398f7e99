"""How long AWS takes: one table, each figure with where it comes from.

AWS publishes few of these. A figure without a document is a typical observation and says so: the lab uses them so
that a failover in the lab has the shape of one on AWS, not to predict a recovery time to the second.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Duration(NamedTuple):
    """AWS seconds that an operation takes, and where the figure comes from."""

    seconds: float
    source: str


_DURATIONS: Final[dict[str, Duration]] = {
    # RDS for MySQL
    "db-create": Duration(600, "observed: a small MySQL instance is available after 5-15 minutes"),
    "replica-create": Duration(
        1200, "observed: snapshot, cross-region copy and restore of a small database, 15-30 minutes"
    ),
    "promotion": Duration(180, "RDS User Guide, Promoting a read replica: 'can take several minutes'; observed 2-5"),
    "reboot": Duration(90, "RDS User Guide, Rebooting a DB instance: usually 60-120 seconds of outage"),
    "db-modify": Duration(30, "observed: a change that needs no restart"),
    "db-rename": Duration(90, "RDS User Guide, Renaming a DB instance: the instance reboots"),
    "db-backup": Duration(60, "observed: an incremental automated backup of a small instance"),
    "db-delete": Duration(120, "observed, without a final snapshot"),
    "snapshot-create": Duration(120, "observed: an incremental snapshot of a small instance"),
    "snapshot-copy": Duration(300, "observed: an incremental cross-region copy of a small snapshot"),
    "snapshot-restore": Duration(600, "observed: as a new instance"),
    # EC2 and Auto Scaling
    "instance-boot": Duration(75, "observed: pending, kernel, cloud-init and the application's process up"),
    "instance-terminate": Duration(20, "observed: shutting-down to terminated"),
    "asg-tick": Duration(10, "observed: Auto Scaling acts on a new desired capacity within seconds"),
    "image-create": Duration(180, "observed: an image of a small root volume, incremental snapshot"),
    "image-copy": Duration(300, "observed: a cross-region copy, incremental"),
    # Elastic Load Balancing
    "target-registration": Duration(2, "observed: a registered target is first probed within seconds"),
    # Lambda
    "mapping-enable": Duration(
        20, "Lambda Developer Guide: an event source mapping's change takes up to about a minute"
    ),
    "mapping-disable": Duration(10, "as above"),
    # Data that crosses regions
    "s3-replication": Duration(5, "S3 User Guide: most objects replicate within seconds; 15 minutes promised with RTC"),
    "secret-replication": Duration(2, "observed: a replica secret follows within seconds"),
    # Events
    "parameter-event": Duration(1, "observed: EventBridge delivers within about a second, best effort"),
}

BASE_IMAGE_NAME: Final = "lab-base"
"""The machine image that each region of the lab has from the start, found by its name as on AWS (DescribeImages)."""


def duration(operation: str) -> float:
    """Return the AWS seconds that ``operation`` takes.

    Parameters
    ----------
    operation
        A key of the table, for example ``promotion``.

    Returns
    -------
    float
        AWS seconds.
    """
    return _DURATIONS[operation].seconds


def table() -> dict[str, Duration]:
    """Return the whole table, for a report.

    Returns
    -------
    dict[str, Duration]
        Operation to duration and source.
    """
    return dict(_DURATIONS)
