"""Facts that tests start from, each sound: a test changes the one thing that it is about."""

from __future__ import annotations

import dataclasses
from typing import Any

from pilotlight.model import (
    Budgets,
    Capacity,
    Database,
    Door,
    Function,
    Group,
    Image,
    Instance,
    Plan,
    Record,
    Settings,
    Target,
    Trigger,
    as_json,
)

PRIMARY, DR = "eu-west-1", "eu-central-1"
EXECUTION = f"arn:aws:states:{DR}:123456789012:execution:dev-dr-failover:one"
OTHER = f"arn:aws:states:{DR}:123456789012:execution:dev-dr-failover:two"
BUDGETS = Budgets(
    poll=5,
    drain=60,
    promotion=600,
    compute=900,
    workload=300,
    verify=120,
    freeze=100,
    proof=100,
    protection=3600,
    snapshot=3600,
)
SETTINGS = Settings(
    primary_region=PRIMARY,
    dr_region=DR,
    capacity=Capacity(2, 2, 4),
    healthy_targets=2,
    backup_retention_days=7,
    budgets=BUDGETS,
    cool_down_seconds=1800,
    most_lag_seconds=30,
    verify_path="/pilotlight/verify",
    application_host="",
    workload_functions=(),
)
REPLICA = Database(
    identifier="dev-db",
    status="available",
    source=f"arn:aws:rds:{PRIMARY}:123456789012:db:dev-db",
    replication="replicating",
    host="db.example",
    port=3306,
    backup_retention_days=7,
)
PROMOTED = dataclasses.replace(REPLICA, source="", replication="")
IMAGE = Image("ami-2", "dev-app-2", "available", "2026-11-02T00:00:00.000Z")
EMPTY_GROUP = Group("dev-asg", Capacity(0, 0, 4), "dev-app", "1", target_groups=("arn:tg",))
UP_GROUP = dataclasses.replace(
    EMPTY_GROUP,
    capacity=Capacity(2, 2, 4),
    instances=(Instance("i-1", "InService", "Healthy"), Instance("i-2", "InService", "Healthy")),
)
TARGETS = (Target("i-1", "healthy"), Target("i-2", "healthy"))
DOOR = Door("dev-alb.example", 80, "HTTP")
OFF = Function("dev-orders", 0, None, (Trigger("mapping", "Disabled"),))
ON = Function("dev-orders", None, None, (Trigger("mapping", "Enabled"),))
HELD = Record(active_region=PRIMARY, epoch=3, lock="held", holder=EXECUTION, source=PRIMARY, target=DR)
NAMES = {
    "database": "dev-db",
    "group": "dev-asg",
    "load_balancer": "dev-alb",
    "make_image": "make image ENVIRONMENT=dev …",
}


def plan(**changes: Any) -> Plan:
    return dataclasses.replace(
        Plan(
            environment="dev",
            mode="ungraceful",
            source=PRIMARY,
            target=DR,
            epoch=3,
            database="dev-db",
            database_state="a replica",
            database_host="db.example",
            database_port=3306,
            backup_retention_days=7,
            image="ami-2",
            image_name="dev-app-2",
            image_created="2026-11-02",
            group="dev-asg",
            launch_template="dev-app",
            capacity=Capacity(2, 2, 4),
            healthy_targets=2,
            functions=("dev-orders",),
            door="http://dev-alb.example",
            verify_path="/pilotlight/verify",
            application_host="",
            poll_seconds=5,
            most_lag_seconds=30,
            budgets=BUDGETS,
        ),
        **changes,
    )


def event(action: str, **more: Any) -> dict[str, Any]:
    """Make what the state machine sends to a step."""
    return {"action": action, "epoch": 3, "execution": EXECUTION, "plan": as_json(plan())} | more
