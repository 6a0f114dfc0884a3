"""Entries, accounts and windows in the form of DynamoDB's items."""

import math
import time
from collections import Counter
from typing import Any

from .ledger import Account
from .store import MINUTE, Amount

Item = dict[str, dict[str, Any]]  # {"name": {"N": "1"}}

PARTS = 60  # of a minute: hits of the same second are counted together, which keeps an item under 2 KB
HELD, AT = "held ", "at "  # the beginnings of attributes: of one for each reservation, of one for each second of hits


def ms(seconds: float) -> int:
    return int(seconds * 1000)


def moment(seconds: float) -> dict[str, str]:
    return {"N": str(ms(seconds))}


def number(item: Item, name: str) -> int:
    return int(item[name]["N"]) if name in item else 0


def until(at: float) -> Item:
    return {"until": moment(at), "expires": {"N": str(math.ceil(at))}}


def amounts(amount: Amount) -> Item:
    return {"tokens": {"N": str(amount.tokens)}, "micro_usd": {"N": str(amount.micro_usd)}}


def entry(key: str, value: bytes, ttl: float) -> Item:
    item: Item = {"key": {"S": key}, "value": {"B": value}}
    return item | until(time.time() + ttl)


def account_of(item: Item, now: float) -> Account:
    if number(item, "until") <= ms(now):
        return Account()
    books = Account(Amount(number(item, "tokens"), number(item, "micro_usd")), expires=number(item, "until") / 1000)
    for name, value in item.items():
        if name.startswith(HELD):
            lapses, tokens, micro_usd = (int(part) for part in value["S"].split())
            books.held[name.removeprefix(HELD)] = (lapses / 1000, Amount(tokens, micro_usd))
    return books


def item_of_account(key: str, books: Account) -> Item:
    held = {
        HELD + holder: {"S": f"{ms(lapses)} {amount.tokens} {amount.micro_usd}"}
        for holder, (lapses, amount) in books.held.items()
    }
    return {"key": {"S": key}} | amounts(books.spent) | until(books.expires) | held


def hits_of(item: Item, now: float) -> Counter[int]:
    """How many there were in each second of the minute that ends now."""
    hits = {int(name.removeprefix(AT)): number(item, name) for name in item if name.startswith(AT)}
    return Counter({second: n for second, n in hits.items() if (second + 1) * MINUTE / PARTS + MINUTE > now})


def item_of_hits(key: str, hits: Counter[int], now: float) -> Item:
    counts = {f"{AT}{second}": {"N": str(n)} for second, n in hits.items()}
    expires = until(now + 2 * MINUTE)["expires"]
    return {"key": {"S": key}, "total": {"N": str(hits.total())}, "tidied": moment(now), "expires": expires} | counts
