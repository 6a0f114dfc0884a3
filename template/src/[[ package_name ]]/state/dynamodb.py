"""`dynamodb://table`: shared by all functions. A table with the partition key `key`, and `expires` for its deletions.

An operation is one conditional request, or a read and a conditional write that begin anew where another write came
between. DynamoDB deletes what has expired days late, so `until` decides (milliseconds since 1970, on the callers'
clocks; AWS keeps them within a few milliseconds of each other).
"""

import re
import time
import uuid
from asyncio import sleep
from random import SystemRandom
from typing import Any

from ..guard.aws import Aws, AwsError, transient
from .items import (
    AT,
    HELD,
    PARTS,
    Item,
    account_of,
    amounts,
    entry,
    hits_of,
    item_of_account,
    item_of_hits,
    moment,
    ms,
    number,
    until,
)
from .store import MINUTE, Amount, Reserved, Window

BUSY_SECONDS = 1.0  # after so long behind concurrent writes, a reservation answers `wait`
LONGEST_PAUSE = 0.1  # seconds
LIVES = "#until > :now"
LAPSED = "#until <= :now"
MISSING = "attribute_not_exists(#key)"
UNCHANGED = "#version = :seen"
HINTS = {
    "AccessDeniedException": "the role has to allow GetItem, PutItem, UpdateItem and DeleteItem on the table",
    "ResourceNotFoundException": "there is no such table in this region and account, see docs/serverless.md",
    "ValidationException": "an entry may have 400 KB, and the table's partition key is `key`, a string",
}

_jitter = SystemRandom()  # environments restored from one snapshot draw alike from `random`


class DynamoDBStore:
    """One table. Its client is bounded, and makes no retries of its own."""

    attempt_seconds = 2.5
    unreachable: tuple[type[Exception], ...] = (AwsError, OSError)

    def __init__(self, table: str, aws: Aws) -> None:
        self._table = table
        self._aws = aws

    def transient(self, error: BaseException) -> bool:
        return transient(error)

    def reason(self, error: Exception) -> str:
        if not isinstance(error, AwsError):
            return type(error).__name__
        hint = HINTS.get(error.code)
        return f"table {self._table}: {error}" + (f" ({hint})" if hint else "")

    def away(self, error: BaseException) -> bool:
        """All but an entry that is too large."""
        if isinstance(error, AwsError):
            return error.code != "ValidationException"
        return isinstance(error, OSError)

    async def ping(self, key: str) -> None:
        await self.set(key, b"", MINUTE)

    async def get(self, key: str) -> bytes | None:
        item = await self._read(key)
        return bytes(item["value"]["B"]) if item and number(item, "until") > ms(time.time()) else None

    async def set(self, key: str, value: bytes, ttl: float) -> None:
        await self._asked("put_item", Item=entry(key, value, ttl))

    async def add(self, key: str, value: bytes, ttl: float) -> bool:
        given: Item = {"value": {"B": value}, "now": moment(time.time())}
        return (await self._write(f"{MISSING} OR {LAPSED} OR #value = :value", given, put=entry(key, value, ttl)))[0]

    async def replace(self, key: str, old: bytes, new: bytes | None, ttl: float) -> bool:
        given: Item = {"old": {"B": old}, "new": {"B": old if new is None else new}, "now": moment(time.time())}
        put = None if new is None else entry(key, new, ttl)
        return (await self._write(f"#value IN (:old, :new) AND {LIVES}", given, key=key, put=put))[0]

    async def reserve(
        self, account: str, holder: str, amount: Amount, limit: Amount, ttl: float
    ) -> tuple[Reserved, Amount]:
        """If concurrent writes come first each time, the answer is `wait`, as if they had filled the budget."""
        latest, attempt = time.monotonic() + BUSY_SECONDS, 0
        while time.monotonic() < latest:
            item = await self._read(account)
            now = time.time()
            books = account_of(item, now)
            answer, lapsed = books.reserve(holder, amount, limit, now, ttl)
            unchanged = answer != "held" and lapsed == Amount()
            if unchanged or await self._renew(item, item_of_account(account, books)):
                return answer, lapsed
            await sleep(_jitter.uniform(0, min(LONGEST_PAUSE, 0.005 * 2**attempt)))
            attempt += 1
        return "wait", Amount()

    async def settle(self, account: str, holder: str, spent: Amount, ttl: float) -> None:
        """Adds to what is there, so that no other booking can get in its way."""
        update = (
            "SET #until = :until, #expires = :expires, #version = :version REMOVE #held "
            "ADD #tokens :tokens, #micro_usd :micro_usd"
        )
        while True:
            now = time.time()
            given = until(now + ttl) | amounts(spent) | {"version": _version(), "now": moment(now)}
            condition = f"attribute_not_exists(#until) OR {LIVES}"
            booked, _ = await self._write(condition, given, key=account, update=update, held=HELD + holder)
            if booked:
                return
            await self._write(LAPSED, {"now": moment(now)}, key=account)  # what has expired is not added to

    async def hit(self, key: str, per_minute: int) -> Window:
        """Counts with one request while there is room; once a minute, and in a full window, it removes old hits."""
        update = "SET #expires = :expires, #version = :version ADD #total :one, #second :one"
        condition = "#total < :limit AND #tidied > :minute_ago"
        while True:  # a write that comes second starts again, and finds the tidied item
            now = time.time()
            second = int(now / (MINUTE / PARTS))
            given = {
                "expires": until(now + 2 * MINUTE)["expires"],
                "version": _version(),
                "one": {"N": "1"},
                "limit": {"N": str(per_minute)},
                "minute_ago": moment(now - MINUTE),
            }
            counted, item = await self._write(condition, given, key=key, update=update, second=f"{AT}{second}")
            hits = hits_of(item, now)
            full = hits.total() >= per_minute
            if not counted and not full:
                hits[second] += 1
                counted = await self._renew(item, item_of_hits(key, hits, now))
            if counted or full:
                first = (min(hits) + 1) * MINUTE / PARTS
                return Window(counted, per_minute - hits.total(), first + MINUTE - now)

    async def aclose(self) -> None:
        await self._aws.aclose()

    async def _read(self, key: str) -> Item:
        found = await self._asked("get_item", Key={"key": {"S": key}}, ConsistentRead=True)
        return dict(found.get("Item", {}))

    async def _renew(self, seen: Item, item: Item) -> bool:
        """Puts `item` in the place of what was seen, if that is still there."""
        item = item | {"version": _version()}
        if not seen:
            return (await self._write(MISSING, {}, put=item))[0]
        return (await self._write(UNCHANGED, {"seen": seen["version"]}, put=item))[0]

    async def _write(
        self,
        condition: str,
        given: Item,
        *,
        key: str = "",
        put: Item | None = None,
        update: str = "",
        **names: str,
    ) -> tuple[bool, Item]:
        """Puts, updates, or deletes where neither is asked for; whether the condition held, and the item then.

        In expressions `#name` is an attribute, and `:name` what is given for it. `names` says which attribute a name
        stands for that is not its own.
        """
        what: dict[str, Any] = {"Item": put} if put else {"Key": {"key": {"S": key}}}
        operation = "put_item" if put else "delete_item"
        if update:
            operation = "update_item"
            what |= {"UpdateExpression": update, "ReturnValues": "ALL_NEW"}
        if given:  # it refuses an empty one
            what["ExpressionAttributeValues"] = {f":{name}": value for name, value in given.items()}
        try:
            answer = await self._asked(
                operation,
                ConditionExpression=condition,
                ExpressionAttributeNames={
                    f"#{name}": names.get(name, name) for name in re.findall(r"#(\w+)", condition + update)
                },
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
                **what,
            )
        except AwsError as error:
            if error.code == "ConditionalCheckFailedException":
                return False, error.answer.get("Item", {})
            raise
        return True, answer.get("Attributes", {})

    async def _asked(self, operation: str, **parameters: Any) -> dict[str, Any]:
        return await self._aws.call(operation, TableName=self._table, **parameters)


def _version() -> dict[str, str]:
    return {"S": uuid.uuid4().hex}
