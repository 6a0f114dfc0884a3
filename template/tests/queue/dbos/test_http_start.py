"""The start of a gateway whose settings are wrong."""

from pathlib import Path

from support.processes import command


def test_a_start_that_is_refused_makes_no_file(tmp_path: Path) -> None:
    refused = command("serve", folder=tmp_path, ENVIRONMENT="production")
    assert (refused.returncode, "refuses SQLite" in refused.stderr) == (2, True), refused.stderr
    refused = command("serve", folder=tmp_path, QUEUE__DATABASE_URL="sqlite:////proc/tasks.sqlite3")
    said = "QUEUE__DATABASE_URL: the file /proc/tasks.sqlite3 cannot be made"
    assert (refused.returncode, said in refused.stderr) == (2, True), refused.stderr
    assert "Traceback" not in refused.stderr
    assert list(tmp_path.iterdir()) == []
