"""How much code a team gets to read: Python under `src/` of the default project."""

from pathlib import Path

from timing import COPIER, environment, row, run


def measure(template: Path, folder: Path) -> None:
    commands = environment(folder / "copier-of-size", "--constraint", template / "requirements.lock", *COPIER)
    project = folder / "size"
    run(commands / "copier", "copy", "--trust", "--defaults", "--quiet", template, project)
    lengths = {path: len(path.read_text().splitlines()) for path in (project / "src").rglob("*.py")}
    longest = max(lengths, key=lengths.__getitem__)
    row("lines of Python under src/", f"{sum(lengths.values()):,}", f"in {len(lengths)} files (to reach: 1,800)")
    row("  the longest file", f"{lengths[longest]}", f"{longest.relative_to(project)} (to reach: 200)")
