"""What deploys and rollbacks are started with: streams, reasons, users and files as they come, whatever the target."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"


def python(code: str, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs code beside the scripts."""
    command = [sys.executable, "-c", code, *words]
    return subprocess.run(
        command, cwd=SCRIPTS, env=os.environ | environment, capture_output=True, text=True, check=False
    )


@pytest.mark.proves("ship.safely")
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_change_no_exit_code(closed: str) -> None:
    command = ["sh", "-c", f'exec "$0" "$1" nowhere:x {closed}', sys.executable, str(SCRIPTS / "rollback.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert ("is no target" in done.stderr) == ("2>&-" not in closed)
    assert done.stdout == "", "the audit trail's"


@pytest.mark.proves("ship.safely")
def test_without_a_terminal_and_a_reason_production_is_left_alone() -> None:
    code = "import console; console._open_what_is_closed(); console.asked_for(' ', None)"
    command = ["sh", "-c", 'exec "$0" -c "$1" <&-', sys.executable, code]
    place = os.environ | {"ENVIRONMENT": "production"}
    done = subprocess.run(command, cwd=SCRIPTS, env=place, capture_output=True, text=True, check=False)
    assert "Unusable: in production the record says why: give a --reason" in done.stderr


@pytest.mark.proves("security.audit")
def test_a_reason_is_one_line_of_text() -> None:
    code = "import sys, console; print(console.asked_for(sys.argv[1], None))"
    assert python(code, "it\nfails\x1b[31m \udcff→ now ").stdout == "it fails [31m → now\n"


@pytest.mark.proves("security.audit")
@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_a_record_can_be_written_whatever_it_has(tmp_path: Path, encoding: str) -> None:
    code = "import sys, console; console._open_what_is_closed(); console.Trail(*sys.argv[1:]).record('deploy', 'ok')"
    file = tmp_path / "audit.jsonl"
    done = python(code, "anna", "compose:\udcff→", str(file), PYTHONIOENCODING=encoding)
    assert done.returncode == 0, done.stderr
    record = json.loads(file.read_text(encoding="utf-8"))
    digest = record.pop("hash")
    text = json.dumps(record, sort_keys=True, ensure_ascii=False)
    assert (record["target"], digest) == ("compose:\\udcff→", hashlib.sha256(text.encode()).hexdigest())


@pytest.mark.proves("security.audit")
@pytest.mark.parametrize("garbage", [b"\xff\xfe\n", b'{"sequence": 1}\n', b'{"chain": "a"', b"null\n"])
def test_a_trail_that_is_none_is_told_of_before_anything_is_done(tmp_path: Path, garbage: bytes) -> None:
    file = tmp_path / "audit.jsonl"
    file.write_bytes(garbage)
    done = python("import sys, trail; trail.Trail('anna', 'compose:x', sys.argv[1])", str(file))
    assert "OSError" in done.stderr
    assert "does not end with an audit record: begin another file" in done.stderr
    assert file.read_bytes() == garbage
