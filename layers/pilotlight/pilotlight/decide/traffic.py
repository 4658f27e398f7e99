"""Where clients are sent: what is published about it, and what people are told.

Nothing here names a record or calls Route 53. DR publishes one number, whether it is the active region; a health check
that was made beforehand follows it, and answers about the application's name follow the health check.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pilotlight.model import Measure

if TYPE_CHECKING:
    from pilotlight.model import Json, Record

METRIC = "TrafficInDr"
# Its own: who may put other numbers of ours may not put this one.
NAMESPACE = "PilotLight/Traffic"
ROUTE_53, TEAM = "route53", "team"
# A health check sees the number after this long, and whoever resolved the name keeps the answer for as long again.
_SEEN = "30 to 90 s"
_TTL_SECONDS = 60


def by(hosted_zone: str) -> str:
    """Say who moves the traffic: Route 53, where there is a hosted zone, or the team."""
    return ROUTE_53 if hosted_zone else TEAM


def measures(record: Record, dr: str) -> tuple[Measure, ...]:
    """Say what is published: 1 while DR is recorded as active, else 0.

    The record alone decides, so a switch that is under way, or that failed, moves nothing.
    """
    return (Measure(METRIC, float(record.active_region == dr)),)


def moved(plan: Json, record: Record) -> Json:
    """Say what moves now that the number is published, by what, and how soon it is seen."""
    return {"published": True, "by": plan["traffic"], "says": _says(plan, record.target)}


def is_published(answer: Json | None) -> bool:
    """Whether the step that moves the traffic said that it had."""
    return bool(answer and answer.get("published"))


def next_step(plan: Json, target: str, answer: Json | None) -> str:
    """Say what the team does about traffic once a region is recorded as active.

    Parameters
    ----------
    plan
        The switch's plan.
    target
        The region that is active now.
    answer
        What the step that moves the traffic said; one that failed says why under ``error``.
    """
    if is_published(answer) and answer and answer.get("says"):
        return str(answer["says"])
    if plan.get("traffic", TEAM) != ROUTE_53:
        return _says(plan, target)
    why = (answer or {}).get("error") or "the step did not answer"
    return (
        f"THE TRAFFIC MAY NOT HAVE MOVED YET: the metric {METRIC} could not be published ({why}). "
        f"{plan['environment']}-dr-traffic tries again every minute by itself. See in three minutes where "
        f"{_name(plan)} leads; if that is not {_balancer(plan)}, publish it by hand (docs/traffic.md)"
    )


def outcome(plan: Json, answer: Json | None) -> str:
    """Say in a few words how it stands with the traffic."""
    if plan.get("traffic", TEAM) != ROUTE_53:
        return "NOT moved: that is the team's"
    return f"{_name(plan)} follows" if is_published(answer) else "perhaps NOT moved yet: see the first step"


def step(plan_traffic: str, host: str, target: str) -> str:
    """Word the plan's line about traffic."""
    if plan_traffic == ROUTE_53:
        return f"let {host} lead to {target}: the metric that its health check follows is published"
    return f"say what the team has to switch itself, so that clients reach {target}"


def _says(plan: Json, target: str) -> str:
    name, balancer = _name(plan), _balancer(plan)
    if plan.get("traffic", TEAM) == ROUTE_53:
        return (
            f"{name} follows to {balancer} in {target} by itself: its health check sees the metric within {_SEEN}, and "
            f"resolvers forget the old address within {_TTL_SECONDS} s after that. See that it does. Clients that keep "
            "connections open, or addresses longer than they should, have to be restarted"
        )
    return (
        f"MOVE THE TRAFFIC, nothing here does: point {name} to {balancer}, the load balancer of {target} (an alias, or "
        f"a CNAME with a TTL of at most {_TTL_SECONDS} s)"
    )


def _name(plan: Json) -> str:
    return plan.get("application_host") or "the application's name"


def _balancer(plan: Json) -> str:
    """Take the load balancer's own name out of its address."""
    return str(plan["door"]).split("://")[-1].split("/")[0].split(":")[0]
