"""The maintenance switch: keeps everything from starting by itself, or lets it again. What people start still starts.

usage: automation.py ENVIRONMENT DR_REGION off REASON | on | show
"""

from __future__ import annotations

import datetime as dt
import sys

import boto3

from scripts.notes import Notes, caller

_OFF = (
    "Until it is on again no alarm starts a switch: alarms ring, and the team is told, with the command that starts "
    "one by hand. A region that must be closed is closed all the same."
)


def main(environment: str, region: str, order: str, reason: str = "") -> int:
    """Carry out an order; 0 if that worked."""
    notes = Notes(environment, region)
    if order == "show":
        print(sentence(notes.read("automation")))
        return 0
    if order not in ("on", "off"):
        print("say what: make automation OFF='why', or make automation ON=1. Nothing was changed.", file=sys.stderr)
        return 2
    if order == "off" and not reason.strip():
        print("say why: make automation OFF='why'. Nothing was changed.", file=sys.stderr)
        return 2
    on = order == "on"
    now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    who = caller(region)
    notes.write("automation", {"on": on, "reason": reason.strip(), "by": who, "at": now})
    account = who.split(":")[4]
    said = sentence(notes.read("automation"))
    boto3.client("sns", region_name=region).publish(
        TopicArn=f"arn:aws:sns:{region}:{account}:{environment}-dr-notifications",
        Subject=f"[{environment}] automation is {'ON' if on else 'OFF'}",
        Message=said if on else f"{said}\n\n{_OFF}",
    )
    print(said if on else f"{said}\n{_OFF}")
    return 0


def sentence(note: dict[str, object]) -> str:
    """Say how the switch stands."""
    if note.get("on", True):
        return "automation is on" + (f" since {note['at']} ({note['by']})" if note else "")
    return f"automation is OFF since {note['at']} ({note['by']}): {note['reason']}"


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
