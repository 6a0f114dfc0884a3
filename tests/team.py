"""What a team does with its service, at any version of the template: it edits, adds, splits and deletes."""

import re
import subprocess
from pathlib import Path

from conftest import UV, git

LOCK: list[str | Path] = [
    UV,
    "pip",
    "compile",
    "--quiet",
    "--universal",
    "--python-version=3.11",
    "--fork-strategy=fewest",
]
LOCK += ["--generate-hashes", "--no-header", "--no-annotate", "pyproject.toml", "--output-file"]
TOOL = '''"""Loud ones."""


async def shout(text: str) -> str:
    """Says it in capitals.

    Args:
        text: what to say.
    """
    return text.upper()  # ours
'''
ROUTE = '''"""Reports of ours."""

from fastapi import APIRouter

router = APIRouter(tags=["reports"])


@router.get("/reports")
async def reports() -> dict[str, str]:
    """Whether there are any."""
    return {"reports": "none"}
'''
TEST = '''"""A test of ours."""

from my_agent.agent.settings import AgentSettings
from my_agent.agent.tools.loud import shout


async def test_it_is_loud() -> None:
    assert await shout(AgentSettings().greeting) == "HELLO"
'''
UNWANTED = (
    "docs/cost.md",
    "compose.yaml",
    "CHANGELOG.md",
    "tests/agent/test_agent.py",
    "tests/agent/test_tools.py",
    "tests/**/test_logs.py",
)


class Team:
    """A team and its service, which is called my-agent."""

    def __init__(self, project: Path) -> None:
        self.project = project
        # Each line that it has written, with the name of its file: where that is now, is the template's business.
        self.written: dict[str, str] = {}
        self.added: list[str] = []
        self.deleted: list[str] = []

    def works(self) -> None:
        """A month's work, committed."""
        agent = "src/my_agent/agent"
        self.splits_its_tools(agent)
        self.writes(f"{agent}/instructions.md", "Be kind to our customers.")
        self.writes(f"{agent}/settings.py", '    greeting: str = Field("hello", description="ours")')
        self.writes("README.md", "Our own words.")
        self.writes("Makefile", "ours: ## Ours\n\t@echo ours")
        [ports] = re.findall("^EXPOSE .*", (self.project / "Dockerfile").read_text(), re.M)
        self.writes("Dockerfile", "ENV OUR_REGION=eu", after=ports)
        for file in (".env.example", ".github/workflows/ci.yml", ".gitlab-ci.yml"):
            if (self.project / file).exists():
                self.writes(file, f"# Our line in {file}")
        [outbound] = self.project.glob("src/**/outbound.py")
        self.writes(outbound.relative_to(self.project).as_posix(), "\nOUR_AGENT = True")
        self.adds("tests/agent/test_loud.py", TEST)
        if (self.project / "src/my_agent/gateway").exists():
            self.adds("src/my_agent/gateway/reports.py", ROUTE)
            app = "src/my_agent/gateway/app.py"
            self.writes(app, "from .reports import router as reports", after="from .middleware import Admission")
            [last] = re.findall(r"^    app\.include_router\(_?operations.*", (self.project / app).read_text(), re.M)
            self.writes(app, "    app.include_router(reports)", after=last)
        self.needs("jinja2")
        self.deletes(*UNWANTED)
        self.commits()

    def splits_its_tools(self, agent: str) -> None:
        """`tools.py` becomes a package, with one tool more."""
        tools = self.project / agent / "tools.py"
        text = re.sub(r"^from (\.+)", r"from .\1", tools.read_text(), flags=re.M)
        self.deletes(f"{agent}/tools.py")
        self.adds(f"{agent}/tools/__init__.py", '"""Our tools."""\n')
        self.adds(f"{agent}/tools/units.py", text)
        self.adds(f"{agent}/tools/loud.py", TOOL)
        file = self.project / agent / "agent.py"
        text = file.read_text().replace("from .tools import", "from .tools.loud import shout\nfrom .tools.units import")
        file.write_text(text.replace("tools=[", "tools=[shout, "))
        self.written["tools=[shout, "] = "agent.py"

    def writes(self, path: str, lines: str, after: str = "") -> None:
        """Add lines at the end of a file, or after one of its lines."""
        file = self.project / path
        text = file.read_text()
        if after:
            assert text.count(f"\n{after}\n") == 1, f"{path}: {after}"
            text = text.replace(f"\n{after}\n", f"\n{after}\n{lines}\n")
        else:
            text = f"{text}\n{lines}\n"
        file.write_text(text)
        self.written[lines] = file.name

    def adds(self, path: str, text: str) -> None:
        file = self.project / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        self.added.append(path)

    def deletes(self, *patterns: str) -> None:
        for file in [file for pattern in patterns for file in self.project.glob(pattern)]:
            file.unlink()
            self.deleted.append(file.relative_to(self.project).as_posix())

    def needs(self, requirement: str) -> None:
        """A package of its own, locked as `make lock` does."""
        file = self.project / "pyproject.toml"
        file.write_text(file.read_text().replace("dependencies = [\n", f'dependencies = [\n  "{requirement}",\n', 1))
        self.written[f'  "{requirement}",'] = "pyproject.toml"
        dev = ["requirements-dev.lock", "--extra", "dev", "--constraint", "requirements.lock"]
        for output in (["requirements.lock"], dev):
            subprocess.run([*LOCK, *output], cwd=self.project, check=True, stdout=subprocess.DEVNULL)

    def commits(self) -> None:
        git(self.project, "add", "--all")
        git(self.project, "commit", "--quiet", "--message", "feat: ours")
