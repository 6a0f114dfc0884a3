"""Values of settings that pydantic does not know: JSON in a variable, addresses of servers, files to write to."""

import json
import os
import re
from pathlib import Path
from urllib.parse import urlsplit

_PLACE = r"(?:[\w.-]+|\x5b[\da-fA-F:.]+\x5d)(?::\d{1,5})?"
_SENTINELS = re.compile(rf"rediss?\+sentinel://(?:[^/?#]*@)?{_PLACE}(?:,{_PLACE})*/[^/?#]+(?:/\d+)?(?:\?\S*)?")


def from_json(value: object) -> object:
    if isinstance(value, str):
        try:
            return json.loads(value)
        except ValueError:
            raise ValueError("not JSON") from None
    return value


def listed(value: object) -> object:
    """A list from JSON, or from texts with commas between them."""
    if isinstance(value, str) and not value.lstrip().startswith("["):
        return [text.strip() for text in value.split(",") if text.strip()]
    return from_json(value)


def is_address(text: str, *schemes: str) -> bool:
    try:
        address = urlsplit(text)
        known = text.startswith(tuple(f"{scheme}:" for scheme in schemes))  # in lower case, as the clients want it
        return known and (address.port is None or address.port > 0)
    except ValueError:  # a port that is no number
        return False


def is_sentinel_address(text: str) -> bool:
    """`redis+sentinel://user:password@host:26379,host:26379/service/0`, or `rediss+sentinel://` for TLS."""
    return _SENTINELS.fullmatch(text) is not None


def writable(value: str) -> str:
    place = Path(value)
    if not os.access(place if place.exists() else place.absolute().parent, os.W_OK) or place.is_dir():
        raise ValueError("not a writable file in an existing folder")
    return value
