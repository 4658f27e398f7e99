"""Plain facts about the world, as the core sees them. No AWS shapes above the adapters."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

type Json = dict[str, Any]
type Lock = Literal["free", "held", "failed"]

MODES = ("automatic", "approval", "manual")
ANSWERS = ("approve", "reject")
UNGRACEFUL = "ungraceful"
GRACEFUL = "graceful"
# What the record says while a standby is being built: that takes the same lock, and is asked for elsewhere.
REPROTECT = "reprotect"
REPLICA = "replica"
SNAPSHOT = "snapshot"


def as_json(fact: Any) -> Json:
    """Turn a frozen fact into what a state machine can carry.

    Parameters
    ----------
    fact
        Any dataclass instance of this package.

    Returns
    -------
    dict
        JSON-ready: nested facts become objects, tuples become arrays once serialised.
    """
    return dataclasses.asdict(fact)


@dataclass(frozen=True, slots=True)
class Request:
    """What a person or a rule asks of the failover, already checked. ``automatic`` where an alarm stands behind it."""

    mode: str = UNGRACEFUL
    reason: str = ""
    force: bool = False
    target: str = ""
    method: str = REPLICA
    automatic: bool = False


@dataclass(frozen=True, slots=True)
class Capacity:
    """Sizes of an Auto Scaling group, in instances."""

    minimum: int
    desired: int
    maximum: int

    @property
    def emptied(self) -> Capacity:
        """No instances, and the ceiling stays."""
        return Capacity(0, 0, self.maximum)


@dataclass(frozen=True, slots=True)
class Budgets:
    """How long each part may be waited for, in seconds of waiting between polls."""

    poll: int
    drain: int
    promotion: int
    compute: int
    workload: int
    verify: int
    freeze: int
    proof: int
    protection: int
    snapshot: int


@dataclass(frozen=True, slots=True)
class Settings:
    """The orchestrator's configuration, read from ``/<env>/pilotlight/config/``."""

    primary_region: str
    dr_region: str
    capacity: Capacity
    healthy_targets: int
    backup_retention_days: int
    budgets: Budgets
    cool_down_seconds: int
    most_lag_seconds: int
    verify_path: str
    application_host: str
    workload_functions: tuple[str, ...]
    hosted_zone: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """Who is active, and who is switching. One item in DR's state table.

    Invariant: ``epoch`` only rises, and rises with every taking of the lock, so a step that carries an older epoch
    belongs to a switch that is over. ``since`` is the epoch in which the active region was recorded: what lost its role
    then is named after it, and ``switched`` is the mode of that switch. ``started_by`` says whether the switch that
    took the lock last was started by an ``alarm``; empty for a person. ``frozen`` is when a planned switch began to
    close its source; empty again when that was opened, all of it, or the switch is over. ``insists`` is the mode of the
    switch that may go on with less than it wants, until it is over: whoever goes on with it need not insist again.
    """

    active_region: str
    epoch: int = 0
    lock: Lock = "free"
    holder: str = ""
    taken_at: str = ""
    source: str = ""
    target: str = ""
    mode: str = ""
    reason: str = ""
    cool_down_until: str = ""
    failure: str = ""
    fence: str = ""
    promotion: str = ""
    since: int = 0
    switched: str = ""
    started_by: str = ""
    frozen: str = ""
    insists: str = ""

    @property
    def unfinished(self) -> bool:
        """Whether a switch is under way, or did not end.

        Building a standby takes the lock as well. It brings no region up, and leaves nothing for a switch to resume.
        """
        return self.lock != "free" and self.mode != REPROTECT


@dataclass(frozen=True, slots=True)
class Watch:
    """What DR's probe last saw of the active region. Moments are ISO 8601 with a zone; empty means "not so".

    ``failing_since`` and ``deep_failing_since`` are when the first of an unbroken row of failed rounds was;
    ``source_lost_since`` is when the replica was first seen without its source. ``blind_since`` says that DR could not
    reach its witnesses either: what it saw since then says nothing of the region. ``observers`` is what health checkers
    elsewhere say: ``healthy``, ``unhealthy``, or ``unknown`` where there are none. ``observed_at`` is the beginning of
    the minute that they say it of: a loss that began later is not in it. ``received_at`` is the last look at which the
    replica had received something new; empty where its server could not be asked.
    """

    region: str
    at: str
    ok_at: str = ""
    failing_since: str = ""
    deep_failing_since: str = ""
    source_lost_since: str = ""
    blind_since: str = ""
    heartbeat_at: str = ""
    observers: str = "unknown"
    observed_at: str = ""
    detail: str = ""
    received_at: str = ""


@dataclass(frozen=True, slots=True)
class Observed:
    """What health checkers elsewhere said of an endpoint: 1 healthy, 0 not, of the minute that begins at ``at``."""

    status: float
    at: str


@dataclass(frozen=True, slots=True)
class Automation:
    """The maintenance switch: whether anything may start by itself, and if not, who said so and why."""

    on: bool = True
    reason: str = ""
    by: str = ""
    at: str = ""


@dataclass(frozen=True, slots=True)
class Policy:
    """What a team wants of automation. Modes are one of `MODES`, ``no_answer`` is one of `ANSWERS`.

    ``max_loss_seconds`` is how many seconds of writes a failover may lose without asking. ``answer_seconds`` is how
    long a question waits, ``no_answer`` what is done when nobody has answered by then.
    """

    failover: str
    failback: str
    max_loss_seconds: int
    answer_seconds: int
    no_answer: str


@dataclass(frozen=True, slots=True)
class Database:
    """An RDS instance as promotion sees it."""

    identifier: str
    status: str
    source: str = ""
    replication: str = ""
    replication_normal: bool = True
    pending: tuple[str, ...] = ()
    host: str = ""
    port: int = 0
    backup_retention_days: int = 0
    security_groups: tuple[str, ...] = ()
    arn: str = ""
    resource: str = ""
    """Names this instance and no other, whatever it is called by now."""
    tags: Mapping[str, str] = dataclasses.field(default_factory=dict)
    backup_window: str = ""
    maintenance_window: str = ""

    @property
    def replicates(self) -> bool:
        """Whether RDS says that it replicates, and that all is well with that."""
        return self.replication == "replicating" and self.replication_normal


@dataclass(frozen=True, slots=True)
class DatabaseSnapshot:
    """A snapshot of an RDS instance. ``resource`` is the instance's own, which outlives its name."""

    identifier: str
    status: str
    resource: str = ""


@dataclass(frozen=True, slots=True)
class Doors:
    """The two security groups of a region's database: one lets the application in, the other does not."""

    open: str
    closed: str


@dataclass(frozen=True, slots=True)
class End:
    """How an execution ended, as far as it could be read: empty is unknown.

    ``state`` is the last one that it entered, and ``own`` whether that is a Fail state of its own: any other end was
    made by Step Functions. ``wordless`` says that the step before it failed, as one does that could tell nobody.
    """

    error: str = ""
    cause: str = ""
    state: str = ""
    own: bool | None = None
    wordless: bool = False
    asked: Json | None = None

    @property
    def by_alarm(self) -> bool | None:
        """Whether an alarm had begun it, None where that is not known."""
        return None if self.asked is None else "trigger" in self.asked


@dataclass(frozen=True, slots=True)
class Quiet:
    """What a source that is being frozen says of itself.

    ``position`` names the last transaction it has written, as a GTID set.
    """

    read_only: bool
    connections: int
    position: str


def quiet_from(answer: Mapping[str, Any]) -> Quiet:
    """Read back what the SQL function says of a source that is being frozen."""
    return Quiet(bool(answer["read_only"]), int(answer["connections"]), str(answer["position"]))


@dataclass(frozen=True, slots=True)
class Replication:
    """What a replica has received and what it has applied, as SQL tells it.

    ``unapplied`` counts transactions received but not yet visible; -1 where the server cannot say.
    """

    is_replica: bool
    applied: bool
    unapplied: int = 0
    source_connected: bool = False
    applier_running: bool = False
    received: str = ""
    executed: str = ""
    lag_seconds: int | None = None
    error: str = ""
    read: str = ""
    """How far the source's log was received, as file and position. Moves with every event that comes."""
    receiver_error: str = ""


@dataclass(frozen=True, slots=True)
class Position:
    """How far a database is, as GTID sets: what it has applied of others, and what it could send to a replica.

    MySQL keeps one set for both.
    """

    executed: str
    written: str


@dataclass(frozen=True, slots=True)
class Divergence:
    """What an old database holds that the new one never got.

    ``transactions`` is counted by name, and exact even where the log cannot be read; -1 where there is no name to
    count by. The rest comes from the log: ``listed`` is False where it could not be read, ``truncated`` is True where
    it was read in part, and ``detail`` says why. ``statements`` counts what was made, altered or dropped: a schema that
    lacks a change is another one. ``tables`` has those with the most rows, since what goes through a
    state machine may not be large; ``more_tables`` counts the others, which the evidence has.
    """

    transactions: int
    rows: int = 0
    statements: int = 0
    tables: Mapping[str, Mapping[str, int]] = dataclasses.field(default_factory=dict)
    more_tables: int = 0
    listed: bool = False
    truncated: bool = False
    evidence: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Image:
    """An AMI in one region."""

    identifier: str
    name: str
    state: str
    created: str
    snapshots_complete: bool = True
    tags: Mapping[str, str] = field(default_factory=dict)
    snapshots: tuple[str, ...] = ()
    owner: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class DiskSnapshot:
    """The snapshot of an image's disk. ``seconds`` is how long it took; -1 where EC2 does not say."""

    identifier: str
    state: str
    encrypted: bool = False
    key: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    seconds: float = -1.0


@dataclass(frozen=True, slots=True)
class Key:
    """A region's key as the start of an instance needs it. ``policy`` is its text, empty where it may not be read."""

    arn: str
    state: str
    policy: str = ""
    grantees: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ImageSettings:
    """How images are made: how many pairs are kept, and within how many minutes a copy has to be there (0: any)."""

    keep: int
    copy_minutes: int


@dataclass(frozen=True, slots=True)
class Instance:
    """A member of an Auto Scaling group."""

    identifier: str
    lifecycle: str
    health: str
    launched: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """An Auto Scaling group as it stands."""

    name: str
    capacity: Capacity
    launch_template: str
    version: str
    instances: tuple[Instance, ...] = ()
    target_groups: tuple[str, ...] = ()
    suspended: tuple[str, ...] = ()
    role: str = ""
    """ARN of the service-linked role that it starts instances under; empty for Auto Scaling's default."""


@dataclass(frozen=True, slots=True)
class Target:
    """A target's health as the load balancer judges it."""

    identifier: str
    state: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Door:
    """Where a region's load balancer lets the world in."""

    host: str
    port: int
    protocol: str
    zone: str = ""
    """Hosted zone of AWS's own that its name is in: what an alias record in Route 53 asks for."""

    @property
    def url(self) -> str:
        """Address without a path; the port only where it is not the protocol's own."""
        scheme = "https" if self.protocol == "HTTPS" else "http"
        standard = {"http": 80, "https": 443}[scheme]
        return f"{scheme}://{self.host}" if self.port == standard else f"{scheme}://{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Trigger:
    """An event source mapping of a workload function."""

    identifier: str
    state: str


@dataclass(frozen=True, slots=True)
class Function:
    """A workload function: its switch (reserved concurrency) and its triggers."""

    name: str
    reserved_concurrency: int | None
    active_concurrency: int | None = None
    triggers: tuple[Trigger, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """What a failover will do, and to what. Shown in the execution before anything is changed."""

    environment: str
    mode: str
    source: str
    target: str
    epoch: int
    database: str
    database_state: str
    database_host: str
    database_port: int
    backup_retention_days: int
    image: str
    image_name: str
    image_created: str
    group: str
    launch_template: str
    capacity: Capacity
    healthy_targets: int
    functions: tuple[str, ...]
    door: str
    verify_path: str
    application_host: str
    poll_seconds: int
    most_lag_seconds: int
    budgets: Budgets
    steps: tuple[str, ...] = ()
    method: str = REPLICA
    freeze_estimate: str = ""
    image_age_hours: float = -1.0
    image_version: str = ""
    traffic: str = "team"
    """Who moves the traffic: ``route53``, which follows by itself, or the ``team``."""
    slow_poll_seconds: int = 60
    """Between two looks at what takes hours: snapshot, copy and restore."""


def plan_from(payload: Mapping[str, Any]) -> Plan:
    """Read a plan back from a state machine's data.

    Raises
    ------
    KeyError, TypeError
        The payload is not one that `as_json` of a `Plan` made.
    """
    data = dict(payload)
    data["capacity"] = Capacity(**data["capacity"])
    data["budgets"] = Budgets(**data["budgets"])
    data["functions"] = tuple(data["functions"])
    data["steps"] = tuple(data["steps"])
    return Plan(**data)


@dataclass(frozen=True, slots=True)
class Protection:
    """What a re-protection will do, and to what. Shown in the execution before anything is changed.

    ``retire`` says whether the standby's database has to make room, ``retired`` what it is called then, or is called
    since an earlier run; empty where there is none.
    """

    environment: str
    region: str
    active: str
    epoch: int
    rebuild: bool
    database: str
    database_state: str
    source: str
    source_host: str
    source_port: int
    retire: bool
    retired: str
    retired_epoch: int
    snapshot: str
    functions: tuple[str, ...]
    backup_retention_days: int
    most_lag_seconds: int
    poll_seconds: int
    slow_poll_seconds: int
    budgets: Budgets
    steps: tuple[str, ...] = ()


def protection_from(payload: Mapping[str, Any]) -> Protection:
    """Read a re-protection's plan back from a state machine's data.

    Raises
    ------
    KeyError, TypeError
        The payload is not one that `as_json` of a `Protection` made.
    """
    data = dict(payload)
    data["budgets"] = Budgets(**data["budgets"])
    data["functions"] = tuple(data["functions"])
    data["steps"] = tuple(data["steps"])
    return Protection(**data)


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The last beat of the active database's heart that a server has."""

    at: str
    age_seconds: int


@dataclass(frozen=True, slots=True)
class Mark:
    """The marker of a switchover, and the source's position right after it."""

    position: str
    marked_at: str


@dataclass(frozen=True, slots=True)
class Proof:
    """Whether a replica has all that its source ever committed.

    ``missing`` counts the source's transactions that it has not applied.
    """

    proven: bool
    marker: bool
    missing: int
    applier_running: bool
    detail: str = ""
    executed: str = ""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of the team's, with all that is carried. Its value is in no representation of it, so in no log."""

    name: str
    type: str
    value: str = field(repr=False)
    version: int = 0
    tier: str = "Standard"
    data_type: str = "text"
    description: str = ""
    allowed_pattern: str = ""
    policies: tuple[str, ...] = ()
    key: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Listing:
    """A region's parameters under some paths, and what could not be read of them."""

    parameters: Mapping[str, Parameter]
    unread: Mapping[str, str]
    """Names that are there without a value that could be read, and why; empty where nobody asked for it."""
    paths: tuple[str, ...]
    """What was listed. Whether there is anything elsewhere is not known."""
    refused: Mapping[str, str]
    """Paths that could not be listed, and why."""


@dataclass(frozen=True, slots=True)
class ParameterVersion:
    """One version of a parameter, as labels need it: what it held, and what it is called."""

    version: int
    type: str
    value: str = field(repr=False)
    allowed_pattern: str = ""
    labels: tuple[str, ...] = ()
    readable: bool = True
    """Whether the value is known: an older secret may be under a key that is gone."""


@dataclass(frozen=True, slots=True)
class Crossing:
    """Which parameters of the team's cross between the regions, and which change on the way."""

    environment: str
    paths: tuple[str, ...]
    exclude: tuple[str, ...] = ()
    rewrite: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """How an address answered: its status, or 0 with the reason in ``detail`` when no answer came."""

    status: int
    milliseconds: int = 0
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Following:
    """What a replica says of itself and of its source. ``received`` changes whenever something new has come."""

    is_replica: bool
    source_connected: bool
    received: str = ""
    lag_seconds: int | None = None
    heartbeat_at: str = ""
    heartbeat_age_seconds: int | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Entrance:
    """Where the primary's load balancer is, as it was noted while the primary could be asked."""

    url: str
    dns_name: str
    hosted_zone_id: str


@dataclass(frozen=True, slots=True)
class Probing:
    """What the probe asks, and how often a minute. Empty where there is nothing to ask."""

    health_path: str
    deep_health_path: str
    witnesses: tuple[str, ...]
    rounds: int
    application_host: str
    observer: str


@dataclass(frozen=True, slots=True)
class Measure:
    """A value for CloudWatch, with its unit in CloudWatch's words.

    ``fine`` keeps it by the second, for alarms with periods below a minute. ``role`` tells the active region's from the
    standby's, where both put it.
    """

    name: str
    value: float
    unit: str = "None"
    fine: bool = False
    role: str = ""


@dataclass(frozen=True, slots=True)
class Backlog:
    """What S3 says has not crossed from a region's bucket to the other one's.

    ``measured_at`` is when S3 measured it, ``heard_at`` when it said so last, and ``asked_at`` when it was asked last;
    empty where it has never been heard. ``failed`` counts the operations of the last hour that S3 has given up.
    """

    region: str
    measured_at: str = ""
    operations: int = 0
    bytes: int = 0
    latency_seconds: int = 0
    failed: int = 0
    asked_at: str = ""
    heard_at: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class ObjectVersion:
    """One version of an object, or a delete marker, as a bucket lists it."""

    key: str
    version: str
    modified: str
    size: int = 0
    latest: bool = False
    marker: bool = False


@dataclass(frozen=True, slots=True)
class Switched:
    """The switch after which objects are compared: where it led, and when.

    ``at`` is empty where nobody noted it. ``uncertain_from`` is the first moment of which nobody knows whether what was
    written then had crossed; ``returned_at`` is when the region that was left was known to answer again. What
    has been pending since before ``overdue_before`` is not waited for any longer.
    """

    active: str
    returned: str
    at: str = ""
    uncertain_from: str = ""
    returned_at: str = ""
    overdue_before: str = ""


@dataclass(frozen=True, slots=True)
class SecretFacts:
    """A secret as a region describes it: its current version, the key it is under, and where its copies are.

    ``key`` is empty for the region's AWS-managed one, ``home`` for a secret that is not a copy.
    """

    version: str
    key: str = ""
    home: str = ""
    copies: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Login:
    """What became of logging in to a region's database with that region's own secret."""

    version: str = ""
    logged_in: bool = False
    detail: str = ""
