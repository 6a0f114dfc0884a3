"""The joined lock equals uv's, line by line; pieces that contradict each other are refused."""

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import lockfile
from conftest import ROOT, UV
from lockfile import LockError

LOCKS = ROOT / "locks"
PIECES = sorted(path.stem for path in LOCKS.glob("*.in"))


def entry(name: str, version: str = "1.0", marker: str | None = None) -> str:
    condition = f" ; {marker}" if marker else ""
    return f"{name}=={version}{condition} \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb\n"


names = st.sampled_from(["a", "a-b", "b", "b2", "c"])
markers = st.sampled_from([None, "sys_platform == 'win32'", "python_full_version < '3.12'"])
locks = st.lists(
    st.dictionaries(names, markers, min_size=1).map(
        lambda pins: "".join(entry(name, marker=marker) for name, marker in sorted(pins.items()))
    ),
    min_size=1,
)


@given(locks)
def test_a_join_holds_every_package_once_in_order(pieces: list[str]) -> None:
    joined = [line.split("==")[0] for line in lockfile.join(pieces).splitlines() if "==" in line]
    assert joined == sorted({line.split("==")[0] for piece in pieces for line in piece.splitlines() if "==" in line})


@given(locks)
def test_order_and_repetition_of_pieces_do_not_matter(pieces: list[str]) -> None:
    assert lockfile.join(pieces) == lockfile.join([*reversed(pieces), *pieces])


@given(locks)
def test_a_join_of_a_join_changes_nothing(pieces: list[str]) -> None:
    assert lockfile.join([lockfile.join(pieces)]) == lockfile.join(pieces)


def test_the_weaker_marker_wins() -> None:
    windows = entry("a", marker="sys_platform == 'win32'")
    assert lockfile.join([windows, entry("a")]) == entry("a")
    assert lockfile.join([entry("a"), windows]) == entry("a")
    assert lockfile.join([windows, windows]) == windows


def test_pieces_with_other_versions_are_refused() -> None:
    with pytest.raises(LockError, match=r"a is locked as 1\.0 and as 2\.0"):
        lockfile.join([entry("a"), entry("a", "2.0")])


def test_a_pin_without_hash_is_refused() -> None:
    with pytest.raises(LockError, match=r"Not a pinned, hashed requirement: 'a==1\.0'"):
        lockfile.join(["a==1.0\n"])


def test_a_provider_brings_its_client_and_a_secret_store_its_own() -> None:
    assert lockfile.pieces(["gateway"], "openai", "none", "env") == ["base", "gateway", "provider-openai"]
    assert lockfile.pieces(["gateway"], "anthropic", "openai_compatible", "vault") == [
        "base",
        "gateway",
        "provider-anthropic",
        "provider-openai",
        "secrets-vault",
    ]


def test_functions_serve_the_application_of_the_gateway() -> None:
    assert lockfile.pieces(["serverless"], "openai", "none", "env") == [
        "base",
        "gateway",
        "serverless",
        "provider-openai",
    ]
    assert lockfile.pieces(["gateway", "serverless"], "openai", "none", "env").count("gateway") == 1


def test_functions_do_their_tasks_without_dbos() -> None:
    assert lockfile.pieces(["queue", "serverless"], "openai", "none", "env") == [
        "base",
        "gateway",
        "serverless",
        "provider-openai",
    ]


def test_a_broker_brings_its_own_client_alone() -> None:
    assert lockfile.pieces(["queue"], "openai", "none", "env", "none") == ["base", "queue", "provider-openai"]
    assert lockfile.pieces(["queue"], "openai", "none", "env", "nats")[-1] == "broker-nats"


def test_only_tests_with_kafka_bring_a_broker_along() -> None:
    assert lockfile.dev_pieces(["queue"]) == lockfile.dev_pieces(["queue"], "nats") == ["dev"]
    assert lockfile.dev_pieces(["queue"], "kafka") == ["dev", "dev-kafka"]


def test_a_compatible_fallback_shares_the_client() -> None:
    assert lockfile.pieces([], "openai", "openai_compatible", "files") == ["base", "provider-openai"]


def test_requirements_carry_the_extras_of_all_pieces() -> None:
    requirements = lockfile.joined_requirements(["base", "provider-openai", "provider-anthropic"])
    assert [line for line in requirements if line.startswith("pydantic-ai")] == [
        "pydantic-ai-slim[anthropic,openai]>=2.68,<3"
    ]


def test_no_lock_names_an_address() -> None:
    for lock in [*LOCKS.glob("*.txt"), ROOT / "requirements.lock"]:
        assert "://" not in lock.read_text(), lock.name


# The matrix compares the locks of projects, in which each two pieces meet.
@pytest.mark.parametrize("selection", [["base"], ["dev"], PIECES], ids="+".join)
def test_a_join_equals_what_uv_compiles(selection: list[str], tmp_path: Path) -> None:
    joined = lockfile.joined_lock(selection)
    assert compiled([LOCKS / f"{name}.in" for name in selection], joined, tmp_path) == joined


def compiled(sources: list[Path], versions: str, folder: Path, *options: str) -> str:
    """uv's lock of these sources with the versions given; uv reads its cache, so no index is needed."""
    constraint = folder / "versions.txt"
    constraint.write_text(versions)
    command: list[str | Path] = [UV, "pip", "compile", "--universal", "--python-version=3.11", "--fork-strategy=fewest"]
    command += ["--generate-hashes", "--no-header", "--no-annotate", "--quiet", *options]
    done = subprocess.run(
        [*command, "--constraint", constraint, *sources], stdout=subprocess.PIPE, text=True, check=True
    )
    return done.stdout
