"""How much code a team reads: Python under `src/`, by choice of variants, and the zip that AWS Lambda gets."""

import sys
from pathlib import Path

from sizes import Size
from timing import UV, render, row, run

# Lines under src/ at most; None where no limit is set.
VARIANTS = {
    ("gateway",): 4_600,
    ("queue",): 5_600,
    ("serverless",): None,
    ("gateway", "queue"): 6_800,
    ("gateway", "serverless"): None,
    ("queue", "serverless"): 6_000,
    ("gateway", "queue", "serverless"): 7_000,
}
NAMES, LONGEST = 16, 210
ZIP_MB = 50  # of all variants; Lambda takes no larger one without a bucket


def measure(template: Path, folder: Path, _: Size) -> None:
    for variants, at_most in VARIANTS.items():
        project = folder / f"size-{'-'.join(variants)}"
        render(template, project, *variants)
        lengths = {path: len(path.read_text().splitlines()) for path in (project / "src").rglob("*.py")}
        names = sum(path.name != "__init__.py" for path in (project / "src" / "my_agent").iterdir())
        longest = max(lengths, key=lengths.__getitem__)
        limit = f"(at most {at_most:,})" if at_most else ""
        row(f"{' and '.join(variants)}: lines under src/", f"{sum(lengths.values()):,}", limit)
        row("  names at the top of the package", f"{names}", f"(at most {NAMES})")
        where = longest.relative_to(project / "src" / "my_agent")
        row("  the longest file", f"{lengths[longest]}", f"{where} (at most {LONGEST})")
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    run(sys.executable, project / "scripts" / "package.py", "--uv", UV, "--python-version", version)
    [archive] = (project / "dist").glob("*.zip")
    row("zip of all variants", f"{archive.stat().st_size / 1024 / 1024:.0f} MB", f"(at most {ZIP_MB})")
