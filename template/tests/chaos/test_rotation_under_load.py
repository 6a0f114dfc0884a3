"""Keys are rotated while the service works, without a restart."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from conftest import StartService
from support.figures import Row
from support.load import Load, statuses
from support.processes import Upstream, new_key
from support.waiting import becomes

pytestmark = pytest.mark.chaos

REFRESH = 3.0


@pytest.mark.proves("security.rotation")
async def test_model_key_and_client_key_rotated_under_load(
    upstream: Upstream, start_service: StartService, tmp_path: Path, row: Row
) -> None:
    """No request fails while the model's key and the client's key are rotated; the provider refuses the old model key
    at once, and the service refuses the old client key after its removal."""
    (old_key, old_hash), (next_key, new_hash) = new_key(), new_key()
    old, new = ({"hash": hash_, "tenant": "acme"} for hash_ in (old_hash, new_hash))
    folder = tmp_path / "secrets"
    folder.mkdir()

    def mount(**secrets: object) -> None:
        """Replaces a mounted file atomically, as an orchestrator does."""
        for name, value in secrets.items():
            (folder / f".{name}").write_text(value if isinstance(value, str) else json.dumps(value))
            (folder / f".{name}").rename(folder / name)

    mount(MODEL__API_KEY="first-model-key", AUTH__KEYS={"client-1": old})
    service = start_service(
        SECRETS__SOURCE="files",
        SECRETS__DIR=str(folder),
        SECRETS__REFRESH_SECONDS=REFRESH,
        MODEL__API_KEY="",
        AUTH__KEYS={},
    )
    upstream.plays(allowed_keys=["first-model-key"], latency=0.05)

    async def answered_by(key: str) -> None:
        await becomes(lambda: upstream.stats()["keys"].get(key, 0) > 5, what=f"the model is asked with {key}")

    def rotations() -> int:
        return len(service.logs("secrets_rotated"))

    async with Load(service.url, [old_key]) as load, load.going_on(callers=8, per_second=30):
        await answered_by("first-model-key")
        # The model's key. The provider revokes the old one at the moment when the new one is mounted.
        mount(MODEL__API_KEY="second-model-key")
        upstream.plays(allowed_keys=["second-model-key"], latency=0.05)
        await answered_by("second-model-key")
        # The client's key: both keys are valid for a while, then only the new one.
        mount(AUTH__KEYS={"client-1": old, "client-2": new})
        await becomes(lambda: rotations() == 2, within=3 * REFRESH, what="the new client key is known")
        load.keys[:] = [next_key]
        mount(AUTH__KEYS={"client-2": new})
        await becomes(lambda: rotations() == 3, within=3 * REFRESH, what="the old client key is gone")
        refused = len(load.answers)
    async with Load(service.url, [old_key]) as late:
        await late.ask()
    row.shows(
        statuses=statuses(load.answers),
        refused_by_the_provider=upstream.stats()["outcomes"].get("401", 0),
        rotations=rotations(),
        old_client_key_afterwards=statuses(late.answers),
    )
    assert refused > 60
    assert statuses(load.answers) == {200: len(load.answers)}
    assert upstream.stats()["outcomes"].get("401", 0) >= 1, "the old model key was refused once, then replaced"
    assert statuses(late.answers) == {401: 1}
