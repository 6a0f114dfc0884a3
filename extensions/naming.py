"""Names: computed defaults and validators for the questions.

Every `…_problem` function returns an empty string, or a sentence that says which answers are accepted.
"""

import json
import keyword
import math
import re
import shlex
import sys
import unicodedata
from pathlib import Path

import yaml
from jinja2 import Environment
from jinja2.ext import Extension

LOCKS = Path(__file__).parent.parent / "locks"
SERVICE_NAME_LENGTH = 40
FALLBACK_NAME = "my-agent"
FALLBACK_TITLE = "My Agent"
# Top-level modules of locked packages whose names differ from their package's, and pytest's own folder.
OTHER_MODULES = (
    "azure boolean cyclonedx dateutil dotenv google graphql griffe grpc grpc_status importlinter jwt markdown_it mypyc"
    " nats opentelemetry packageurl proto py pydantic_ai test tests tiktoken_ext yaml"
)
# Marks with a meaning in the files that answers are written into: shell, make, Docker, HTML, Jinja.
MARKUP = ("\\", "$", "`", "<", ">", "{{", "}}", "{%", "%}", "[[", "]]", "[%", "%]", "[#", "#]")


def service_slug(text: str) -> str:
    """Make a valid service name from any text."""
    ascii_text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "-", ascii_text).strip("-")
    slug = re.sub(r"^[0-9-]+", "", slug)[: SERVICE_NAME_LENGTH - len("-agent")].strip("-")
    if slug and service_name_problem(slug):
        slug += "-agent"  # `json` is taken, `json-agent` is not
    return slug if slug and not service_name_problem(slug) else FALLBACK_NAME


def package_name(service_name: str) -> str:
    """The Python package of a service."""
    return service_name.replace("-", "_")


def service_name_problem(name: str) -> str:
    """A service name is a DNS-1123 label that starts with a letter, and its package can be imported."""
    if not re.fullmatch(r"[a-z]([a-z0-9-]*[a-z0-9])?", name) or len(name) > SERVICE_NAME_LENGTH:
        return (
            f"Use at most {SERVICE_NAME_LENGTH} lowercase letters, digits and single dashes,"
            " starting with a letter and ending with a letter or digit, such as invoice-agent."
        )
    if "--" in name:
        return "Use single dashes only, such as invoice-agent."
    package = package_name(name)
    if keyword.iskeyword(package) or keyword.issoftkeyword(package):
        return f"{name} is a keyword of Python; add a word, such as {name}-agent."
    if package in sys.stdlib_module_names:
        return f"{name} is a module of Python's standard library; add a word, such as {name}-agent."
    if package in locked_modules():
        return f"{name} is a package that the service itself needs; add a word, such as {name}-agent."
    return ""


def locked_modules() -> set[str]:
    """Module names that belong to the service's dependencies."""
    locked = "\n".join(path.read_text() for path in LOCKS.glob("*.txt"))
    names = re.findall(r"^([a-z0-9-]+)==", locked, re.M)
    return {*OTHER_MODULES.split(), *(name.replace("-", "_") for name in names)}


def text_problem(text: str, length: int) -> str:
    """Free text is one printable line without marks that have a meaning in the files it is written into."""
    if not text.strip():
        return "Write at least one word."
    if text != text.strip() or not text.isprintable():
        return "Write one line, without control characters and without spaces at its start or end."
    if len(text) > length:
        return f"Write at most {length} characters; the answer has {len(text)}."
    if found := [mark for mark in MARKUP if mark in text]:
        return f"Write plain words, without {' '.join(found)}"
    return ""


def email_problem(address: str) -> str:
    """An ordinary e-mail address; quoted local parts and address literals are not accepted."""
    pattern = r"[A-Za-z0-9]([A-Za-z0-9._+-]*[A-Za-z0-9])?@([A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?\.)+[A-Za-z]{2,}"
    if not re.fullmatch(pattern, address) or len(address) > 254 or ".." in address:
        return "Give one e-mail address, such as team@example.com."
    return ""


def image_registry_problem(registry: str) -> str:
    """A registry is a host, optionally a port, and a path: an image reference without name and tag."""
    host = r"(localhost|([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z0-9]([a-z0-9-]*[a-z0-9])?)(:[0-9]{1,5})?"
    component = r"[a-z0-9]+(([._]|__|-+)[a-z0-9]+)*"
    if not re.fullmatch(rf"{host}(/{component})*", registry) or len(registry) > 128:
        return (
            "Give a host and a path in lowercase letters, without https:// and without a tag,"
            " such as registry.example.com/agents."
        )
    return ""


def cost_problem(dollars: float) -> str:
    """A daily limit is a positive amount of at most a million."""
    if not math.isfinite(dollars) or not 0 < dollars <= 1_000_000:
        return "Give an amount above 0 and at most 1000000, such as 50."
    return ""


def quoted(text: str) -> str:
    """A double-quoted string that JSON, YAML, TOML and Python all read as `text` (printable: see `text_problem`)."""
    return json.dumps(text, ensure_ascii=False)


def project_title(folder: str) -> str:
    """A project name made of the folder's name, where that is a service name or nearly one."""
    name = folder.lower().replace("_", "-")
    return FALLBACK_TITLE if service_name_problem(name) else " ".join(map(str.capitalize, name.split("-")))


def new_name_problem(name: str, folder: str | Path, answers_file: str | Path) -> str:
    """A service keeps its name: with another one the package gets another folder, and the agent stays behind."""
    answers = Path(folder, answers_file)
    known = yaml.safe_load(answers.read_text()).get("service_name") if answers.is_file() else None
    if known is None:
        return service_name_problem(name)
    if name != known:
        return f"The service is called {known}. docs/how-to/change-the-name.md of the template renames a service."
    return ""  # the rules for new names do not apply to a name in use


def first_steps(folder: str | Path) -> str:
    """The first commands in a new project. It is committed first, because an update compares with the commit."""
    path = Path(folder)
    in_a_repository = any((above / ".git").exists() for above in (path.absolute(), *path.absolute().parents))
    commit = 'git add . && git commit --message "feat: start from agent-template"'
    steps = [
        *([f"cd {shlex.quote(str(path))}"] if path != Path() else []),
        commit if in_a_repository else f"git init && {commit}",
        "make run     # start the service on this machine; it needs no key",
        "make test    # run its tests",
    ]
    return "\n".join(steps)


class NamingExtension(Extension):
    """Makes the functions above filters of copier.yml and of the template."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        for function in (
            service_slug,
            package_name,
            service_name_problem,
            text_problem,
            email_problem,
            image_registry_problem,
            cost_problem,
            quoted,
            project_title,
            new_name_problem,
            first_steps,
        ):
            environment.filters[function.__name__] = function
