"""Measures what the template promises, beside what people would use instead (`make bench`).

`make bench ONLY=gateway,streams` measures some parts; PARTS below has them all.
SIZE is smoke (seconds), quick (the default) or full (the figures of the docs; about an hour on two quiet cores).
Each part writes OUT/PART.json (bench/out); plots and tables are then drawn from all that are there.
"""

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cold_start
import commands
import durable
import figures
import first_answer
import gateway
import growth
import needs
import rendering
import replicas
import size
import soak
import streams
import timing
from sizes import SIZES, Size

PARTS: dict[str, Callable[[Path, Path, Size], dict[str, Any] | None]] = {
    "size": size.measure,
    "rendering": rendering.measure,
    "first_answer": first_answer.measure,
    "gateway": gateway.measure,
    "soak": soak.measure,
    "streams": streams.measure,
    "growth": growth.measure,
    "replicas": replicas.measure,
    "cold_start": cold_start.measure,
    "commands": commands.measure,
    "queue": durable.measure,
}
ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    only, how_much = os.environ.get("ONLY", ""), os.environ.get("SIZE") or "quick"
    chosen = only.split(",") if only else list(PARTS)
    if unknown := set(chosen) - set(PARTS):
        sys.exit(f"ONLY names {', '.join(PARTS)}, not {', '.join(sorted(unknown))}.")
    if how_much not in SIZES:
        sys.exit(f"SIZE is one of {', '.join(SIZES)}, not {how_much!r}.")
    if problems := needs.missing(chosen, SIZES[how_much]):
        sys.exit("\n".join(problems))
    # Start-up is part of what is measured, so byte code is compiled and kept, as on any machine but some CI's.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    out = Path(os.environ.get("OUT") or ROOT / "bench" / "out").resolve()
    out.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="agent-template-bench-"))
    try:
        template = folder / "template"
        subprocess.run(["git", "clone", "--quiet", ROOT, template], check=True)
        for name in chosen:
            print(f"\n{name.replace('_', ' ')}", flush=True)
            before = len(timing.rows)
            measured = PARTS[name](template, folder, SIZES[how_much]) or {}
            said = {"rows": timing.rows[before:]}
            (out / f"{name}.json").write_text(json.dumps(conditions(how_much) | said | measured, indent=1) + "\n")
            figures.draw(out)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def conditions(how_much: str) -> dict[str, Any]:
    """What a figure depends on besides the code."""
    return {
        "date": time.strftime("%Y-%m-%d"),
        "size": how_much,
        "machine": machine(),
        "python": platform.python_version(),
    }


def machine() -> str:
    """Cores, their model, memory and kernel in a line."""
    cpus = Path("/proc/cpuinfo")
    models = [line.partition(":")[2].strip() for line in cpus.read_text().splitlines() if line.startswith("model name")]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} cores ({models[0] if models else 'unknown'}), {memory:.0f} GiB, {platform.release()}"


if __name__ == "__main__":
    main()
