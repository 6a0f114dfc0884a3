"""How long `copier copy --defaults` of a local clone takes, beside two other generators, and `copier update`."""

import shutil
from functools import partial
from pathlib import Path

from sizes import Size
from timing import COPIER, environment, row, run, timed

# Pinned, so that a ratio of today can be compared with one of tomorrow. Each gets its own throwaway environment.
OTHERS = {
    "fastapi-fullstack": ("0.2.21", ["create", "my_service", "--preset", "production", "--output"]),
    "agent-starter-pack": (
        "0.41.3",
        [
            *("create", "my-service", "--agent", "adk", "--deployment-target", "cloud_run"),
            *("--cicd-runner", "github_actions", "--session-type", "in_memory"),
            *("--skip-checks", "--auto-approve", "--output-dir"),
        ],
    ),
}


def measure(template: Path, folder: Path, _: Size) -> None:
    constraint = template / "requirements.lock"
    commands = environment(folder / "copier", "--constraint", constraint, *COPIER)
    target = folder / "service"
    copy: list[str | Path] = [commands / "copier", "copy", "--trust", "--defaults", "--quiet", template, target]
    wall, processor = timed(lambda: shutil.rmtree(target, ignore_errors=True), copy)
    row("copier copy --defaults", f"{wall:.2f} s", f"{processor:.2f} s CPU (to reach: 2.5 s)")
    _update(commands, template, folder / "updated")
    for name, (version, arguments) in OTHERS.items():
        try:
            commands = environment(folder / name, f"{name}=={version}")
        except RuntimeError as problem:
            row(f"{name} {version}", "-", f"could not be installed: {str(problem).strip().splitlines()[-1]}")
            continue
        output = folder / f"{name}-output"
        try:
            other, its_processor = timed(partial(empty, output), [commands / name, *arguments, output], times=3)
        except RuntimeError as problem:
            row(f"{name} {version}", "-", f"did not run: {str(problem).strip().splitlines()[-1]}")
            continue
        row(f"{name} {version}", f"{other:.2f} s", f"{its_processor:.2f} s CPU")
        row(
            "  copier copy is",
            f"{wall / other:.2f} x",
            f"{processor / its_processor:.2f} x of its CPU (to reach: 0.25)",
        )


def _update(commands: Path, template: Path, service: Path) -> None:
    """The update of a service to a version that changes one of its pages, from a repository as on a server."""
    options = ["--trust", "--defaults", "--quiet", "--vcs-ref", "HEAD"]
    run(commands / "copier", "copy", *options, f"git+file://{template}", service)
    commit = ["-c", "user.name=T", "-c", "user.email=t@example.com", "commit", "--quiet", "--message", "feat: x"]
    page = template / "template/docs/scale.md.jinja"
    page.write_text(f"{page.read_text()}\nMore.\n")
    run("git", "init", "--quiet", service)
    for folder in (service, template):
        run("git", "-C", folder, "add", "--all")
        run("git", "-C", folder, *commit)
    as_before = partial(run, "git", "-C", service, "reset", "--quiet", "--hard")
    update: list[str | Path] = [commands / "copier", "update", *options, service]
    wall, processor = timed(as_before, update, times=3)
    row("copier update", f"{wall:.2f} s", f"{processor:.2f} s CPU (to reach: 10 s)")


def empty(path: Path) -> None:
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir()
