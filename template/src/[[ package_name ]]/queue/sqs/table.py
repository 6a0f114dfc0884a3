"""The DynamoDB table of tasks: one row a task, and each change under a condition, so that a late change does nothing.

Keys: `tenant` and `id`; the index `by_created` (`tenant`, `created`) has them by time.
"""

import os
import time
from collections.abc import AsyncGenerator
from dataclasses import asdict
from typing import Any

from ...config.settings import Settings
from ...errors import StateUnavailable
from ...guard import BulkheadFull, CircuitOpen, Guards
from ...guard.aws import Aws, AwsError, transient
from .rows import Row, typed

INDEX = "by_created"
REGION = "us-east-1"  # of moto's
_PAGE = 100
_READ_SECONDS = 5.0  # of one list


class Table:
    """Its operations, behind one guard."""

    def __init__(self, name: str, aws: Aws, guards: Guards, retention_days: float) -> None:
        self.retention_days = retention_days
        self._name = name
        self._aws = aws
        self._guard = guards.get("tasks_table", transient, timeout_seconds=5.0)

    async def put(self, row: Row) -> bool:
        """Adds a row, unless its id is taken. The result says whether it was added."""
        item = {name: typed(value) for name, value in asdict(row).items() if name != "expires"}
        found = await self._asked("put_item", Item=item, ConditionExpression="attribute_not_exists(id)")
        return found is not None

    async def get(self, tenant: str, task_id: str) -> Row | None:
        found = await self._asked("get_item", Key=_key(tenant, task_id), ConsistentRead=True)
        return Row.of(found["Item"]) if found and "Item" in found else None

    async def delete(self, tenant: str, task_id: str) -> None:
        await self._asked("delete_item", Key=_key(tenant, task_id))

    async def change(
        self, tenant: str, task_id: str, when: str, given: dict[str, str | int], **values: str | int
    ) -> Row | None:
        """Sets `values` where the condition `when` holds. The result is the new row, or None where it does not hold.

        Args:
            when: names stand in it as `#name`, values as `:given_name`.
            given: its values, by the name after `given_`.
        """
        names = {name for name in Row.__dataclass_fields__ if f"#{name}" in when} | set(values)
        found = await self._asked(
            "update_item",
            Key=_key(tenant, task_id),
            UpdateExpression="SET " + ", ".join(f"#{name} = :{name}" for name in values),
            ConditionExpression=f"attribute_exists(id) AND ({when})",
            ExpressionAttributeNames={f"#{name}": name for name in names},
            ExpressionAttributeValues={
                **{f":{name}": typed(value) for name, value in values.items()},
                **{f":given_{name}": typed(value) for name, value in given.items()},
            },
            ReturnValues="ALL_NEW",
        )
        return Row.of(found["Attributes"]) if found else None

    async def newest(self, tenant: str | None, until: int | None) -> AsyncGenerator[Row | None]:
        """A tenant's rows that were created until then, newest first; without a tenant all rows, in no order.

        None comes last if a tenant has more of them than can be read within an answer's time.
        """
        began = time.monotonic()
        asked: dict[str, Any] = {"Limit": _PAGE}
        if tenant is not None:
            bound = {":tenant": typed(tenant)} | ({":until": typed(f"{until:014d}~")} if until is not None else {})
            asked |= {
                "IndexName": INDEX,
                "KeyConditionExpression": "tenant = :tenant" + (" AND created < :until" if until is not None else ""),
                "ExpressionAttributeValues": bound,
                "ScanIndexForward": False,
            }
        while True:
            found = await self._asked("query" if tenant is not None else "scan", **asked) or {}
            for item in found.get("Items", []):
                yield Row.of(item)
            if "LastEvaluatedKey" not in found:
                return
            if tenant is not None and time.monotonic() - began > _READ_SECONDS:
                yield None
                return
            asked["ExclusiveStartKey"] = found["LastEvaluatedKey"]

    async def reachable(self) -> None:
        """Raises:
        StateUnavailable: it cannot be reached, or is not there.
        """
        await self._asked("describe_table")

    async def aclose(self) -> None:
        await self._aws.aclose()

    async def _asked(self, operation: str, **parameters: Any) -> dict[str, Any] | None:
        """The answer, or None where the condition does not hold."""
        try:
            return await self._guard.call(lambda: self._aws.call(operation, TableName=self._name, **parameters))
        except AwsError as error:
            if error.code == "ConditionalCheckFailedException":
                return None
            raise unavailable(error) from error
        except (OSError, TimeoutError, CircuitOpen, BulkheadFull) as error:
            raise unavailable(error) from error


def client(service: str, settings: Settings) -> Aws:
    """A client of AWS; of moto where the queue's address is no https, on a developer's machine (local_aws.py)."""
    scheme, _, rest = (settings.serverless.queue_url or "").partition("://")
    if scheme != "http":
        return Aws(service)
    region = os.environ.get("AWS_REGION", REGION)
    key = {"aws_access_key_id": "local", "aws_secret_access_key": "local"}
    return Aws(service, endpoint_url=f"http://{rest.partition('/')[0]}", region_name=region, **key)


def unavailable(error: Exception) -> StateUnavailable:
    return StateUnavailable(f"The queue cannot be reached ({type(error).__name__}).", retry_after=2)


def _key(tenant: str, task_id: str) -> dict[str, dict[str, str]]:
    return {"tenant": typed(tenant), "id": typed(task_id)}
