"""SNS."""

from __future__ import annotations

from typing import Any

from pilotlight.aws import clients

_LONGEST_SUBJECT = 100


def publish(topic_arn: str, subject: str, message: str, client: Any = None) -> str:
    """Send a notification; return its id. SNS takes a subject of at most 100 characters on one line."""
    answer = (client or clients.near("sns")).publish(
        TopicArn=topic_arn, Subject=" ".join(subject.split())[:_LONGEST_SUBJECT], Message=message
    )
    return str(answer["MessageId"])
