"""Values of settings that pydantic does not know: JSON in a variable, addresses of servers."""

import json
from urllib.parse import urlsplit


def from_json(value: object) -> object:
    if isinstance(value, str):
        try:
            return json.loads(value)
        except ValueError:
            raise ValueError("not JSON") from None
    return value


def is_address(text: str, *schemes: str) -> bool:
    try:
        address = urlsplit(text)
        return address.scheme in schemes and (address.port is None or address.port > 0)
    except ValueError:  # a port that is no number
        return False
