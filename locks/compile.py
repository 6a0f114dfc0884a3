"""Re-compiles every lock (`make lock`): first all pieces together, on the newest versions that they can share, then
each piece with these versions.

The lock of the template's own tools comes last; it is independent of the pieces.
"""

import argparse
import subprocess
import tempfile
from pathlib import Path

LOCKS = Path(__file__).resolve().parent
ROOT = LOCKS.parent
# One lock for every platform and every Python that `requires-python` allows; one version per package.
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
    """Write the lock of the `sources`."""
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
            raise SystemExit("A package is locked in two versions, so the pieces cannot be joined; narrow its bounds.")
    compile_lock(uv, [ROOT / "pyproject.toml"], ROOT / "requirements.lock", "--upgrade")
    print("requirements.lock")


if __name__ == "__main__":
    main()
