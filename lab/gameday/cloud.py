"""What the game day asks: the AWS API as any team's tools would, and the lab's control API."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from lab.gameday import audit
from lab.gameday.checks import Kept, Standing, WorkloadFunction
from lab.gameday.workload import Target

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mypy_boto3_rds.type_defs import DBInstanceTypeDef

ACCESS_KEY: Final = "test"
"""Id and secret at once: the lab believes everyone."""

_CONFIG: Final = Config(connect_timeout=2, read_timeout=15, retries={"total_max_attempts": 2})


_PATHS: Final = _CONFIG.merge(Config(s3={"addressing_style": "path"}))
"""A bucket's own host name is nothing that a machine could look up here."""


class Answer(NamedTuple):
    """Where a name leads: a region's load balancer, and for how many AWS seconds that may be believed."""

    region: str
    address: str
    port: int
    ttl: float


class Alarm(NamedTuple):
    """What an alarm says, and since when in seconds since the Unix epoch."""

    state: str
    since: float


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

    def resolve(self, name: str) -> Answer | None:
        """Ask the lab's DNS where a name leads.

        Parameters
        ----------
        name
            A host name.

        Returns
        -------
        Answer | None
            None when nobody knows the name.
        """
        try:
            said = self._ask("GET", f"resolve/{name}")
        except urllib.error.HTTPError as error:
            if error.code == HTTPStatus.NOT_FOUND:
                return None
            raise
        if not said.get("region") or not said.get("port"):
            return None
        return Answer(str(said["region"]), str(said["addresses"][0]), int(said["port"]), float(said["ttl"]))

    def pace(self, scale: float) -> None:
        """Let the lab's clock run at another pace.

        Parameters
        ----------
        scale
            AWS seconds that pass in one real second from now on.
        """
        self._ask("POST", "clock", {"scale": scale})

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

    def described_database(self, identifier: str = "") -> DBInstanceTypeDef:
        """Return the database as AWS describes it.

        Parameters
        ----------
        identifier
            Another instance than the environment's own, such as a retired one.

        Returns
        -------
        DBInstanceTypeDef
            All of DescribeDBInstances' answer.
        """
        rds = self._session.client("rds", endpoint_url=self.endpoint, config=_CONFIG)
        name = identifier or f"{self.environment}-db"
        return rds.describe_db_instances(DBInstanceIdentifier=name)["DBInstances"][0]

    def is_closed(self) -> bool:
        """Say whether the region wants no instances and its database is behind its closed door.

        Returns
        -------
        bool
            False also where it cannot be read.
        """
        scaling = self._session.client("autoscaling", endpoint_url=self.endpoint, config=_CONFIG)
        try:
            groups = scaling.describe_auto_scaling_groups(AutoScalingGroupNames=[f"{self.environment}-asg"])
            wanted = groups["AutoScalingGroups"][0]["DesiredCapacity"]
            return wanted == 0 and self.kept(f"{self.environment}-db", "").doors == ("closed",)
        except (BotoCoreError, ClientError, LookupError):
            return False

    def kept(self, identifier: str, snapshot: str) -> Kept:
        """Return how a retired database is kept.

        Parameters
        ----------
        identifier
            The name that it has now.
        snapshot
            Its last snapshot, by name or ARN.

        Returns
        -------
        Kept
            What could not be read is left out and said.
        """
        rds = self._session.client("rds", endpoint_url=self.endpoint, config=_CONFIG)
        ec2 = self._session.client("ec2", endpoint_url=self.endpoint, config=_CONFIG)
        try:
            database = self.described_database(identifier)
            groups = [each["VpcSecurityGroupId"] for each in database.get("VpcSecurityGroups", ())]
            tags = [
                tag["Value"]
                for group in ec2.describe_security_groups(GroupIds=groups)["SecurityGroups"]
                for tag in group.get("Tags", ())
                if tag["Key"] == "pilotlight:door"
            ]
            snapshots = rds.describe_db_snapshots(DBSnapshotIdentifier=snapshot)["DBSnapshots"] if snapshot else []
        except (BotoCoreError, ClientError, KeyError) as error:
            return Kept(self.name, identifier, unread=f"{type(error).__name__}: {error}")
        return Kept(
            self.name,
            identifier,
            status=database["DBInstanceStatus"],
            protected=bool(database.get("DeletionProtection")),
            doors=tuple(tags),
            snapshot=snapshots[0]["Status"] if snapshots else "",
        )

    def document(self, address: str) -> str:
        """Read what a workflow left in S3.

        Parameters
        ----------
        address
            ``s3://bucket/key``; with a slash at its end, everything under it.

        Returns
        -------
        str
            Its text.
        """
        bucket, _, key = address.removeprefix("s3://").partition("/")
        s3 = self._session.client("s3", endpoint_url=self.endpoint, config=_PATHS)
        keys = [key]
        if key.endswith("/"):
            pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=key)
            keys = [each["Key"] for page in pages for each in page.get("Contents", ())]
        return "".join(s3.get_object(Bucket=bucket, Key=each)["Body"].read().decode() for each in keys)

    def database(self, name: str, identifier: str = "") -> audit.Database:
        """Return how to reach the database.

        Parameters
        ----------
        name
            The database's name on the server.
        identifier
            Another instance than the environment's own, such as a retired one.

        Returns
        -------
        audit.Database
            Address and credentials, from RDS and Secrets Manager of this region.
        """
        secrets = self._session.client("secretsmanager", endpoint_url=self.endpoint, config=_CONFIG)
        login = json.loads(secrets.get_secret_value(SecretId=f"{self.environment}/database")["SecretString"])
        endpoint = self.described_database(identifier)["Endpoint"]
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

    def started_since(self, machine: str, moment: float) -> list[str]:
        """List the executions of a state machine that began after a moment, the first one first.

        Parameters
        ----------
        machine
            For example ``failover``.
        moment
            Seconds since the Unix epoch.

        Returns
        -------
        list[str]
            ARNs.
        """
        arn = self.state_machine(machine)
        found = self._steps.list_executions(stateMachineArn=arn, maxResults=100)["executions"]
        since = [each for each in found if each["startDate"].timestamp() >= moment]
        return [each["executionArn"] for each in sorted(since, key=lambda each: each["startDate"])]

    def alarms(self) -> dict[str, Alarm]:
        """Return the environment's alarms that watch the primary.

        Returns
        -------
        dict[str, Alarm]
            Name without the environment's to what it says, and since when.
        """
        watch = self._session.client("cloudwatch", endpoint_url=self.endpoint, config=_CONFIG)
        prefix = f"{self.environment}-dr-"
        told = watch.describe_alarms(AlarmNamePrefix=prefix, AlarmTypes=["MetricAlarm", "CompositeAlarm"])
        return {
            each["AlarmName"].removeprefix(prefix): Alarm(each["StateValue"], each["StateUpdatedTimestamp"].timestamp())
            for each in (*told["MetricAlarms"], *told["CompositeAlarms"])
        }

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
        given = json.loads(described.get("input") or "{}")
        return Execution(
            described["status"],
            sorted(events, key=lambda event: event["id"]),
            output if isinstance(output, dict) else {},
            cause,
            given if isinstance(given, dict) else {},
        )

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
    given: dict[str, Any] = field(default_factory=dict)

    def children(self) -> list[str]:
        """Return the executions that this one has started and waits for, or waited for.

        Returns
        -------
        list[str]
            Their ARNs, in the order in which they were started.
        """
        found = []
        for event in self.events:
            if event["type"] == "TaskSubmitted":
                details = event["taskSubmittedEventDetails"]
                if details.get("resourceType") == "states":
                    found.append(str(json.loads(details["output"])["ExecutionArn"]))
        return found

    def said(self, state: str) -> dict[str, Any]:
        """Return what a state left behind when it was last left.

        Parameters
        ----------
        state
            Its name.

        Returns
        -------
        dict[str, Any]
            Its output; nothing if it was never left.
        """
        for event in reversed(self.events):
            details = event.get("stateExitedEventDetails")
            if details and details["name"] == state:
                output = json.loads(details.get("output") or "{}")
                return output if isinstance(output, dict) else {}
        return {}
