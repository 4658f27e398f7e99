"""Both regions are well, clients write all the time, and the service moves over: every promised write comes along, or
nothing moves at all."""

from __future__ import annotations

import json

import pymysql
import pytest

from tests.lab.running import ACCOUNT
from tests.workflow.clients import Clients, application, insert, orders
from tests.workflow.operator import DR, PRIMARY, Operator


def test_when_the_proof_does_not_come_the_source_serves_on_as_before(operator: Operator) -> None:
    before = operator.posture(PRIMARY), operator.posture(DR)
    with Clients(operator, PRIMARY) as clients:
        operator.until(lambda: len(clients.promised) > 20, "the clients write")
        lag, budget = operator.set("most-lag-seconds", 3600), operator.set("proof-budget-seconds", 20)
        operator.lab.control("database", "slow-applying", region=DR, identifier="dev-db", seconds=30)
        ended = operator.fail_over(mode="graceful")
        assert (ended.status, ended.error) == ("FAILED", "PreconditionFailed")
        for told in ("still lacks", "proof-budget-seconds", "Nothing irreversible was done"):
            assert told in ended.cause
        so_far = len(clients.promised)
        operator.until(lambda: len(clients.promised) > so_far + 20, "the clients write again")
    operator.lab.control("database", "slow-applying", region=DR, identifier="dev-db", seconds=0)
    operator.set("most-lag-seconds", lag)
    operator.set("proof-budget-seconds", budget)
    operator.until(lambda: operator.orders_is_on(PRIMARY), "the functions are on again")
    assert (operator.posture(PRIMARY), operator.posture(DR)) == before
    assert operator.record()["active_region"] == PRIMARY


def test_every_promised_write_comes_along_and_none_is_taken_after(operator: Operator) -> None:
    with application(operator, PRIMARY) as idle, application(operator, PRIMARY) as late:
        # A transaction that somebody left open, and a connection that will try again: neither gets a write in.
        idle.begin()
        insert(idle, "left-open")
        with Clients(operator, PRIMARY) as clients:
            operator.until(lambda: len(clients.promised) > 50, "the clients write")
            ended = operator.fail_over(mode="graceful", reason="maintenance")
            assert ended.status == "SUCCEEDED", ended.cause
        with pytest.raises(pymysql.err.MySQLError):
            idle.commit()
        with pytest.raises(pymysql.err.MySQLError):
            insert(late, "too-late")

    assert (ended.output["outcome"], ended.output["mode"]) == ("switched-over", "graceful")
    there = orders(operator, DR)
    assert set(clients.promised) - there == set()
    assert not {"left-open", "too-late"} & there


def test_the_service_has_moved_and_the_source_stays_closed(operator: Operator) -> None:
    seen, left = operator.posture(DR), operator.posture(PRIMARY)
    assert seen["database"] == ("available", "")
    assert (seen["sizes"], seen["orders"], seen["active"]) == ((2, 2, 4), True, DR)
    assert (left["sizes"][:2], left["orders"], left["active"]) == ((0, 0), False, DR)
    assert operator.order(operator.door(DR), "after")
    with application(operator, PRIMARY) as connection, pytest.raises(pymysql.err.MySQLError):
        insert(connection, "never")


def test_a_consumer_of_the_source_takes_no_message_after_it(operator: Operator) -> None:
    for region, identifier in ((PRIMARY, "left-in-the-queue"), (DR, "consumed")):
        queues = operator.lab.client("sqs", region)
        address = queues.get_queue_url(QueueName="dev-orders")["QueueUrl"]
        queues.send_message(QueueUrl=address, MessageBody=json.dumps({"id": identifier}))
    operator.until(lambda: "events/consumed.json" in stored(operator, DR), "DR's consumer has stored its message")
    # As long as it took the one that is on, and a while more.
    operator.lab.clock_passes(60)
    assert "events/left-in-the-queue.json" not in stored(operator, PRIMARY)
    queues = operator.lab.client("sqs", PRIMARY)
    address = queues.get_queue_url(QueueName="dev-orders")["QueueUrl"]
    waiting = queues.get_queue_attributes(QueueUrl=address, AttributeNames=["ApproximateNumberOfMessages"])
    assert waiting["Attributes"]["ApproximateNumberOfMessages"] == "1"


def stored(operator: Operator, region: str) -> set[str]:
    """List what a region's consumer has stored."""
    listed = operator.lab.client("s3", region).list_objects_v2(Bucket=f"dev-app-{ACCOUNT}-{region}", Prefix="events/")
    return {found["Key"] for found in listed.get("Contents", [])}
