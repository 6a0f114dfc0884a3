"""The errors of a Redis server, and what an operator should know about each. docs/scale.md has the same table."""

import re
from typing import NamedTuple

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError


class Refusal(NamedTuple):
    """`meaning` continues "the server …". With `again`, another attempt at once, on a new connection, may succeed."""

    meaning: str
    again: bool = False


_CLUSTER = Refusal("is a node of a Redis Cluster, whose redirects are not followed: STATE_URL names one primary")
_RIGHTS = Refusal("gives the user of STATE_URL too few rights; docs/scale.md lists those that are needed")
_SCRIPT = Refusal("is busy with a script; SCRIPT KILL, or else SHUTDOWN NOSAVE, ends it")

# By the code of the error, or by words in it. Redis 6 wraps an error that a script has met into another one.
REFUSALS = {
    "READONLY": Refusal("is a replica, which accepts no writes", again=True),
    "MASTERDOWN": Refusal("is a replica that has lost its primary", again=True),
    "LOADING": Refusal("is still loading its data", again=True),
    "max number of clients": Refusal("has no room for another connection (maxclients)", again=True),
    "CLUSTERDOWN": Refusal("belongs to a Redis Cluster that is down", again=True),
    "TRYAGAIN": Refusal("belongs to a Redis Cluster that moves these keys", again=True),
    "NOREPLICAS": Refusal("has too few replicas to accept writes (min-replicas-to-write)"),
    "OOM": Refusal("has no memory left (maxmemory, and its policy evicts nothing)"),
    "MISCONF": Refusal("cannot write to its disk, and accepts no writes meanwhile"),
    "BUSY": _SCRIPT,
    "UNKILLABLE": _SCRIPT,
    "NOAUTH": Refusal("wants a password; put it into STATE_URL"),
    "WRONGPASS": Refusal("does not accept the user and password of STATE_URL"),
    "NOPERM": _RIGHTS,
    "ACL failure in script": _RIGHTS,
    "The user executing the script can't run": _RIGHTS,
    "unknown command": Refusal("does not know a command that the service needs"),
    "MOVED": _CLUSTER,
    "ASK": _CLUSTER,
    "CROSSSLOT": _CLUSTER,
}
_KNOWN = re.compile("|".join(rf"\b{re.escape(words)}\b" for words in REFUSALS))
_WHERE = re.compile(r" script: \w+, on @user_script:\d+\.$")
_LONGEST = 300  # characters of the server's own message


def refusal(error: BaseException) -> Refusal | None:
    """The known refusal behind `error`; None for a lost connection, and for an error of one command only."""
    found = _KNOWN.search(_said(error)) if isinstance(error, RedisError) else None
    return REFUSALS[found[0]] if found else None


def away(error: BaseException) -> bool:
    """Whether `error` would meet every command, and not just this one."""
    return _unreachable(error) or refusal(error) is not None


def passing(error: BaseException) -> bool:
    """Whether another attempt at once, on a new connection, may succeed."""
    refused = refusal(error)
    return refused.again if refused else _unreachable(error)


def words(error: BaseException) -> str:
    """The reason in words, for an operator."""
    refused = refusal(error)
    said = _said(error)[:_LONGEST]
    if refused:
        return f"the server {refused.meaning} ({said})"
    if type(error) is TimeoutError:
        said = "no answer in time"
    return f"unreachable ({said or type(error).__name__})" if _unreachable(error) else f"the server said: {said}"


def _unreachable(error: BaseException) -> bool:
    return isinstance(error, RedisConnectionError | RedisTimeoutError | OSError)


def _said(error: BaseException) -> str:
    """The server's own message: the client removes the codes that it knows, and a script adds where it was."""
    code = getattr(error, "status_code", None)
    return _WHERE.sub("", f"{code} {error}" if code else str(error))
