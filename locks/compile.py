"""Re-compiles every lock (`make lock`): the newest versions that all pieces can share, then each piece on them.

The lock of the template's own tools comes last; it shares nothing with the pieces.
"""

import argparse
import subprocess
import tempfile
from pathlib import Path

LOCKS = Path(__file__).resolve().parent
ROOT = LOCKS.parent
# One lock for every platform and every Python from the floor of `requires-python` on, each package in one version.
OPTIONS = [
    "--universal",
    "--python-version=3.11",
    "--fork-strategy=fewest",
    "--generate-hashes",
    "--no-header",
    "--no-annotate",
    "--quiet",
]


def compile_lock(uv: str, sources: list[Path], output: Path, *options: str) -> None:
    """Write the lock of these `.in` files."""
    subprocess.run(
        [uv, "pip", "compile", *OPTIONS, *options, "--output-file", str(output), *map(str, sources)],
        check=True,
        stdout=subprocess.DEVNULL,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--uv", default="uv", help="the uv to compile with")
    uv = parser.parse_args().uv
    sources = sorted(LOCKS.glob("*.in"))
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "whole.txt"
        compile_lock(uv, sources, whole, "--upgrade")
        for source in sources:
            output = source.with_suffix(".txt")
            compile_lock(uv, [source], output, "--upgrade", "--constraint", str(whole))
            print(f"locks/{output.name}: {output.read_text().count('==')} packages")
        versions = [line.split()[0] for line in whole.read_text().splitlines() if "==" in line]
        if len(versions) != len({pin.split("==")[0] for pin in versions}):
            raise SystemExit("A package is locked in two versions; narrow its bounds, the pieces cannot be joined.")
    compile_lock(uv, [ROOT / "pyproject.toml"], ROOT / "requirements.lock", "--upgrade")
    print("requirements.lock")


if __name__ == "__main__":
    main()
