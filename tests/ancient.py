"""A version of the template from long ago, made up: it asks less, and its files have other names and other words."""

import re
from pathlib import Path

from conftest import git

PACKAGE = "template/src/[[ package_name ]]"
MOVED = {
    f"{PACKAGE}/guard/outbound.py.jinja": f"{PACKAGE}/outbound.py.jinja",
    f"{PACKAGE}/health.py": f"{PACKAGE}/condition.py",
    "template/docs/scale.md.jinja": "template/docs/limits.md.jinja",
}
DROPPED = {f"{PACKAGE}/legacy.py": '"""Of no use any more."""\n', "template/docs/legacy.md": "# Of no use any more\n"}
ADDED = ("template/docs/openai.md*", "template/tests/contract/*", f"{PACKAGE}/toolkit/saga.py", "template/AGENTS.md*")
NOT_ASKED = ("license", "ci", "image_registry", "daily_cost_limit_usd", "python_version")
ASKED = "colour:\n  type: str\n  ask: false\n  default: blue\n\n"


def with_ancient_past(history: Path, folder: Path) -> tuple[Path, str]:
    """A template with a version from long ago before its newest one, and that old version's commit."""
    template = folder / "template" / "agent-template"
    git(history, "clone", "--quiet", history, template)
    for now, then in MOVED.items():
        git(template, "mv", now, then)
    git(template, "rm", "--quiet", *ADDED)
    for path, text in DROPPED.items():
        (template / path).write_text(text)
    questions = (template / "copier.yml").read_text()
    for question in NOT_ASKED:
        questions, times = re.subn(rf"^{question}:\n", f"{question}:\n  when: false\n", questions, flags=re.M)
        assert times == 1, question
    (template / "copier.yml").write_text(questions.replace("\nproject_name:\n", f"\n{ASKED}project_name:\n", 1))
    readme = template / "template/README.md.jinja"
    readme.write_text(readme.read_text().replace("\n## ", "\n## About: "))
    git(template, "add", "--all")
    git(template, "commit", "--quiet", "--message", "feat: long ago")
    ancient = git(template, "rev-parse", "HEAD").strip()
    git(template, "revert", "--no-edit", "HEAD")
    return template, ancient
