"""Loading the settings: what is wrong is named all at once, with secrets masked."""

import difflib
import json
import os
import typing
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticUndefined

from .settings import Settings

SHORTEST_SECRET = 6  # characters; masking shorter ones would garble ordinary words


class SettingsError(Exception):
    """The settings cannot be used. `problems` holds a sentence for each variable; no secret is in it."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def load() -> Settings:
    """The settings of this process; `.env` counts in development only.

    Raises:
        SettingsError: naming every wrong, unknown or missing variable.
    """
    env_file = ".env" if os.environ.get("ENVIRONMENT", "development") == "development" else None
    problems = _unknown_names()
    stand_ins: dict[str, Any] = {}
    try:
        settings = Settings(_env_file=env_file)
    except ValidationError as error:
        for wrong in error.errors():
            problems.append(_explain(wrong))
            _stand_in(stand_ins, wrong["loc"])
        # Defaults in the place of what was wrong, to look for the problems behind it.
        settings = Settings(_env_file=env_file, **stand_ins)
    except Exception as error:  # a secret store's client raises what it likes
        problems.append(f"SECRETS__SOURCE: the secrets could not be read ({type(error).__name__}: {error})")
        raise SettingsError(problems) from error
    problems += _refused(settings)
    if problems:
        raise SettingsError(problems)
    return settings


def fields(model: type[BaseModel] = Settings, prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Every variable's name and field, in the order of the class."""
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from fields(field.annotation, f"{prefix}{name.upper()}__")
        else:
            yield f"{prefix}{name.upper()}", field


def is_secret(field: FieldInfo) -> bool:
    return field.annotation is SecretStr or SecretStr in typing.get_args(field.annotation)


def secret_values(settings: BaseModel) -> set[str]:
    """Every secret in use, for what must recognise them. Of an address, only its password is one."""
    found: set[str] = set()
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, BaseModel):
            found |= secret_values(value)
        elif isinstance(value, SecretStr):
            text = value.get_secret_value()
            found.add((urlsplit(text).password or "") if "://" in text else text)
    return {secret for secret in found if len(secret) >= SHORTEST_SECRET}


def shown(settings: BaseModel, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Every variable and its value in force, secrets masked."""
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, BaseModel):
            yield from shown(value, f"{prefix}{name.upper()}__")
        elif isinstance(value, dict):
            yield f"{prefix}{name.upper()}", ", ".join(value)  # of AUTH__KEYS the names
        else:
            yield f"{prefix}{name.upper()}", "" if value is None else str(value)


def example() -> str:
    """`.env.example`: every variable, what it means, and its default as a comment."""
    lines = ["# Every setting of the service. Copy to .env for development; elsewhere set what differs."]
    group = ""
    for name, field in fields():
        if "__" in name and name.split("__")[0] != group:
            group = name.split("__")[0]
            lines.append("")
        lines += [f"# {field.description}", f"# {name}={_as_text(field.default)}"]
    return "\n".join(lines) + "\n"


def reference() -> str:
    """docs/configuration.md: the same as a table."""
    rows = [f"| `{name}` | `{_as_text(field.default)}` | {field.description} |" for name, field in fields()]
    return "\n".join(["# Settings", "", "| variable | default | meaning |", "|---|---|---|", *rows]) + "\n"


def _as_text(default: object) -> str:
    match default:
        case None:
            return ""
        case SecretStr():
            return default.get_secret_value()
        case bool() | list() | dict():
            return json.dumps(default)
        case _:
            return str(default)


def _unknown_names() -> list[str]:
    """Variables that look like ours and are not: most likely a typing error that would go unnoticed."""
    known = {name for name, _ in fields()}
    groups = {name.split("__")[0] for name in known if "__" in name}
    problems = []
    for name in sorted(os.environ):
        if name.upper() in known or "__" not in name or name.split("__")[0] not in groups:
            continue
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean {close[0]}?" if close else "; see `config env` for all names"
        problems.append(f"{name}: there is no such setting{hint}")
    return problems


def _field_at(loc: tuple[int | str, ...]) -> tuple[str, FieldInfo | None]:
    path = [str(part).upper() for part in loc]
    known = dict(fields())
    for end in (2, 1):
        name = "__".join(path[:end])
        if name in known:
            return name, known[name]
    return "__".join(path), None


def _explain(wrong: ErrorDetails) -> str:
    name, field = _field_at(wrong["loc"])
    inside = ".".join(str(part) for part in wrong["loc"][len(name.split("__")) :])
    if field is not None and (is_secret(field) or name == "AUTH__KEYS"):
        given = f"a secret of {len(str(wrong['input']))} characters"
    else:
        given = repr(wrong["input"])[:80]
    meaning = f" ({field.description})" if field is not None and field.description else ""
    message = wrong["msg"].removeprefix("Value error, ")
    return f"{name}{f' at {inside}' if inside else ''}: given {given}; {message}{meaning}"


def _stand_in(stand_ins: dict[str, Any], loc: tuple[int | str, ...]) -> None:
    group, rest = str(loc[0]), loc[1:]
    field = Settings.model_fields[group]
    if rest and isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
        default = field.annotation.model_fields[str(rest[0])].get_default(call_default_factory=True)
        stand_ins.setdefault(group, {})[str(rest[0])] = None if default is PydanticUndefined else default
    else:
        stand_ins[group] = field.get_default(call_default_factory=True)


def _refused(settings: Settings) -> list[str]:
    """What staging and production do not start with."""
    if settings.environment == "development":
        return []
    where = f"ENVIRONMENT={settings.environment}"
    problems = []
    for role in ("primary", "fallback"):
        name = getattr(settings.model, role)
        prefix = "" if role == "primary" else "FALLBACK_"
        if name == "offline":
            problems.append(f"MODEL__{role.upper()}: {where} refuses the offline model; give provider:name")
        elif name and not name.startswith("bedrock:") and getattr(settings.model, f"{prefix.lower()}api_key") is None:
            problems.append(f"MODEL__{prefix}API_KEY: missing; {where} needs the key of {name}")
    if settings.state_url.get_secret_value().startswith("memory:"):
        problems.append(f"STATE_URL: {where} refuses memory://, which replicas cannot share; give redis://host:6379/0")
    if settings.auth.disabled:
        problems.append(f"AUTH__DISABLED: {where} refuses an open door; remove it and set AUTH__KEYS")
    if not settings.auth.keys:
        problems.append(f"AUTH__KEYS: missing; {where} needs at least one client key (`keys new NAME` makes one)")
    return problems
