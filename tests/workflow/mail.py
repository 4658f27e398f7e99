"""What people are told, in the lab: a topic's notifications, read from a queue."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.lab.running import ACCOUNT

if TYPE_CHECKING:
    from tests.workflow.operator import Operator


class Mailbox:
    """Reads what a topic tells."""

    def __init__(self, operator: Operator, region: str, topic: str) -> None:
        self._sqs = operator.lab.client("sqs", region)
        self._operator = operator
        self._url = self._sqs.create_queue(QueueName=f"mail-{topic}")["QueueUrl"]
        arn = self._sqs.get_queue_attributes(QueueUrl=self._url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        allowed = {"Effect": "Allow", "Principal": "*", "Action": "sqs:SendMessage", "Resource": arn}
        self._sqs.set_queue_attributes(
            QueueUrl=self._url, Attributes={"Policy": json.dumps({"Version": "2012-10-17", "Statement": [allowed]})}
        )
        operator.lab.client("sns", region).subscribe(
            TopicArn=f"arn:aws:sns:{region}:{ACCOUNT}:{topic}", Protocol="sqs", Endpoint=arn
        )

    def next(self, about: str) -> str:
        """Wait for what is told about something; what is told of others meanwhile is let go."""

        def received() -> str:
            for message in self._sqs.receive_message(QueueUrl=self._url).get("Messages", []):
                self._sqs.delete_message(QueueUrl=self._url, ReceiptHandle=message["ReceiptHandle"])
                body = json.loads(message["Body"])
                told = f"{body.get('Subject', '')}\n{body['Message']}"
                if about in told:
                    return told
            return ""

        return self._operator.until(received, f"{about} is told")
