"""The commands of docs/runbook.md, as they stand there."""

from __future__ import annotations

import re
from pathlib import Path

RUNBOOK = Path(__file__).parents[2] / "docs" / "runbook.md"


def section(title: str) -> str:
    return RUNBOOK.read_text(encoding="utf-8").partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def block(title: str, word: str) -> str:
    """The one block of commands in a section that has this word."""
    blocks: list[str] = re.findall(r"^```(?:ba)?sh\n(.*?)^```$", section(title), re.MULTILINE | re.DOTALL)
    (found,) = [each for each in blocks if word in each]
    return found


def line(title: str, beginning: str, word: str = "") -> str:
    """The one command in a section that begins so, and has this word, without its comment."""
    found = re.findall(rf"^ *({re.escape(beginning)}.*?)(?: +#.*)?$", section(title), re.MULTILINE)
    (command,) = [each for each in found if word in each]
    return str(command)
