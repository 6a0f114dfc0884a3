"""A container engine without containers: the program `docker`, as far as scripts/targets/compose.py calls it.

An image is an entry in images.json: the settings of a service. A colour is a process of it, on the colour's port.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

FOLDER = Path(os.environ.get("ENGINE_FOLDER", "."))
STOP_SECONDS = 30.0


def main(words: list[str]) -> int:
    images = json.loads((FOLDER / "images.json").read_text())
    match words:
        case ["manifest", "inspect", image]:
            if image not in images:
                print(f"no such manifest: {image}", file=sys.stderr)
            return image not in images
        case ["compose", "--project-directory", _, "--env-file", _, "--env-file", file, verb, *rest]:
            if verb == "config":
                print("proxy\nblue\ngreen\nmigrate\nredis")
                print("worker-blue\nworker-green" if "ENGINE_WORKERS" in os.environ else "")
            chosen = dict(line.split("=", 1) for line in Path(file).read_text().split())
            if verb == "run":  # of `migrate`, the only one that is run once
                return migrate(chosen["NEXT_IMAGE"], images)
            for colour in (name for name in rest if not name.startswith("-")):
                if verb == "up":
                    up(colour, chosen[f"{colour.removeprefix('worker-').upper()}_IMAGE"], images)
                elif verb == "stop":
                    stop(colour)
            return 0
    print(f"the engine of the tests does not know {words}", file=sys.stderr)
    return 1


def migrate(image: str, images: dict[str, dict[str, str]]) -> int:
    """Notes for which image it was. One with MIGRATION_FAILS in its settings fails."""
    with (FOLDER / "migrations").open("a") as notes:
        notes.write(f"{image}\n")
    if failed := "MIGRATION_FAILS" in images[image]:
        print("the tables cannot be changed", file=sys.stderr)
    return failed


def up(colour: str, image: str, images: dict[str, dict[str, str]]) -> None:
    note = FOLDER / f"{colour}.json"
    if note.exists():
        noted = json.loads(note.read_text())
        if noted["image"] == image and alive(noted["pid"]):
            return
        stop(colour)
    with (FOLDER / f"{colour}.log").open("ab") as log:
        worker = colour.startswith("worker-")  # one that has nothing to do
        process = subprocess.Popen(
            ["sleep", "1000"] if worker else [os.environ["ENGINE_COMMAND"], "serve"],
            env={"PATH": os.environ["PATH"], "PORT": os.environ.get(f"{colour.upper()}_PORT", ""), **images[image]},
            cwd=FOLDER,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    note.write_text(json.dumps({"image": image, "pid": process.pid}))


def stop(colour: str, folder: Path = FOLDER) -> None:
    note = folder / f"{colour}.json"
    if not note.exists():
        return
    pid, end = json.loads(note.read_text())["pid"], time.monotonic() + STOP_SECONDS
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    while alive(pid) and time.monotonic() < end:
        time.sleep(0.05)
    note.unlink()


def alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
