"""What a person on call does and sees, in the lab: starts failovers, reads how they ended, looks at both regions."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from tests.lab.running import ACCOUNT, DR, PRIMARY, ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.lab.running import RunningLab

MACHINE: Final = f"arn:aws:states:{DR}:{ACCOUNT}:stateMachine:dev-dr-failover"
REPROTECT: Final = f"arn:aws:states:{DR}:{ACCOUNT}:stateMachine:dev-dr-reprotect"
FAILBACK: Final = f"arn:aws:states:{DR}:{ACCOUNT}:stateMachine:dev-dr-failback"
CONFIG: Final = "/dev/pilotlight/config"


@dataclass(frozen=True)
class End:
    """How an execution ended."""

    status: str
    output: dict[str, Any]
    error: str
    cause: str


class Operator:
    """Someone at the keyboard."""

    def __init__(self, lab: RunningLab) -> None:
        self.lab = lab

    # Failovers

    def start(self, machine: str = MACHINE, **fields: Any) -> str:
        """Start a failover (or another machine) and return its ARN. Without fields it is started with no input."""
        given = {"input": json.dumps(fields)} if fields else {}
        arn: str = self.states.start_execution(stateMachineArn=machine, **given)["executionArn"]
        return arn

    def start_from_the_command_line(self) -> str:
        """Start a failover as the runbook says, with the AWS CLI and no input."""
        environment = os.environ | {
            "AWS_ENDPOINT_URL": self.lab.endpoint,
            "AWS_ACCESS_KEY_ID": ACCOUNT,
            "AWS_SECRET_ACCESS_KEY": "lab",
        }
        told = subprocess.run(
            [
                *(ROOT / ".venv/bin/aws", "stepfunctions", "start-execution", "--region", DR),
                *("--state-machine-arn", MACHINE),
            ],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        arn: str = json.loads(told.stdout)["executionArn"]
        return arn

    def end_of(self, arn: str, seconds: float = 180) -> End:
        """Wait until an execution has ended."""
        ended = self.lab.wait_until(
            lambda: (seen := self.states.describe_execution(executionArn=arn))["status"] != "RUNNING" and seen,
            seconds,
            f"{arn} has ended",
        )
        return End(
            ended["status"], json.loads(ended.get("output", "{}")), ended.get("error", ""), ended.get("cause", "")
        )

    def fail_over(self, **fields: Any) -> End:
        """Start a failover and wait for its end."""
        return self.end_of(self.start(**fields))

    def history(self, arn: str) -> list[dict[str, Any]]:
        """Read the whole history of an execution."""
        pages = self.states.get_paginator("get_execution_history").paginate(executionArn=arn)
        return [event for page in pages for event in page["events"]]

    def entered(self, arn: str) -> list[str]:
        """List the states that an execution has entered so far."""
        return [
            event["stateEnteredEventDetails"]["name"]
            for event in self.history(arn)
            if "stateEnteredEventDetails" in event
        ]

    def never_waited_for_the_primary(self, arn: str) -> None:
        """See that nothing on a failover's way asked the primary: the one call that speaks to it was handed over."""
        scheduled = [
            one["taskScheduledEventDetails"] for one in self.history(arn) if "taskScheduledEventDetails" in one
        ]
        spoke = [task for task in scheduled if "dev-dr-fence" in task["parameters"]]
        assert len(spoke) == 1
        assert '"InvocationType":"Event"' in spoke[0]["parameters"].replace(" ", "")
        assert all(
            f'"{PRIMARY}"' not in task["parameters"].split('"plan"')[0] for task in scheduled if task not in spoke
        )

    def children(self, arn: str) -> list[str]:
        """List the executions that an execution has started so far and waited for."""
        return [
            json.loads(event["taskSubmittedEventDetails"]["output"])["ExecutionArn"]
            for event in self.history(arn)
            if "taskSubmittedEventDetails" in event
        ]

    def child(self, arn: str, part: str) -> str:
        """Wait for the child of an execution that carries out a part of it; empty if the parent ends before."""

        def seen() -> str:
            found = [child for child in self.children(arn) if child.endswith(f"-{part}")]
            running = self.states.describe_execution(executionArn=arn)["status"] == "RUNNING"
            return found[-1] if found else "" if running else "ended"

        found = self.until(seen, f"the part {part} is started", 180)
        return "" if found == "ended" else found

    def reaches(self, arn: str, state: str) -> str:
        """Wait until an execution has entered a state, or ended: say which."""

        def seen() -> str:
            running = self.states.describe_execution(executionArn=arn)["status"] == "RUNNING"
            if running and state in self.entered(arn):
                return "entered"
            return "" if running else "ended"

        return self.until(seen, f"{state} is entered", 120)

    def hold(self, state: str, machine: str = MACHINE, part: str = "") -> None:
        """Have the next execution of a machine, or of a part of one, held when it has done a state's work."""
        self.lab.control("executions", "hold", state=state, of=f"-{part}" if part else f":{machine.rsplit(':')[-1]}:")

    def held(self, arn: str) -> str:
        """Wait until an execution, or a part of it, is held; return the ARN of what is, nothing if it ended before."""

        def seen() -> str:
            running = self.states.describe_execution(executionArn=arn)["status"] == "RUNNING"
            held = self.lab.control("executions", "held")
            return held[0] if held else "" if running else "ended"

        found = self.until(seen, "it is held", 240)
        return "" if found == "ended" else found

    def let_go(self) -> None:
        """Let what is held go on, and hold none."""
        self.lab.control("executions", "let-go")

    def kill(self, state: str, machine: str = MACHINE, part: str = "", **fields: Any) -> str:
        """Start, and stop it where a state's work is done and nobody has noted it; return the ARN of what was in it."""
        self.hold(state, machine, part)
        arn = self.start(machine, **fields)
        try:
            held = self.held(arn)
            assert held, (state, self.end_of(arn).cause)
            assert self.stop(arn), state
            # A part is stopped by whoever watches it: held until then, it does nothing more.
            assert self.end_of(held).status == "ABORTED", state
        finally:
            self.let_go()
        return held

    def stop(self, arn: str) -> bool:
        """Kill an execution where it is; say whether it was still running."""
        with contextlib.suppress(ClientError):  # it has just ended by itself
            self.states.stop_execution(executionArn=arn)
        return self.end_of(arn).status == "ABORTED"

    # What can be turned

    def set(self, name: str, value: object) -> str:
        """Change a parameter of the configuration and return what it was."""
        ssm = self.lab.client("ssm")
        was: str = ssm.get_parameter(Name=f"{CONFIG}/{name}")["Parameter"]["Value"]
        ssm.put_parameter(Name=f"{CONFIG}/{name}", Value=str(value), Type="String", Overwrite=True)
        return was

    def automation(self, *, on: bool) -> None:
        """Turn the maintenance switch."""
        self.write_note("automation", {"on": on, "reason": "a test drives by hand", "by": "the test", "at": "now"})

    def write_note(self, subject: str, body: dict[str, Any]) -> None:
        """Write a note beside the record."""
        item = {"id": {"S": subject}, "body": {"S": json.dumps(body, sort_keys=True)}}
        self.lab.client("dynamodb").put_item(TableName="dev-dr-state", Item=item)

    def write_record(self, **fields: str) -> None:
        """Change the record past the product."""
        self.lab.client("dynamodb").update_item(
            TableName="dev-dr-state",
            Key={"id": {"S": "switch"}},
            UpdateExpression="SET " + ", ".join(f"#{name} = :{name}" for name in fields),
            ExpressionAttributeNames={f"#{name}": name for name in fields},
            ExpressionAttributeValues={f":{name}": {"S": value} for name, value in fields.items()},
        )

    # What can be seen

    def note(self, subject: str) -> dict[str, Any]:
        """Read a note beside the record."""
        found = self.lab.client("dynamodb").get_item(
            TableName="dev-dr-state", Key={"id": {"S": subject}}, ConsistentRead=True
        )
        body: dict[str, Any] = json.loads(found["Item"]["body"]["S"]) if "Item" in found else {}
        return body

    def triggered(self) -> list[dict[str, Any]]:
        """List the failovers that an alarm woke, the first one first."""
        pages = self.states.get_paginator("list_executions").paginate(stateMachineArn=MACHINE)
        found = [each for page in pages for each in page["executions"]]
        woken = [
            each
            for each in found
            if "trigger" in json.loads(self.states.describe_execution(executionArn=each["executionArn"])["input"])
        ]
        return sorted(woken, key=lambda each: each["startDate"])

    @property
    def states(self) -> Any:
        """Step Functions in DR."""
        return self.lab.client("stepfunctions")

    def record(self) -> dict[str, Any]:
        """Read the record of who is active and who switches."""
        item = self.lab.client("dynamodb").get_item(
            TableName="dev-dr-state", Key={"id": {"S": "switch"}}, ConsistentRead=True
        )["Item"]
        return {name: next(iter(value.values())) for name, value in item.items()}

    def database(self, region: str = DR) -> dict[str, Any]:
        """Read the database as RDS describes it."""
        found: dict[str, Any] = self.lab.client("rds", region).describe_db_instances(DBInstanceIdentifier="dev-db")[
            "DBInstances"
        ][0]
        return found

    def has_database(self, region: str = DR) -> bool:
        """Say whether RDS knows the database."""
        found = self.lab.client("rds", region).describe_db_instances()["DBInstances"]
        return "dev-db" in [instance["DBInstanceIdentifier"] for instance in found]

    def group(self, region: str = DR) -> dict[str, Any]:
        """Read the Auto Scaling group."""
        found: dict[str, Any] = self.lab.client("autoscaling", region).describe_auto_scaling_groups(
            AutoScalingGroupNames=["dev-asg"]
        )["AutoScalingGroups"][0]
        return found

    def orders_is_on(self, region: str = DR) -> bool:
        """Say whether the sample function can run and its trigger is enabled."""
        functions = self.lab.client("lambda", region)
        reserved = functions.get_function_concurrency(FunctionName="dev-orders").get("ReservedConcurrentExecutions")
        mappings = functions.list_event_source_mappings(FunctionName="dev-orders")["EventSourceMappings"]
        return reserved is None and [mapping["State"] for mapping in mappings] == ["Enabled"]

    def image_in_dr(self) -> str:
        """Name the newest image of ours in DR."""
        images = self.lab.client("ec2").describe_images(
            Owners=["self"], Filters=[{"Name": "tag:pilotlight:environment", "Values": ["dev"]}]
        )["Images"]
        newest: str = max(images, key=lambda image: image["CreationDate"])["ImageId"]
        return newest

    def healthy_targets(self, region: str = DR) -> int:
        """Count the targets that the load balancer finds healthy."""
        balancing = self.lab.client("elbv2", region)
        seen = balancing.describe_target_health(TargetGroupArn=self.group(region)["TargetGroupARNs"][0])
        return sum(target["TargetHealth"]["State"] == "healthy" for target in seen["TargetHealthDescriptions"])

    def posture(self, region: str = DR) -> dict[str, Any]:
        """Everything that a switch turns, as the AWS API tells it."""
        database, group = self.database(region), self.group(region)
        ssm = self.lab.client("ssm", region)
        return {
            "database": (database["DBInstanceStatus"], database.get("ReadReplicaSourceDBInstanceIdentifier", "")),
            "backups": database["BackupRetentionPeriod"],
            "sizes": (group["MinSize"], group["DesiredCapacity"], group["MaxSize"]),
            "version": group["LaunchTemplate"]["Version"],
            "instances": sorted(instance["InstanceId"] for instance in group["Instances"]),
            "orders": self.orders_is_on(region),
            "active": ssm.get_parameter(Name="/dev/pilotlight/active-region")["Parameter"]["Value"],
            "image": ssm.get_parameter(Name="/dev/pilotlight/image-id")["Parameter"]["Value"],
        }

    # The application

    def name_leads_to(self) -> str:
        """Resolve the application's name, as a client does; say in which region that load balancer is."""
        with urllib.request.urlopen(f"{self.lab.endpoint}/_lab/resolve/app.pilotlight.example", timeout=10) as answer:
            return str(json.load(answer)["region"])

    def calls_of_route_53(self) -> int:
        """Count the calls of Route 53's API since everything was deployed."""
        return int(self.lab.status()["route53"]["calls_since_ready"])

    def door(self, region: str) -> str:
        """Find the address of a region's load balancer."""
        balancing = self.lab.client("elbv2", region)
        balancer = balancing.describe_load_balancers(Names=["dev-alb"])["LoadBalancers"][0]
        listener = balancing.describe_listeners(LoadBalancerArn=balancer["LoadBalancerArn"])["Listeners"][0]
        return f"http://{balancer['DNSName']}:{listener['Port']}"

    def order(self, door: str, number: str) -> bool:
        """Send an order as a client does; say whether it was acknowledged."""
        body = json.dumps({"id": number, "note": "test"}).encode()
        request = urllib.request.Request(f"{door}/orders", body, {"Content-Type": "application/json"}, method="POST")
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return bool(answer.status == 201)
        except (urllib.error.URLError, OSError):
            return False

    def has_order(self, door: str, number: str) -> bool:
        """Say whether an order is there."""
        try:
            with urllib.request.urlopen(f"{door}/orders/{number}", timeout=5) as answer:
                return bool(answer.status == 200)
        except urllib.error.HTTPError:
            return False

    def until[T](self, condition: Callable[[], T], what: str, seconds: float = 60) -> T:
        """Wait for something to come true."""
        return self.lab.wait_until(condition, seconds, what)


__all__ = ["DR", "FAILBACK", "PRIMARY", "REPROTECT", "End", "Operator"]
