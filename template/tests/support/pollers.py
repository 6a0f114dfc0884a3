"""What AWS does between an SQS queue and a function (the event source mapping): moto has the queue, this does the rest.

Receives messages, invokes the worker with them as one batch, deletes those that it did not give back. A batch whose
function failed is deleted not at all. A pytest plugin.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from conftest import settings_for
from support.aws import Aws
from support.processes import Upstream
from support.runtime import Function, Invocation

Json = dict[str, Any]
VISIBILITY = 2  # seconds; in AWS at least as long as the function may take
ATTEMPTS = 3


class Mapping:
    """A queue of tasks with its dead letters, and the table of tasks."""

    def __init__(self, aws: Aws) -> None:
        self._sqs, self._dynamodb = aws.client("sqs"), aws.client("dynamodb")
        aws.reset()
        dead = self._sqs.create_queue(QueueName="tasks-dead")["QueueUrl"]
        arn = self._sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        redrive = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": ATTEMPTS})
        attributes = {"VisibilityTimeout": str(VISIBILITY), "RedrivePolicy": redrive}
        self.url = self._sqs.create_queue(QueueName="tasks", Attributes=attributes)["QueueUrl"]
        self.dead_url = dead
        self.settings = {
            "STATE_URL": f"dynamodb://{aws.table_of_state()}",
            "SERVERLESS__TASKS_TABLE": aws.table_of_tasks(),
            "SERVERLESS__QUEUE_URL": self.url,
            "QUEUE__ATTEMPTS": ATTEMPTS,
            "QUEUE__RETRY_SECONDS": 0.1,
            "QUEUE__RETRY_MAX_SECONDS": 1,  # however long a failure asks to be left alone
            **aws.environment,
        }

    def receive(self, at_most: int = 10, wait: int = 1) -> list[Json]:
        """Records, as an event has them."""
        found = self._sqs.receive_message(
            QueueUrl=self.url, MaxNumberOfMessages=at_most, WaitTimeSeconds=wait, AttributeNames=["All"]
        )
        return [record_of(message) for message in found.get("Messages", [])]

    def settle(self, records: list[Json], invocation: Invocation) -> list[Json]:
        """Deletes what was done; the records that were given back."""
        if invocation.error is not None:
            return records
        failed = {item["itemIdentifier"] for item in invocation.result["batchItemFailures"]}
        for record in records:
            if record["messageId"] not in failed:
                self._sqs.delete_message(QueueUrl=self.url, ReceiptHandle=record["receiptHandle"])
        return [record for record in records if record["messageId"] in failed]

    def drain(self, worker: Function, rounds: int = 40) -> None:
        """Delivers until nothing is left but dead letters."""
        for _ in range(rounds):
            if records := self.receive():
                self.settle(records, worker.invoke({"Records": records}))
            elif not self.left():
                return
        raise AssertionError(f"{self.left()} messages are left")

    def left(self) -> int:
        return self._count(self.url)

    def dead(self) -> int:
        return self._count(self.dead_url)

    def send(self, body: str) -> None:
        self._sqs.send_message(QueueUrl=self.url, MessageBody=body)

    def redrive(self) -> None:
        """Moves the dead letters back, as an operator does."""
        while found := self._sqs.receive_message(QueueUrl=self.dead_url, MaxNumberOfMessages=10).get("Messages"):
            for message in found:
                self.send(message["Body"])
                self._sqs.delete_message(QueueUrl=self.dead_url, ReceiptHandle=message["ReceiptHandle"])

    def expire_leases(self) -> None:
        """Lets so much time pass that nobody counts on a killed function any more."""
        self._set("lease_until", 1)

    def postpone(self, seconds: float) -> None:
        """Moves the time before which no task is begun."""
        self._set("not_before", int((time.time() + seconds) * 1000))

    def forget(self) -> None:
        """Deletes the tasks, as DynamoDB does QUEUE__RETENTION_DAYS after their end."""
        table = self.settings["SERVERLESS__TASKS_TABLE"]
        for item in self._dynamodb.scan(TableName=table)["Items"]:
            self._dynamodb.delete_item(TableName=table, Key={"tenant": item["tenant"], "id": item["id"]})

    def copy(self, task_id: str, copies: list[str]) -> None:
        """Stores copies of a task under these ids, each a millisecond younger, without messages."""
        table = self.settings["SERVERLESS__TASKS_TABLE"]
        [item] = [item for item in self._dynamodb.scan(TableName=table)["Items"] if item["id"]["S"] == task_id]
        for age, copy in enumerate(copies, start=1):
            created = {"N": str(int(item["created_at"]["N"]) + age)}
            self._dynamodb.put_item(TableName=table, Item={**item, "id": {"S": copy}, "created_at": created})

    def lose(self) -> None:
        """Deletes the messages, as if they had never been sent."""
        for record in self.receive():
            self._sqs.delete_message(QueueUrl=self.url, ReceiptHandle=record["receiptHandle"])

    def _set(self, name: str, value: int) -> None:
        table = self.settings["SERVERLESS__TASKS_TABLE"]
        for item in self._dynamodb.scan(TableName=table)["Items"]:
            self._dynamodb.update_item(
                TableName=table,
                Key={"tenant": item["tenant"], "id": item["id"]},
                UpdateExpression=f"SET {name} = :value",
                ExpressionAttributeValues={":value": {"N": str(value)}},
            )

    def tokens_booked(self, tenant: str) -> int:
        """What the tenant's budgets say that it has spent, of all days."""
        state = str(self.settings["STATE_URL"]).removeprefix("dynamodb://")
        items = self._dynamodb.scan(TableName=state)["Items"]
        budgets = [item for item in items if f"budget:{tenant}:" in item["key"]["S"]]
        return sum(int(item["tokens"]["N"]) for item in budgets)

    def close(self) -> None:
        self._sqs.close()
        self._dynamodb.close()

    def _count(self, url: str) -> int:
        names = [f"ApproximateNumberOfMessages{which}" for which in ("", "NotVisible", "Delayed")]
        found = self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
        return sum(int(found[name]) for name in names)


def record_of(message: Json) -> Json:
    """What SQS gave as the record of an event."""
    return {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": message["Attributes"],
        "messageAttributes": {},
        "md5OfBody": message["MD5OfBody"],
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:eu-west-1:123456789012:tasks",
        "awsRegion": "eu-west-1",
    }


@pytest.fixture
def mapping(aws: Aws) -> Iterator[Mapping]:
    mapping = Mapping(aws)
    yield mapping
    mapping.close()


def _shared(handler: str, aws: Aws, upstream: Upstream) -> Iterator[Function]:
    mapping = Mapping(aws)  # queue and tables have the same names in each test
    settings = settings_for(upstream, GUARD__BREAKER_MINIMUM_CALLS=1_000_000, **mapping.settings)
    mapping.close()
    with Function(handler, **settings) as function:
        yield function


@pytest.fixture(scope="session")
def shared_api(shared_aws: Aws, shared_upstream: Upstream) -> Iterator[Function]:
    yield from _shared("api", shared_aws, shared_upstream)


@pytest.fixture(scope="session")
def shared_worker(shared_aws: Aws, shared_upstream: Upstream) -> Iterator[Function]:
    yield from _shared("worker", shared_aws, shared_upstream)


@pytest.fixture
def api(shared_api: Function, mapping: Mapping, upstream: Upstream) -> Function:
    """The handler of requests, with its tasks on AWS."""
    return shared_api


@pytest.fixture
def worker(shared_worker: Function, mapping: Mapping, upstream: Upstream) -> Function:
    """The handler of SQS."""
    return shared_worker
