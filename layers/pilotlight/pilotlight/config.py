"""Where configuration comes from: a function's environment, and the parameters under ``/<env>/pilotlight/config/``."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pilotlight.errors import PreconditionFailed
from pilotlight.model import (
    ANSWERS,
    MODES,
    Budgets,
    Capacity,
    Crossing,
    Entrance,
    ImageSettings,
    Policy,
    Probing,
    Settings,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


MOST: Final[Mapping[str, int]] = {
    # More is refused by RDS, in the middle of a promotion.
    "backup-retention-days": 35,
    "cool-down-seconds": 604_800,
    "poll-seconds": 60,
    # Looked at every second: an execution's history has an end, see `decide.pace`.
    "drain-budget-seconds": 1_200,
    "freeze-budget-seconds": 600,
    "proof-budget-seconds": 600,
    # A switch ends in time, and one that ends so in its freeze cannot open the source again.
    "approval-timeout-seconds": 7_200,
    "promotion-budget-seconds": 3_600,
    "compute-budget-seconds": 7_200,
    "workload-budget-seconds": 3_600,
    "verify-budget-seconds": 600,
    "snapshot-budget-seconds": 16_200,
    # A re-protection ends after a day: so long for its snapshot, for its replica, and for the objects after them.
    "protection-budget-seconds": 32_400,
    "objects-grace-seconds": 3_600,
    "objects-budget-seconds": 21_600,
}
"""The largest that a setting may be, as the template has it: Parameter Store itself takes anything."""

_MOST_DIGITS: Final = 12


@dataclass(frozen=True, slots=True)
class Environment:
    """A function's environment, checked once at its start."""

    name: str
    region: str
    primary_region: str
    dr_region: str
    state_table: str
    idempotency_table: str
    topic_arn: str

    @classmethod
    def read(cls, variables: Mapping[str, str] = os.environ) -> Environment:
        """Read the environment of a running function.

        Raises
        ------
        PreconditionFailed
            A variable is missing; the message names it.
        """

        def need(variable: str) -> str:
            value = variables.get(variable, "")
            if not value:
                raise PreconditionFailed(
                    f"environment variable {variable} is not set on this function: deploy the stack again"
                )
            return value

        return cls(
            name=need("ENVIRONMENT"),
            region=need("AWS_REGION"),
            primary_region=need("PRIMARY_REGION"),
            dr_region=need("DR_REGION"),
            state_table=variables.get("STATE_TABLE", ""),
            idempotency_table=variables.get("IDEMPOTENCY_TABLE", ""),
            topic_arn=variables.get("NOTIFICATION_TOPIC_ARN", ""),
        )

    @property
    def prefix(self) -> str:
        """Path under which every parameter of the orchestrator lives, without a slash at its end."""
        return f"/{self.name}/pilotlight"

    @property
    def configuration(self) -> str:
        """Path under which the orchestrator's settings are."""
        return f"{self.prefix}/config"

    @property
    def active_region_parameter(self) -> str:
        """Parameter, in each region, that says which one is active: what deployments and the parameter sync follow."""
        return f"{self.prefix}/active-region"

    def other(self, region: str) -> str:
        """Name the other one of the two regions."""
        return self.dr_region if region == self.primary_region else self.primary_region

    @property
    def primary_door(self) -> str:
        """Parameter in DR that says where the primary's load balancer is."""
        return f"{self.prefix}/primary-door"

    @property
    def names(self) -> Names:
        """Names of the resources that stand in both regions."""
        return Names(self.name)


@dataclass(frozen=True, slots=True)
class Names:
    """What things are called. The same in both regions: only the region differs."""

    environment: str

    @property
    def database(self) -> str:
        """RDS instance."""
        return f"{self.environment}-db"

    @property
    def parameter_group(self) -> str:
        """DB parameter group: the instance's own, under the instance's name."""
        return self.database

    @property
    def secret(self) -> str:
        """Secrets Manager secret with the database's credentials."""
        return f"{self.environment}/database"

    @property
    def application_secret(self) -> str:
        """Secrets Manager secret with the credentials of the application's own account."""
        return f"{self.environment}/application"

    @property
    def group(self) -> str:
        """Auto Scaling group."""
        return f"{self.environment}-asg"

    @property
    def launch_template(self) -> str:
        """Launch template of the application's instances."""
        return f"{self.environment}-app"

    @property
    def load_balancer(self) -> str:
        """Application load balancer."""
        return f"{self.environment}-alb"

    @property
    def sql(self) -> str:
        """Function that looks into a region's database, in both regions."""
        return f"{self.environment}-sql"

    @property
    def notify(self) -> str:
        """Function in the DR region that tells the team."""
        return f"{self.environment}-dr-notify"

    @property
    def failover(self) -> str:
        """State machine in the DR region that switches, in either direction."""
        return f"{self.environment}-dr-failover"

    @property
    def reprotect(self) -> str:
        """State machine in the DR region that builds a standby anew."""
        return f"{self.environment}-dr-reprotect"

    @property
    def failback(self) -> str:
        """State machine in the DR region that brings everything back to the primary."""
        return f"{self.environment}-dr-failback"

    @property
    def parameter_sync(self) -> str:
        """Function, event rule and queue that carry the team's parameters, in both regions."""
        return f"{self.environment}-parameter-sync"

    @property
    def objects(self) -> str:
        """Function in the DR region that watches, compares and copies objects."""
        return f"{self.environment}-dr-objects"

    def bucket(self, account: str, region: str) -> str:
        """S3 bucket of the application in a region."""
        return f"{self.environment}-app-{account}-{region}"

    def evidence_bucket(self, account: str, region: str) -> str:
        """S3 bucket of a region for what people are to look through."""
        return f"{self.environment}-evidence-{account}-{region}"

    @property
    def sentinel(self) -> str:
        """Function that closes what should be closed, in both regions."""
        return f"{self.environment}-sentinel"

    @property
    def image(self) -> str:
        """State machine, function and schedule that publish an image of the application, in both regions."""
        return f"{self.environment}-image"

    @property
    def key(self) -> str:
        """Alias of the region's key."""
        return f"alias/{self.environment}-pilotlight"

    @property
    def probe_failed(self) -> str:
        """Alarm in the DR region: the probes of the active region fail."""
        return f"{self.environment}-dr-probe-failed"

    @property
    def replica_lost_source(self) -> str:
        """Alarm in the DR region: the replica has lost its source."""
        return f"{self.environment}-dr-replica-lost-source"

    @property
    def traffic(self) -> str:
        """Function, event rule and alarm in the DR region that say where traffic goes."""
        return f"{self.environment}-dr-traffic"

    @property
    def retired_prefix(self) -> str:
        """What the names of all retired databases begin with."""
        return f"{self.database}-retired-"

    def retired(self, epoch: int) -> str:
        """RDS instance that lost its role in an epoch, kept under a name of its own."""
        return f"{self.retired_prefix}{epoch}"

    def moved(self, epoch: int) -> str:
        """RDS snapshot, in both regions, by which a switch brings the database over."""
        return f"{self.database}-switch-{epoch}"

    @staticmethod
    def final_snapshot(retired: str) -> str:
        """RDS snapshot that is taken of a database before it is retired."""
        return f"{retired}-final"


def _missing(parameter: str, otherwise: str) -> PreconditionFailed:
    return PreconditionFailed(
        f"parameter {parameter} is missing: put it ({_put(parameter)} --type String --value …) or deploy the stack "
        f"again. {otherwise}"
    )


def _wrong(parameter: str, value: str, may_be: str, otherwise: str) -> PreconditionFailed:
    return PreconditionFailed(
        f"parameter {parameter} is {value!r}: it must be {may_be}. Correct it "
        f"({_put(parameter)} --overwrite --value …). {otherwise}"
    )


def _put(parameter: str) -> str:
    # Settings are read where the function runs.
    region = os.environ.get("AWS_REGION", "<the region of this function>")
    return f"aws ssm put-parameter --region {region} --name {parameter}"


def _optional(parameters: Mapping[str, str], name: str) -> str:
    # Parameter Store holds no empty value, so the templates write "-" for none.
    value = parameters.get(name, "-").strip()
    return "" if value == "-" else value


def _parts(value: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in value.split(",") if part.strip())


def _whole_number(
    parameters: Mapping[str, str],
    parameter: str,
    otherwise: str,
    *,
    least: int = 0,
    default: str = "",
    may_be: str = "",
    fits: Callable[[int], bool] = lambda _: True,
) -> int:
    """Read a whole number.

    Parameters
    ----------
    parameters
        The last part of a parameter's name to its value.
    parameter
        Its whole name.
    otherwise
        What was not done as long as it is wrong, and what to do when it is right.
    least
        The smallest that it may be.
    default
        What stands for one that is missing; nothing may, by default.
    may_be, fits
        In words and as a rule, what it may be where that is more than a whole number of at least ``least`` and at most
        what `MOST` says.

    Raises
    ------
    PreconditionFailed
        It is missing or not what it may be.
    """
    value = parameters.get(parameter.rsplit("/", 1)[-1], default).strip()
    if not value:
        raise _missing(parameter, otherwise)
    most = MOST.get(parameter.rsplit("/", 1)[-1])
    may_be = may_be or f"a whole number {f'of at least {least}' if most is None else f'from {least} to {most}'}"
    number = int(value) if value.isdecimal() and len(value) <= _MOST_DIGITS else -1
    if number < least or (most is not None and number > most) or not fits(number):
        raise _wrong(parameter, value, may_be, otherwise)
    return number


def settings_from(parameters: Mapping[str, str], path: str) -> Settings:
    """Turn parameters into settings.

    Parameters
    ----------
    parameters
        Name (the part after ``path``) to value.
    path
        Where they were read, for messages: ``/dev/pilotlight/config``.

    Raises
    ------
    PreconditionFailed
        One is missing or not what it should be; the message names it and the way out.
    """
    otherwise = "Nothing was changed; start again then"

    def text(name: str) -> str:
        try:
            return parameters[name]
        except KeyError:
            raise _missing(f"{path}/{name}", otherwise) from None

    def number(name: str, least: int) -> int:
        return _whole_number(parameters, f"{path}/{name}", otherwise, least=least)

    capacity = Capacity(
        minimum=number("capacity-min", 1), desired=number("capacity-desired", 1), maximum=number("capacity-max", 1)
    )
    if not capacity.minimum <= capacity.desired <= capacity.maximum:
        raise PreconditionFailed(
            f"{path}/capacity-min, -desired, -max are {capacity.minimum}, {capacity.desired}, {capacity.maximum}: "
            "they must rise; correct them and start again"
        )
    return Settings(
        primary_region=text("primary-region"),
        dr_region=text("dr-region"),
        capacity=capacity,
        healthy_targets=number("healthy-targets", 1),
        # 0 would switch automated backups off on the new primary, which then could have no replica.
        backup_retention_days=number("backup-retention-days", 1),
        budgets=Budgets(
            poll=number("poll-seconds", 1),
            drain=number("drain-budget-seconds", 0),
            promotion=number("promotion-budget-seconds", 1),
            compute=number("compute-budget-seconds", 1),
            workload=number("workload-budget-seconds", 1),
            verify=number("verify-budget-seconds", 1),
            freeze=number("freeze-budget-seconds", 1),
            proof=number("proof-budget-seconds", 1),
            protection=number("protection-budget-seconds", 1),
            snapshot=number("snapshot-budget-seconds", 1),
        ),
        cool_down_seconds=number("cool-down-seconds", 0),
        most_lag_seconds=number("most-lag-seconds", 1),
        verify_path=text("verify-path"),
        application_host=_optional(parameters, "application-host"),
        workload_functions=functions_named(_optional(parameters, "workload-functions")),
        hosted_zone=_optional(parameters, "hosted-zone-id"),
    )


def functions_named(value: str) -> tuple[str, ...]:
    """Read the parameter ``workload-functions``: names separated by commas, ``-`` for none."""
    return tuple(name for name in _parts(value) if name != "-")


def crossing_from(parameters: Mapping[str, str], path: str, environment: str) -> Crossing:
    """Turn parameters into what crosses between the regions.

    Parameters
    ----------
    parameters
        Name (the part after ``path``) to value. ``-`` or a missing one means none.
    path
        Where they were read, for messages.
    environment
        Its own path, ``/<environment>/``, always crosses.

    Raises
    ------
    PreconditionFailed
        One is not what it should be; the message names it and the way out.
    """

    def paths(name: str) -> tuple[str, ...]:
        found = _parts(_optional(parameters, name))
        wrong = [part for part in found if not part.startswith("/")]
        if wrong:
            raise PreconditionFailed(
                f"parameter {path}/{name} has {wrong[0]!r}: paths begin with a slash and are separated by commas; "
                "nothing was carried. Correct it; the next reconciliation heals the rest"
            )
        return found

    return Crossing(
        environment=environment,
        paths=(f"/{environment}", *paths("sync-paths")),
        exclude=paths("sync-exclude"),
        rewrite=_rewrite_from(_optional(parameters, "sync-rewrite"), f"{path}/sync-rewrite"),
    )


def policy_from(parameters: Mapping[str, str], path: str) -> Policy:
    """Turn parameters into what a team wants of automation.

    Parameters
    ----------
    parameters
        Name (the part after ``path``) to value.
    path
        Where they were read, for messages.

    Raises
    ------
    PreconditionFailed
        One is missing or not what it should be; the message names it and the way out.
    """
    otherwise = "Nothing was started; start by hand what you want to start"

    def one_of(name: str, known: tuple[str, ...]) -> str:
        value = parameters.get(name, "")
        if not value:
            raise _missing(f"{path}/{name}", otherwise)
        if value not in known:
            raise _wrong(f"{path}/{name}", value, f"one of {', '.join(known)}", otherwise)
        return value

    def seconds(name: str, least: int) -> int:
        return _whole_number(parameters, f"{path}/{name}", otherwise, least=least)

    return Policy(
        failover=one_of("failover-mode", MODES),
        failback=one_of("failback-mode", MODES),
        max_loss_seconds=seconds("max-data-loss-seconds", 0),
        answer_seconds=seconds("approval-timeout-seconds", 60),
        no_answer=one_of("approval-default", ANSWERS),
    )


def image_settings_from(parameters: Mapping[str, str], path: str) -> ImageSettings:
    """Turn parameters into how images are made.

    Parameters
    ----------
    parameters
        Name (the part after ``path``) to value.
    path
        Where they were read, for messages.

    Raises
    ------
    PreconditionFailed
        One is not what it should be; the message names it and the way out.
    """
    otherwise = "No image was made; start again then"
    return ImageSettings(
        keep=_whole_number(parameters, f"{path}/image-keep", otherwise, least=1, default="3"),
        # What CopyImage takes.
        copy_minutes=_whole_number(
            parameters,
            f"{path}/image-copy-minutes",
            otherwise,
            default="0",
            may_be="0, or a multiple of 15 up to 2880",
            fits=lambda value: value % 15 == 0 and value <= 2880,
        ),
    )


def _rewrite_from(text: str, name: str) -> dict[str, dict[str, str]]:
    try:
        found = json.loads(text or "{}")
    except ValueError:
        found = None
    if not isinstance(found, dict) or not all(
        isinstance(regions, dict) and all(isinstance(value, str) and value for value in regions.values())
        for regions in found.values()
    ):
        raise PreconditionFailed(
            f'parameter {name} is not of the form {{"/path/name": {{"region": "value"}}}}: nothing was carried. '
            "Correct it; the next reconciliation heals the rest"
        )
    return found


def _host(url: str) -> str:
    return url.split("/")[2].lower()


def probing_from(parameters: Mapping[str, str], path: str, regions: tuple[str, str]) -> Probing:
    """Turn parameters into what the probe asks.

    A witness in one of the two regions is not asked: DR's own answers a DR that is cut off, and the primary's is as
    lost as the primary.

    Parameters
    ----------
    parameters
        Name (the part after ``path``) to value. ``-`` means none.
    path
        Where they were read, for messages.
    regions
        The two, whose witnesses do not count.

    Raises
    ------
    PreconditionFailed
        One is missing or not what it should be; the message names it and the way out.
    """
    otherwise = "Until then nobody watches the primary"

    def text(name: str) -> str:
        if not parameters.get(name, "").strip():
            raise _missing(f"{path}/{name}", otherwise)
        return _optional(parameters, name)

    rounds = text("probes-per-minute")
    if rounds not in ("1", "2", "3", "4", "6"):
        raise _wrong(f"{path}/probes-per-minute", rounds, "1, 2, 3, 4 or 6", otherwise)
    witnesses = _parts(text("witness-urls"))
    wrong = [url for url in witnesses if not url.startswith(("http://", "https://"))]
    if wrong:
        raise PreconditionFailed(
            f"parameter {path}/witness-urls has {wrong[0]!r}: addresses begin with http:// or https:// and are "
            f"separated by commas; correct it. {otherwise}"
        )
    elsewhere = tuple(url for url in witnesses if not any(region in _host(url) for region in regions))
    if witnesses and not elsewhere:
        raise PreconditionFailed(
            f"parameter {path}/witness-urls names only addresses in {' and '.join(regions)}: they cannot tell whether "
            f"DR is cut off. Name at least one in another region (WitnessUrls), or - for none. {otherwise}"
        )
    return Probing(
        health_path=text("health-path"),
        deep_health_path=text("deep-health-path"),
        witnesses=elsewhere,
        rounds=int(rounds),
        application_host=_optional(parameters, "application-host"),
        observer=_optional(parameters, "observer-health-check"),
    )


def entrance_from(value: str, name: str) -> Entrance:
    """Read where the primary's load balancer is.

    Raises
    ------
    PreconditionFailed
        The parameter is missing or not what it should be.
    """
    try:
        found = json.loads(value)
        return Entrance(str(found["url"]), str(found["dns_name"]), str(found["hosted_zone_id"]))
    except (ValueError, KeyError, TypeError):
        raise PreconditionFailed(
            f"parameter {name} is {value!r}: it must be JSON with url, dns_name and hosted_zone_id. Deploy DR again "
            "while the primary answers. Until then nobody watches the primary"
        ) from None


@dataclass(frozen=True, slots=True)
class ObjectLimits:
    """How long objects may take after a return, in seconds: to cross by themselves, and to be compared and copied."""

    grace_seconds: int
    budget_seconds: int


def object_limits_from(parameters: Mapping[str, str], path: str) -> ObjectLimits:
    """Turn parameters into the limits of comparing and copying objects.

    Parameters
    ----------
    parameters
        Name (the part after ``path``) to value.
    path
        Where they were read, for messages.

    Raises
    ------
    PreconditionFailed
        One is missing or no whole number; the message names it and the way out.
    """

    def seconds(name: str) -> int:
        return _whole_number(parameters, f"{path}/{name}", "No object was touched; start the comparing again then")

    return ObjectLimits(seconds("objects-grace-seconds"), seconds("objects-budget-seconds"))
