"""Finds the secrets in the settings, in every form in which they may be printed."""

import json
import re
from collections.abc import Iterable
from urllib.parse import parse_qsl, quote, quote_plus, unquote, urlsplit

from pydantic import BaseModel, SecretStr

MASK = "***"
SHORTEST_SECRET = 6  # characters; masking shorter ones would garble ordinary words
_SHORTEST_LINE = 20  # shortest masked line of a secret with several lines, such as a PEM file
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://[^\s'\"]+", re.IGNORECASE)
_TOKEN = re.compile(r"(?=.*\d)(?=.*[A-Za-z])[A-Za-z0-9_-]{20,}")


def secret_values(settings: BaseModel) -> set[str]:
    """Every secret in use, in all forms. In an address, the password, the query's values and tokens are secret."""
    return {form for secret in _secrets(settings) if len(secret) >= SHORTEST_SECRET for form in _forms(secret)}


def masked_address(text: str) -> str:
    """`text` with the secrets of its addresses masked."""

    def masked(found: re.Match[str]) -> str:
        address = found[0]
        for secret in sorted(_in_address(address), key=len, reverse=True):
            address = address.replace(secret, MASK)
        return address

    return _ADDRESS.sub(masked, text)


def _secrets(settings: BaseModel) -> Iterable[str]:
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, BaseModel):
            yield from _secrets(value)
        elif isinstance(value, SecretStr):
            text = value.get_secret_value()
            yield from _in_address(text) if "://" in text else (text,)  # whole: a password may have quotes and blanks
        elif value is not None and not isinstance(value, dict):
            for address in _ADDRESS.findall(str(value)):
                yield from _in_address(address)


def _in_address(address: str) -> set[str]:
    """The secret parts of an address, both encoded and decoded."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return set()
    found = {parts.password or ""}
    if parts.username and not parts.password and _TOKEN.fullmatch(parts.username):
        found.add(parts.username)  # https://token@host
    found |= {value for pair in parts.query.split("&") for value in pair.split("=", 1)[1:]}
    found |= {value for _, value in parse_qsl(parts.query)}
    found |= {segment for segment in parts.path.split("/") if _TOKEN.fullmatch(segment)}
    return {part for text in found for part in (text, unquote(text)) if len(part) >= SHORTEST_SECRET}


def _forms(secret: str) -> set[str]:
    """`secret` plain, quoted as Python and JSON quote it (also twice), percent-encoded, and line by line."""
    encoded = {quote(secret), quote(secret, safe=""), quote_plus(secret)}
    once = {secret, repr(secret)[1:-1], *encoded}
    once |= {re.sub(r"%[0-9A-F]{2}", lambda escape: escape[0].lower(), text) for text in encoded}
    once |= {line.strip() for line in secret.splitlines() if len(line.strip()) >= _SHORTEST_LINE}
    for _ in range(2):
        once |= {json.dumps(text, ensure_ascii=ascii_only)[1:-1] for text in once for ascii_only in (True, False)}
    return once
