"""Answers the question that a workflow asks, and says what was asked.

usage: approval.py ENVIRONMENT DR_REGION approve|reject REASON
"""

from __future__ import annotations

import datetime as dt
import json
import sys
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from scripts.console import BRIEFLY, acts_on, client, is_nobody, order, run
from scripts.notes import Notes, caller

if TYPE_CHECKING:
    from botocore.config import Config

_GONE = ("TaskTimedOut", "TaskDoesNotExist", "InvalidToken")


def main(environment: str, region: str, answer: str, reason: str = "") -> int:
    """Give an answer; 0 if it was taken."""
    acts_on(environment, region)
    question = Notes(environment, region).read("approval")
    if not question:
        status = order("status", environment, region)
        print(f"nothing is being asked in {environment}: there is nothing to {answer}. See {status}", file=sys.stderr)
        return 1
    print(f"{question['what']}, asked {question['asked_at']}, until {question['until']}:\n\n{question['known']}\n")
    if not reason.strip():
        if gone := over(question, region, dt.datetime.now(dt.UTC)):
            return _too_late(gone, question, environment, region)
        print(f"without an answer by {question['until']}: {unanswered(question)}")
        command = order(answer, environment, region)
        print(f"Nothing was answered. Say why, it is kept:\n  {command} REASON='why'", file=sys.stderr)
        return 2
    who = caller(region)
    try:
        # Sent even where the clock says that it is too late: the workflow's clock counts, not this machine's.
        client("stepfunctions", region).send_task_success(
            taskToken=question["token"],
            output=json.dumps({"answer": answer, "by": who, "reason": reason.strip()}),
        )
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code not in _GONE:
            raise
        gone = over(question, region, dt.datetime.now(dt.UTC)) or f"the question is not waiting any more ({code})"
        return _too_late(gone, question, environment, region)
    print(f"answered: {answer}, by {who}: {reason.strip()}")
    print(f"watch it:  aws stepfunctions describe-execution --region {region} --execution-arn {question['execution']}")
    return 0


def over(question: dict[str, Any], region: str, now: dt.datetime, config: Config = BRIEFLY) -> str:
    """Say why a question can be answered no more; empty while it can."""
    try:
        states = client("stepfunctions", region, config)
        status = states.describe_execution(executionArn=question["execution"])["status"]
    except (ClientError, BotoCoreError) as error:
        if is_nobody(error):
            raise
        # Who cannot look does not say that it is too late.
        gone = isinstance(error, ClientError) and error.response["Error"]["Code"] == "ExecutionDoesNotExist"
        status = "and is forgotten" if gone else "RUNNING"
    if status != "RUNNING":
        return f"nobody waits for an answer any more: the execution that asked has ended ({status})"
    if now > dt.datetime.fromisoformat(question["until"]):
        return f"the time for an answer was over at {question['until']}"
    return ""


def unanswered(question: dict[str, Any]) -> str:
    """Say what happens where nobody answers."""
    if question["no_answer"] == "approve":
        return f"the {question['what']} begins, if nothing forbids it by then"
    return f"no {question['what']} begins"


def start_command(question: dict[str, Any], environment: str, region: str) -> str:
    """Say how to start by hand what was asked about."""
    return order(question["what"], environment, region)


def _too_late(why: str, question: dict[str, Any], environment: str, region: str) -> int:
    start = start_command(question, environment, region)
    print(f"{why}. Nothing was answered. To start it all the same: {start}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(run(main, *sys.argv[1:]))
