"""What the game day asks: the AWS API as any team's tools would, and the lab's control API."""

from __future__ import annotations

import json
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from lab.gameday import audit
from lab.gameday.checks import Standing, WorkloadFunction
from lab.gameday.workload import Target

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mypy_boto3_rds.type_defs import DBInstanceTypeDef

ACCESS_KEY: Final = "test"
"""Id and secret at once: the lab believes everyone."""

_CONFIG: Final = Config(connect_timeout=2, read_timeout=15, retries={"total_max_attempts": 2})


class NotThereError(Exception):
    """Something that a deployed environment has is not there."""


class Control:
    """The lab's control API: what no cloud offers, and no product may use.

    Parameters
    ----------
    endpoint
        The lab's address.
    """

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint.rstrip("/")

    def status(self) -> dict[str, Any]:
        """Return how the lab is.

        Returns
        -------
        dict[str, Any]
            As the lab says it.
        """
        return self._ask("GET", "status")

    def lose(self, region: str, mode: str) -> None:
        """Lose a whole region: its APIs, its databases, its instances and all that acts in it.

        Parameters
        ----------
        region
            Its name.
        mode
            What callers of its APIs see: refuse, hang or reset.
        """
        self._ask("POST", f"regions/{region}/outage", {"mode": mode})

    def bring_back(self, region: str) -> None:
        """Bring a lost region back as it was when it was lost.

        Parameters
        ----------
        region
            Its name.
        """
        self._ask("POST", f"regions/{region}/return")

    def order(self, group: str, control: str, **arguments: Any) -> Any:
        """Do something to a part of the lab that no API of AWS does.

        Parameters
        ----------
        group
            For example ``database``.
        control
            One of the group's controls.
        arguments
            What it takes.

        Returns
        -------
        Any
            What it answers.
        """
        return self._ask("POST", f"control/{group}/{control}", arguments)["answer"]

    def backlog(self, region: str) -> int | None:
        """Return how many changes a region's replica has received and not applied, as the lab counts them.

        Parameters
        ----------
        region
            The replica's.

        Returns
        -------
        int | None
            None if there is no replica to ask.
        """
        for database in self.status().get("databases", ()):
            if database["region"] == region and "replication" in database:
                unapplied = database["replication"]["unapplied"]
                return unapplied if isinstance(unapplied, int) and unapplied >= 0 else None
        return None

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        request = urllib.request.Request(
            f"{self._endpoint}/_lab/{path}",
            json.dumps(body or {}).encode() if method == "POST" else None,
            method=method,
        )
        with urllib.request.urlopen(request, timeout=60) as response:
            answer: dict[str, Any] = json.load(response)
        return answer


class Region:
    """One region of a deployed environment, by its AWS API.

    Parameters
    ----------
    endpoint
        Where the API answers.
    name
        The region's name.
    environment
        The environment's name.
    """

    def __init__(self, endpoint: str, name: str, environment: str) -> None:
        self.endpoint = endpoint
        self.name = name
        self.environment = environment
        self._session = boto3.Session(region_name=name, aws_access_key_id=ACCESS_KEY, aws_secret_access_key=ACCESS_KEY)
        self._steps = self._session.client("stepfunctions", endpoint_url=endpoint, config=_CONFIG)

    def target(self) -> Target:
        """Return where clients find the application: the load balancer's listener.

        Returns
        -------
        Target
            Its address as AWS knows it.
        """
        elb = self._session.client("elbv2", endpoint_url=self.endpoint, config=_CONFIG)
        balancer = elb.describe_load_balancers(Names=[f"{self.environment}-alb"])["LoadBalancers"][0]
        listeners = elb.describe_listeners(LoadBalancerArn=balancer["LoadBalancerArn"])["Listeners"]
        if not listeners:
            raise NotThereError(f"{self.environment}-alb in {self.name} has no listener")
        scheme = listeners[0]["Protocol"].lower()
        return Target(self.name, f"{scheme}://{balancer['DNSName']}:{listeners[0]['Port']}")

    def described_database(self) -> DBInstanceTypeDef:
        """Return the database as AWS describes it.

        Returns
        -------
        DBInstanceTypeDef
            All of DescribeDBInstances' answer.
        """
        rds = self._session.client("rds", endpoint_url=self.endpoint, config=_CONFIG)
        return rds.describe_db_instances(DBInstanceIdentifier=f"{self.environment}-db")["DBInstances"][0]

    def database(self, name: str) -> audit.Database:
        """Return how an application in this region reaches the database.

        Parameters
        ----------
        name
            The database's name on the server.

        Returns
        -------
        audit.Database
            Address and credentials, from RDS and Secrets Manager of this region.
        """
        secrets = self._session.client("secretsmanager", endpoint_url=self.endpoint, config=_CONFIG)
        login = json.loads(secrets.get_secret_value(SecretId=f"{self.environment}/database")["SecretString"])
        endpoint = self.described_database()["Endpoint"]
        return audit.Database(endpoint["Address"], endpoint["Port"], login["username"], login["password"], name)

    def state_machine(self, name: str) -> str:
        """Return the ARN of one of the environment's state machines.

        Parameters
        ----------
        name
            For example ``failover``.

        Returns
        -------
        str
            Its ARN.

        Raises
        ------
        NotThereError
            When this region has no such state machine.
        """
        for page in self._steps.get_paginator("list_state_machines").paginate():
            for machine in page["stateMachines"]:
                if machine["name"] == f"{self.environment}-dr-{name}":
                    return machine["stateMachineArn"]
        raise NotThereError(f"{self.name} has no state machine {self.environment}-dr-{name}: deploy the stack first")

    def execution(self, arn: str) -> Execution:
        """Return an execution as it is now.

        Parameters
        ----------
        arn
            The execution's ARN.

        Returns
        -------
        Execution
            Its status, output and whole history.
        """
        # Described before its history is read, so that the history of an ended execution is whole.
        described = self._steps.describe_execution(executionArn=arn)
        events: list[Mapping[str, Any]] = []
        pages = self._steps.get_paginator("get_execution_history")
        for page in pages.paginate(executionArn=arn, PaginationConfig={"PageSize": 1000}):
            events.extend(page["events"])
        cause = ": ".join(filter(None, (described.get("error"), described.get("cause"))))
        output = json.loads(described.get("output") or "{}")
        return Execution(described["status"], events, output if isinstance(output, dict) else {}, cause)

    def configuration(self) -> dict[str, str]:
        """Return what configures the orchestrator here.

        Returns
        -------
        dict[str, str]
            The parameters under ``/<environment>/pilotlight/config/``, without that prefix.
        """
        ssm = self._session.client("ssm", endpoint_url=self.endpoint, config=_CONFIG)
        path = f"/{self.environment}/pilotlight/config"
        pages = ssm.get_paginator("get_parameters_by_path").paginate(Path=path, Recursive=True)
        return {
            parameter["Name"].removeprefix(f"{path}/"): parameter["Value"]
            for page in pages
            for parameter in page["Parameters"]
        }

    def active_region(self) -> str:
        """Return which region is on record here as the active one.

        Returns
        -------
        str
            A region's name.
        """
        ssm = self._session.client("ssm", endpoint_url=self.endpoint, config=_CONFIG)
        name = f"/{self.environment}/pilotlight/active-region"
        return ssm.get_parameter(Name=name)["Parameter"]["Value"]

    def standing(self, database_name: str) -> Standing:
        """Return how the region stands.

        Parameters
        ----------
        database_name
            The database's name on the server.

        Returns
        -------
        Standing
            What could not be read is left out and said.
        """
        found: dict[str, Any] = {}
        unread: dict[str, str] = {}
        parts: dict[str, Callable[[], dict[str, Any]]] = {
            "database": lambda: {"database": self.described_database()},
            "sql": lambda: {"read_only": audit.is_read_only(self.database(database_name))},
            "compute": self._compute,
            "workload": lambda: {"functions": self._functions()},
            "record": lambda: {"active_region": self.active_region()},
        }
        for part, read in parts.items():
            try:
                found |= read()
            except (BotoCoreError, ClientError, LookupError, ValueError, OSError, NotThereError, audit.Error) as error:
                unread[part] = f"{type(error).__name__}: {error}"
        return Standing(self.name, **found, unread=unread)

    def _compute(self) -> dict[str, Any]:
        configured = self.configuration()
        scaling = self._session.client("autoscaling", endpoint_url=self.endpoint, config=_CONFIG)
        groups = scaling.describe_auto_scaling_groups(AutoScalingGroupNames=[f"{self.environment}-asg"])
        group = groups["AutoScalingGroups"][0]
        ec2 = self._session.client("ec2", endpoint_url=self.endpoint, config=_CONFIG)
        running = [each["InstanceId"] for each in group["Instances"] if each["LifecycleState"] == "InService"]
        reservations = ec2.describe_instances(InstanceIds=running)["Reservations"] if running else []
        images = ec2.describe_images(
            Owners=["self"],
            Filters=[
                {"Name": "tag:pilotlight:environment", "Values": [self.environment]},
                {"Name": "state", "Values": ["available"]},
            ],
        )["Images"]
        newest = max(images, key=lambda image: image["CreationDate"], default=None)
        elb = self._session.client("elbv2", endpoint_url=self.endpoint, config=_CONFIG)
        health = [
            each["TargetHealth"]["State"]
            for arn in group.get("TargetGroupARNs", [])
            for each in elb.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
        ]
        return {
            "wanted_capacity": tuple(int(configured[f"capacity-{size}"]) for size in ("min", "desired", "max")),
            "wanted_healthy": int(configured["healthy-targets"]),
            "capacity": (group["MinSize"], group["DesiredCapacity"], group["MaxSize"]),
            "images": tuple(each["ImageId"] for some in reservations for each in some["Instances"]),
            "newest_image": newest["ImageId"] if newest else None,
            "healthy": health.count("healthy"),
        }

    def _functions(self) -> tuple[WorkloadFunction, ...]:
        functions = self._session.client("lambda", endpoint_url=self.endpoint, config=_CONFIG)
        found = []
        for page in functions.get_paginator("list_functions").paginate():
            for each in page["Functions"]:
                tags = functions.list_tags(Resource=each["FunctionArn"])["Tags"]
                if tags.get("pilotlight:workload") != self.environment:
                    continue
                name = each["FunctionName"]
                reserved = functions.get_function_concurrency(FunctionName=name).get("ReservedConcurrentExecutions")
                triggers = functions.list_event_source_mappings(FunctionName=name)["EventSourceMappings"]
                found.append(WorkloadFunction(name, reserved, tuple(trigger["State"] for trigger in triggers)))
        return tuple(found)


@dataclass(frozen=True)
class Execution:
    """An execution of a state machine as it is now."""

    status: str
    events: list[Mapping[str, Any]]
    output: dict[str, Any]
    cause: str
