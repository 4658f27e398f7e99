"""Shows, from the DR region alone, who is active, what is watched, decided and asked, and what was started last.

The other region is asked for one thing, whether its sentinel may run, and not waited for. Everything is asked at the
same time and for seconds, so that a DR that hangs hides nothing that can be read, and is known within seconds.
usage: status.py ENVIRONMENT DR_REGION      (dev eu-central-1)
"""

from __future__ import annotations

import datetime as dt
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from scripts import approval, objects
from scripts.automation import sentence
from scripts.console import acts_on, client, is_nobody, order, run
from scripts.notes import Notes, caller

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_MACHINES = ("failover", "reprotect", "failback")
# A region that may be lost is asked, and not waited for.
_FLEETING = Config(connect_timeout=2, read_timeout=3, retries={"total_max_attempts": 1, "mode": "standard"})
_SOON = Config(connect_timeout=2, read_timeout=3, retries={"total_max_attempts": 2, "mode": "standard"})
_DECIDED = {
    "go": "begun",
    "ask": "the team was asked",
    "tell": "nothing begun, and the team was told",
    "wait": "nothing begun",
    "stand-down": "nothing to do",
}
# The probe looks several times a minute.
_NOBODY_LOOKS_AFTER = dt.timedelta(minutes=3)
_LONGEST_CAUSE = 400


class Status:
    """An environment as its DR region knows it.

    Parameters
    ----------
    environment
        Its name.
    region
        The DR region.
    clock
        Says what time it is.
    """

    def __init__(
        self, environment: str, region: str, clock: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC)
    ) -> None:
        self._environment, self._region, self._clock = environment, region, clock
        self._notes = Notes(environment, region, _SOON)
        self.known = False
        """Whether it could be read who is active: without that, the rest says little."""

    def lines(self) -> Iterator[str]:
        """Say it line by line. What cannot be read is said so and hides nothing else."""
        parts: list[tuple[str, Callable[[], list[str]]]] = [
            ("active region", self._active),
            ("automation", self._automation),
            ("by an alarm", self._modes),
            ("question", self._question),
            ("watched", self._watched),
            ("decided last", self._decided),
            ("sentinels", self._sentinels),
            ("objects", lambda: objects.lines(self._notes.read("objects"), self._notes.read("objects-return"))),
            ("secrets", self._secrets),
            ("here", self._here),
            *((f"last of {self._environment}-dr-{machine}", partial(self._last, machine)) for machine in _MACHINES),
        ]
        with ThreadPoolExecutor(len(parts)) as pool:
            for told in [pool.submit(self._told, title, part) for title, part in parts]:
                yield from told.result()

    def _told(self, title: str, part: Callable[[], list[str]]) -> list[str]:
        try:
            said = part()
        except (ClientError, BotoCoreError, KeyError, IndexError) as error:
            if is_nobody(error):
                raise
            said = [f"CANNOT BE READ: {' '.join(str(error).split())}"]
        return [f"{title if number == 0 else '':<26} {line.replace('+00:00', 'Z')}" for number, line in enumerate(said)]

    def _active(self) -> list[str]:
        record = self._notes.record()
        if not record:
            return [f"CANNOT BE READ: {self._environment}-dr-state in {self._region} has no record. Is DR deployed?"]
        said = [f"{record['active_region']} (epoch {record['epoch']}, lock {record['lock']})"]
        if record["lock"] == "failed":
            said.append(f"the last run FAILED and is not finished: {record.get('failure', '')}")
        self.known = True
        return said + self._switching(record)

    def _switching(self, record: dict[str, str]) -> list[str]:
        """Say what a switch has left behind that bears on the next one."""
        said = []
        mode, target, promoted = record.get("mode", ""), record.get("target", ""), record.get("promotion", "")
        if record["lock"] != "free" and promoted and mode != "reprotect":
            said.append(f"POINT OF NO RETURN passed at {promoted}: only on to {target}, never back")
        if mode == "ungraceful" and (left := record.get("source")):
            fence = record.get("fence") or f"not confirmed: {left} has not answered yet"
            said.append(f"the region that was left, {left}: {fence}")
        until = record.get("cool_down_until", "")
        if record["lock"] == "free" and until and self._clock() < dt.datetime.fromisoformat(until):
            said.append(f"cool-down until {until}: nothing fails over by itself")
        return said

    def _modes(self) -> list[str]:
        ssm, path = client("ssm", self._region, _SOON), f"/{self._environment}/pilotlight/config"
        failover, failback = (
            ssm.get_parameter(Name=f"{path}/{what}-mode")["Parameter"]["Value"] for what in ("failover", "failback")
        )
        return [f"failover is {failover} (FailoverMode), failback is {failback} (FailbackMode)"]

    def _automation(self) -> list[str]:
        return [sentence(self._notes.read("automation"))]

    def _question(self) -> list[str]:
        asked = self._notes.read("approval")
        if not asked:
            return []
        head = f"{asked['what']}? {asked['reason']}"
        if gone := approval.over(asked, self._region, self._clock(), _SOON):
            start = approval.start_command(asked, self._environment, self._region)
            return [head, f"{gone}. To start it all the same: {start}"]
        return [
            head,
            f"asked {asked['asked_at']}; answer until {asked['until']}, with one of",
            *(f"  {order(answer, self._environment, self._region)} REASON='why'" for answer in ("approve", "reject")),
            f"without an answer by then: {approval.unanswered(asked)}",
        ]

    def _watched(self) -> list[str]:
        seen = self._notes.read("watch")
        if not seen:
            return ["nothing yet: docs/detection.md"]
        silent = self._clock() - dt.datetime.fromisoformat(seen["at"])
        minutes = int(silent.total_seconds() // 60)
        said = [f"NOBODY HAS LOOKED for {minutes} min: docs/detection.md"] if silent > _NOBODY_LOOKS_AFTER else []
        if seen["region"] == self._region:
            # The detail is of the region that was left: whether it answers again.
            return [*said, f"{seen['region']} at {seen['at']}: not probed", seen["detail"]]
        states = {
            "failing_since": "does not answer",
            "source_lost_since": "the replica has lost it",
            "deep_failing_since": "its database does not answer",
            "blind_since": "DR is cut off",
        }
        wrong = [f"{what} since {seen[name]}" for name, what in states.items() if seen.get(name)]
        return [*said, f"{seen['region']} at {seen['at']}: {', '.join(wrong) or 'well'}"]

    def _sentinels(self) -> list[str]:
        name = f"/{self._environment}/pilotlight/config/primary-region"
        primary = client("ssm", self._region, _SOON).get_parameter(Name=name)["Parameter"]["Value"]
        return [f"{region}: {self._may_run(region)}{self._closed(region)}" for region in (primary, self._region)]

    def _may_run(self, region: str) -> str:
        name = f"{self._environment}-sentinel"
        stopped = "MAY NOT RUN ({}), so it closes nothing: docs/sentinel.md, How to stop it"
        try:
            kept = client("lambda", region, _FLEETING).get_function_concurrency(FunctionName=name)
            if kept.get("ReservedConcurrentExecutions") == 0:
                return stopped.format("its concurrency is 0")
            if client("events", region, _FLEETING).describe_rule(Name=name)["State"] == "DISABLED":
                return stopped.format("its schedule is disabled")
        except ClientError as error:
            if is_nobody(error):
                raise
            return f"does not say whether its sentinel may run ({error.response['Error']['Code']})"
        except BotoCoreError as error:
            return f"does not answer ({type(error).__name__})"
        return "may run"

    def _closed(self, region: str) -> str:
        note = self._notes.read(f"posture-{region}")
        if not note:
            return ""
        parts = ", ".join(sorted(note["closed"])) or "nothing"
        return f"; closed last: {parts} at {note['at']} (epoch {note['epoch']}, {note['successor']} served)"

    def _decided(self) -> list[str]:
        made = self._notes.read("decision")
        if not made:
            return []
        outcome = _DECIDED.get(made["outcome"], made["outcome"])
        said = [f"{made['at']} {made['what']}: {outcome} ({made['rule']}), {made['reason']}"]
        if seconds := made.get("again_seconds"):
            again = dt.datetime.fromisoformat(made["at"]) + dt.timedelta(seconds=seconds)
            said.append(f"looking on, again at {again.isoformat()}")
        return said

    def _secrets(self) -> list[str]:
        seen = self._notes.read("secrets")
        return [f"{'good' if seen['good'] else 'NOT GOOD'} at {seen['at']}: {seen['told']}"] if seen else []

    def _here(self) -> list[str]:
        def here(service: str) -> Any:
            return client(service, self._region, _SOON)

        name = self._environment
        group = here("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[f"{name}-asg"])
        members = group["AutoScalingGroups"][0]["Instances"]
        serving = sum(member["LifecycleState"] == "InService" for member in members)
        database = here("rds").describe_db_instances(DBInstanceIdentifier=f"{name}-db")["DBInstances"][0]
        source = database.get("ReadReplicaSourceDBInstanceIdentifier")
        image = here("ssm").get_parameter(Name=f"/{name}/pilotlight/image-id")["Parameter"]["Value"]
        return [
            f"{self._region}: {serving} instances in service, image {image}",
            f"database {database['DBInstanceStatus']}, {'replica of ' + source if source else 'no replica'}",
        ]

    def _last(self, machine: str) -> list[str]:
        account = caller(self._region, _SOON).split(":")[4]
        states = client("stepfunctions", self._region, _SOON)
        found = states.list_executions(
            stateMachineArn=f"arn:aws:states:{self._region}:{account}:stateMachine:{self._environment}-dr-{machine}",
            maxResults=5,
        )["executions"]
        failed = next((one["executionArn"] for one in found if one["status"] not in ("RUNNING", "SUCCEEDED")), "")
        said = []
        for one in found:
            # A laptop's own zone would not be the one that everything else is told in.
            said.append(f"{one['startDate'].astimezone(dt.UTC):%Y-%m-%d %H:%M:%SZ} {one['status']:<10} {one['name']}")
            if one["status"] == "RUNNING":
                said.append(f"  now in: {_state(states, one['executionArn'])}")
            elif one["executionArn"] == failed:
                said += _cause(states, failed)
        return said


def _state(states: Any, execution: str) -> str:
    events = states.get_execution_history(
        executionArn=execution, reverseOrder=True, maxResults=100, includeExecutionData=False
    )["events"]
    entered = (event["stateEnteredEventDetails"]["name"] for event in events if "stateEnteredEventDetails" in event)
    return next(entered, "unknown")


def _cause(states: Any, execution: str) -> list[str]:
    ended = states.describe_execution(executionArn=execution)
    told = " ".join(": ".join(ended[key] for key in ("error", "cause") if ended.get(key)).split())
    return [f"  {told if len(told) <= _LONGEST_CAUSE else told[: _LONGEST_CAUSE - 1] + '…'}"] if told else []


def main(environment: str = "dev", region: str = "eu-central-1") -> int:
    """Print it; 0 where it could be read who is active."""
    acts_on(environment, region)
    status = Status(environment, region)
    for line in status.lines():
        print(line, flush=True)
    return 0 if status.known else 1


if __name__ == "__main__":
    sys.exit(run(main, *sys.argv[1:]))
