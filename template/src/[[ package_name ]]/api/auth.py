"""API keys: only their hashes are known, several are valid at once, each belongs to a tenant and may expire."""

import hashlib
import hmac
import secrets as randomness
from dataclasses import dataclass
from datetime import UTC, date, datetime

import structlog

from ..config.settings import ClientKey, Settings
from ..errors import Unauthenticated

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Caller:
    """Who asks: the name of the key, and its tenant."""

    key: str
    tenant: str


ANYONE = Caller("anyone", "local")


def is_open(settings: Settings) -> bool:
    """No keys are asked for: in development, when it is said or while there are none."""
    return settings.environment == "development" and (settings.auth.disabled or not settings.auth.keys)


def tell_if_open(settings: Settings) -> None:
    """One line of warning in the log."""
    if is_open(settings):
        log.warning("open_door", reason="no key is asked for; AUTH__KEYS sets who may call")


def authenticated(settings: Settings, authorization: str) -> Caller:
    """The caller that an `Authorization` header names.

    Raises:
        Unauthenticated: always with the same words, whatever was wrong.
    """
    if is_open(settings):
        return ANYONE
    scheme, _, token = authorization.partition(" ")
    given = fingerprint(token.strip())
    found: Caller | None = None
    # Every key is compared, in constant time: how long it takes says nothing of which one came close.
    for name, key in settings.auth.keys.items():
        if hmac.compare_digest(given, key.hash) and scheme.lower() == "bearer" and not expired(key):
            found = Caller(name, key.tenant)
    if found is None:
        raise Unauthenticated("Send a valid API key as `Authorization: Bearer …`.")
    return found


def expired(key: ClientKey) -> bool:
    return key.expires is not None and datetime.now(UTC).date() > date.fromisoformat(key.expires)


def fingerprint(token: str) -> str:
    """What is stored of a key. Plain SHA-256 will do: a key has 256 random bits, there is nothing to guess."""
    return f"sha256:{hashlib.sha256(token.encode()).hexdigest()}"


def new_key() -> str:
    return randomness.token_urlsafe(32)
