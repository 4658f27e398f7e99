"""The maintenance switch: keeps everything from starting by itself, or lets it again. What people start still starts.

usage: automation.py ENVIRONMENT DR_REGION off REASON | on | show
"""

from __future__ import annotations

import datetime as dt
import sys

from botocore.exceptions import BotoCoreError, ClientError

from scripts import console
from scripts.console import acts_on, client, is_nobody, run
from scripts.notes import Notes, caller

_OFF = (
    "Until it is on again no alarm starts a switch: alarms ring, and the team is told, with the command that starts "
    "one by hand. A region that must be closed is closed all the same."
)


def main(environment: str, region: str, order: str, reason: str = "") -> int:
    """Carry out an order; 0 if that worked."""
    acts_on(environment, region)
    notes = Notes(environment, region)
    if order == "show":
        print(sentence(notes.read("automation")))
        return 0
    command = console.order("automation", environment, region)
    if order not in ("on", "off"):
        print(f"Nothing was changed. Say what: {command} OFF='why', or {command} ON=1", file=sys.stderr)
        return 2
    if order == "off" and not reason.strip():
        print(f"Nothing was changed. Say why: {command} OFF='why'", file=sys.stderr)
        return 2
    on = order == "on"
    now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    who = caller(region)
    notes.write("automation", {"on": on, "reason": reason.strip(), "by": who, "at": now})
    account = who.split(":")[4]
    # What rang while it was off does not ring again.
    then = _rings(environment, region, account) if on else _OFF
    said = f"{sentence(notes.read('automation'))}\n{then}".strip()
    print(said)
    client("sns", region).publish(
        TopicArn=f"arn:aws:sns:{region}:{account}:{environment}-dr-notifications",
        Subject=f"[{environment}] automation is {'ON' if on else 'OFF'}",
        Message=said,
    )
    return 0


def _rings(environment: str, region: str, account: str) -> str:
    """Say what becomes of an alarm that rings now; empty where none does."""
    alarm, start, status = (
        f"{environment}-dr-primary-lost",
        console.order("failover", environment, region),
        console.order("status", environment, region),
    )
    machine = f"arn:aws:states:{region}:{account}:stateMachine:{environment}-dr-failover"
    try:
        told = client("cloudwatch", region).describe_alarms(
            AlarmNames=[alarm], AlarmTypes=["MetricAlarm", "CompositeAlarm"]
        )
        if all(one["StateValue"] != "ALARM" for one in (*told["MetricAlarms"], *told["CompositeAlarms"])):
            return ""
        running = client("stepfunctions", region).list_executions(
            stateMachineArn=machine, statusFilter="RUNNING", maxResults=1
        )["executions"]
    except (ClientError, BotoCoreError) as error:
        if is_nobody(error):
            raise
        return f"whether {alarm} rings now cannot be read ({error}): see {status}. To start by hand: {start}"
    if running:
        return (
            f"{alarm} RINGS NOW, and {running[0]['name']} is running: it looks again within a minute, if it is "
            f"not further already, and may fail over by itself. Watch it: {status}"
        )
    return f"{alarm} RINGS NOW and does not ring again: nothing starts by itself. To start by hand: {start}"


def sentence(note: dict[str, object]) -> str:
    """Say how the switch stands."""
    if note.get("on", True):
        return "automation is on" + (f" since {note['at']} ({note['by']})" if note else "")
    return f"automation is OFF since {note['at']} ({note['by']}): {note['reason']}"


if __name__ == "__main__":
    sys.exit(run(main, *sys.argv[1:]))
