"""Shows, from the DR region alone, who is active, what is watched, decided and asked, and what was started last.

usage: status.py ENVIRONMENT DR_REGION      (dev eu-central-1)
"""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from scripts import objects
from scripts.automation import sentence
from scripts.notes import Notes, caller

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_MACHINES = ("failover", "reprotect", "failback")


class Status:
    """An environment as its DR region knows it.

    Parameters
    ----------
    environment
        Its name.
    region
        The DR region.
    """

    def __init__(self, environment: str, region: str) -> None:
        self._environment, self._region = environment, region
        self._notes = Notes(environment, region)

    def lines(self) -> Iterator[str]:
        """Say it line by line. What cannot be read is said so and hides nothing else."""
        for title, part in (
            ("active region", self._active),
            ("automation", self._automation),
            ("question", self._question),
            ("watched", self._watched),
            ("decided last", self._decided),
            ("objects", lambda: objects.lines(self._notes.read("objects"), self._notes.read("objects-return"))),
            ("secrets", self._secrets),
            ("here", self._here),
        ):
            yield from self._told(title, part)
        for machine in _MACHINES:
            yield from self._told(f"last of {self._environment}-dr-{machine}", partial(self._last, machine))

    def _told(self, title: str, part: Callable[[], list[str]]) -> Iterator[str]:
        try:
            said = part()
        except (ClientError, BotoCoreError, KeyError, IndexError) as error:
            said = [f"cannot be read: {error}"]
        for number, line in enumerate(said):
            yield f"{title if number == 0 else '':<26} {line}"

    def _active(self) -> list[str]:
        record = self._notes.record()
        said = [f"{record['active_region']} (epoch {record['epoch']}, lock {record['lock']})"]
        if record["lock"] == "failed":
            said.append(f"the last run FAILED and is not finished: {record.get('failure', '')}")
        return said

    def _automation(self) -> list[str]:
        return [sentence(self._notes.read("automation"))]

    def _question(self) -> list[str]:
        asked = self._notes.read("approval")
        if not asked:
            return []
        answers = "make approve REASON=… or make reject REASON=…"
        return [f"{asked['what']}? {asked['reason']}", f"asked {asked['asked_at']}, until {asked['until']}: {answers}"]

    def _watched(self) -> list[str]:
        seen = self._notes.read("watch")
        if not seen:
            return ["nothing yet"]
        states = {
            "failing_since": "does not answer",
            "source_lost_since": "the replica has lost it",
            "deep_failing_since": "its database does not answer",
            "blind_since": "DR is cut off",
        }
        wrong = [f"{what} since {seen[name]}" for name, what in states.items() if seen.get(name)]
        return [f"{seen['region']} at {seen['at']}: {', '.join(wrong) or 'well'}"]

    def _decided(self) -> list[str]:
        made = self._notes.read("decision")
        return [f"{made['at']} {made['what']}: {made['outcome']} ({made['rule']}), {made['reason']}"] if made else []

    def _secrets(self) -> list[str]:
        seen = self._notes.read("secrets")
        return [f"{'good' if seen['good'] else 'NOT GOOD'} at {seen['at']}: {seen['told']}"] if seen else []

    def _here(self) -> list[str]:
        def client(service: str) -> Any:
            return boto3.client(service, region_name=self._region)  # type: ignore[call-overload]

        name = self._environment
        group = client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[f"{name}-asg"])
        members = group["AutoScalingGroups"][0]["Instances"]
        serving = sum(member["LifecycleState"] == "InService" for member in members)
        database = client("rds").describe_db_instances(DBInstanceIdentifier=f"{name}-db")["DBInstances"][0]
        source = database.get("ReadReplicaSourceDBInstanceIdentifier")
        image = client("ssm").get_parameter(Name=f"/{name}/pilotlight/image-id")["Parameter"]["Value"]
        return [
            f"{self._region}: {serving} instances in service, image {image}",
            f"database {database['DBInstanceStatus']}, {'replica of ' + source if source else 'no replica'}",
        ]

    def _last(self, machine: str) -> list[str]:
        account = caller(self._region).split(":")[4]
        found = boto3.client("stepfunctions", region_name=self._region).list_executions(
            stateMachineArn=f"arn:aws:states:{self._region}:{account}:stateMachine:{self._environment}-dr-{machine}",
            maxResults=5,
        )["executions"]
        return [f"{one['startDate']:%Y-%m-%d %H:%M:%S} {one['status']:<10} {one['name']}" for one in found]


def main(environment: str = "dev", region: str = "eu-central-1") -> int:
    """Print it."""
    for line in Status(environment, region).lines():
        print(line)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
