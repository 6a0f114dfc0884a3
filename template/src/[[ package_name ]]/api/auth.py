"""API keys. The service knows only their hashes. Several are valid at once; each has a tenant and may expire."""

import hashlib
import secrets as randomness
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

import structlog

from ..config.clients import ClientKey
from ..config.settings import Settings
from ..errors import Unauthenticated

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Caller:
    """An authenticated client: the name of its key, its tenant, and whether it operates the service."""

    key: str
    tenant: str
    operator: bool = False


ANYONE = Caller("anyone", "local")


def is_open(settings: Settings) -> bool:
    """Whether requests need no key: in development, if AUTH__DISABLED is set or AUTH__KEYS is empty."""
    return settings.environment == "development" and (settings.auth.disabled or not settings.auth.keys)


def tell_if_open(settings: Settings) -> None:
    """Logs a warning if requests need no key."""
    if is_open(settings):
        log.warning("open_door", reason="requests need no API key; set AUTH__KEYS to require one")


def authenticated(settings: Settings, authorization: str) -> Caller:
    """The caller that an `Authorization` header identifies.

    Raises:
        Unauthenticated: with the same message for every cause, so that it tells an attacker nothing.
    """
    if is_open(settings):
        return ANYONE
    scheme, _, token = authorization.partition(" ")
    # A look-up by hash reveals nothing about the keys: nobody can choose the hash of what they send.
    names = settings.auth.names.get(fingerprint(token.strip()), [])
    valid = [name for name in names if not expired(settings.auth.keys[name])]
    if not valid or scheme.lower() != "bearer":
        raise Unauthenticated("Send a valid API key as `Authorization: Bearer …`.")
    key = settings.auth.keys[valid[-1]]
    return Caller(valid[-1], key.tenant, key.role == "operator")


def expired(key: ClientKey) -> bool:
    return key.expires is not None and datetime.now(UTC).date() > date.fromisoformat(key.expires)


def expiries(settings: Settings) -> dict[str, float]:
    """The end of each key that has one, in seconds since 1970: it is valid until the end of its day (UTC)."""
    days = {name: date.fromisoformat(key.expires) for name, key in settings.auth.keys.items() if key.expires}
    return {name: datetime.combine(day + timedelta(1), time(), UTC).timestamp() for name, day in days.items()}


def fingerprint(token: str) -> str:
    """The hash of a key. Plain SHA-256 is enough: a key has 256 random bits and cannot be guessed."""
    return f"sha256:{hashlib.sha256(token.encode()).hexdigest()}"


def new_key() -> str:
    return randomness.token_urlsafe(32)
