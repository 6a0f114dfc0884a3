"""A probe from outside, made by a deployment before it shifts traffic."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator

_SECONDS = 60.0


def probe(url: str, key: str) -> Iterator[tuple[str, str]]:
    """(path, problem) for each step; an empty problem means success."""
    yield "/livez", _get(f"{url}/livez")
    yield "/readyz", _get(f"{url}/readyz")
    yield "/v1/runs", _get(f"{url}/v1/runs", key, {"input": "Reply with the word ready."})


def _get(url: str, key: str = "", body: dict[str, str] | None = None) -> str:
    if not url.startswith(("http://", "https://")):
        return f"{url} is not an address; give http://… or https://…"
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
    request = urllib.request.Request(url, json.dumps(body).encode() if body else None, headers)  # noqa: S310 checked
    try:
        with urllib.request.urlopen(request, timeout=_SECONDS) as response:  # noqa: S310 checked
            answer = json.load(response)
    except urllib.error.HTTPError as error:
        return f"status {error.code}: {error.read(500).decode(errors='replace')}"
    except (OSError, ValueError) as error:
        return f"no answer: {error}"
    return "" if body is None or answer.get("output") else f"no output in {answer}"
