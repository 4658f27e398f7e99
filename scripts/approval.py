"""Answers the question that a workflow asks, and says what was asked.

usage: approval.py ENVIRONMENT DR_REGION approve|reject REASON
"""

from __future__ import annotations

import json
import sys

import boto3
from botocore.exceptions import ClientError

from scripts.notes import Notes, caller

_GONE = ("TaskTimedOut", "TaskDoesNotExist", "InvalidToken")


def main(environment: str, region: str, answer: str, reason: str = "") -> int:
    """Give an answer; 0 if it was taken."""
    question = Notes(environment, region).read("approval")
    if not question:
        print(
            f"nothing is being asked in {environment}: there is nothing to {answer}. See make status.", file=sys.stderr
        )
        return 1
    print(f"{question['what']}, asked {question['asked_at']}, until {question['until']}:\n\n{question['known']}\n")
    if not reason.strip():
        print(f"say why, it is kept: make {answer} REASON='why'. Nothing was answered.", file=sys.stderr)
        return 2
    who = caller(region)
    try:
        boto3.client("stepfunctions", region_name=region).send_task_success(
            taskToken=question["token"],
            output=json.dumps({"answer": answer, "by": who, "reason": reason.strip()}),
        )
    except ClientError as error:
        if error.response["Error"]["Code"] not in _GONE:
            raise
        print(
            f"the question is not waiting any more ({error.response['Error']['Code']}): see make status",
            file=sys.stderr,
        )
        return 1
    print(f"answered: {answer}, by {who}: {reason.strip()}")
    print(f"watch it:  aws stepfunctions describe-execution --region {region} --execution-arn {question['execution']}")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
