"""Measures what the template promises and prints ratios (`make bench`). Takes about twelve minutes on two quiet cores.

`make bench ONLY=gateway` runs one part: size, rendering, first_answer, gateway, cold_start, queue.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import cold_start
import durable
import first_answer
import gateway
import needs
import rendering
import size

PARTS = {
    "size": size.measure,
    "rendering": rendering.measure,
    "first_answer": first_answer.measure,
    "gateway": gateway.measure,
    "cold_start": cold_start.measure,
    "queue": durable.measure,
}
ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    only = os.environ.get("ONLY", "")
    if only and only not in PARTS:
        sys.exit(f"ONLY is one of {', '.join(PARTS)}, not {only!r}.")
    chosen = [only] if only else list(PARTS)
    if problems := needs.missing(chosen):
        sys.exit("\n".join(problems))
    # Start-up is part of what is measured, so byte code is compiled and kept, as on any machine but some CI's.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    folder = Path(tempfile.mkdtemp(prefix="agent-template-bench-"))
    try:
        template = folder / "template"
        subprocess.run(["git", "clone", "--quiet", ROOT, template], check=True)
        for name in chosen:
            print(f"\n{name.replace('_', ' ')}", flush=True)
            PARTS[name](template, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
