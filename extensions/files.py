"""Which answers bring which files: `_files` in copier.yml.

At an update Copier renders the new version's `_exclude` once more, for a copy of the old version, with the old answers
and extensions. So `_exclude` names no answer: it calls `absent_files`, where each version finds its own table and its
own questions. A version from before this file knows no such function, and excludes what its own `_exclude` says.
"""

from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, UndefinedError, pass_context
from jinja2.ext import Extension
from jinja2.runtime import Context

CONFIG = Path(__file__).parent.parent / "copier.yml"


@pass_context
def absent_files(context: Context) -> str:
    """Patterns of the files that these answers do not bring, one a line."""
    config = yaml.safe_load(CONFIG.read_text())
    answers = with_defaults(context.environment, config, dict(context.get_all()))
    return "\n".join(
        pattern
        for condition, patterns in config["_files"].items()
        if not context.environment.compile_expression(condition, undefined_to_none=False)(**answers)
        for pattern in patterns
    )


def with_defaults(environment: Environment, config: dict[str, Any], answers: dict[str, Any]) -> dict[str, Any]:
    """Answers, and for each question without one its default."""
    for name, question in config.items():
        if name.startswith("_") or name in answers or "default" not in question:
            continue
        answers[name] = question["default"]
        if isinstance(question["default"], str):
            try:
                text = environment.from_string(question["default"]).render(**answers)
            except (UndefinedError, TypeError):  # computed from what Copier alone knows, such as the folder's name
                del answers[name]
            else:
                answers[name] = text if question["type"] == "str" else yaml.safe_load(text)
    return answers


class FilesExtension(Extension):
    """Gives copier.yml the function above as a global, and has each text compiled once.

    Copier compiles every part of every path, and the name of the answers file at each: 9,700 times in an update.
    """

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        environment.globals["absent_files"] = absent_files
        environment.compile = cache(environment.compile)  # type: ignore[method-assign, assignment]
