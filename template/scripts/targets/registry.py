"""The kinds of targets: how an address names one, what else can be said of it, and which packages it needs."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

from . import Target, Unusable


@dataclass(frozen=True)
class Kind:
    """A kind of target. Its module is imported only when it is used, with its packages."""

    module: str
    name: str  # of the class
    address: str
    options: dict[str, str] = field(default_factory=dict)  # name → help
    packages: tuple[str, ...] = ()


KINDS = {
    "lambda": Kind(
        "aws_lambda",
        "AwsLambda",
        "lambda:FUNCTION",
        {"bucket": "S3 bucket that a zip of more than 50 MB goes through"},
        ("boto3>=1.44,<2",),
    ),
    "compose": Kind(
        "compose",
        "Compose",
        "compose:FOLDER",
        {
            "errors": "percent of answers with a 5xx that stop a rollout (1.44: burns 99.9 % 14.4 times too fast)",
            "latency": "mean seconds of an answer that stop a rollout (10)",
            "ready-seconds": "how long a revision may take until it is ready (120)",
        },
    ),
    "kubernetes": Kind(
        "kubernetes",
        "Kubernetes",
        "kubernetes:NAMESPACE/NAME",
        {
            "context": "the context of kubectl; default: the current one",
            "prometheus": "address of the Prometheus that watches a revision",
            "errors": "percent of answers with a 5xx that stop a rollout (1.44: burns 99.9 % 14.4 times too fast)",
            "latency": "mean seconds of an answer that stop a rollout (10)",
            "ready-seconds": "how long a revision may take until it is ready (300)",
        },
    ),
}
PRESENT = {kind: each for kind, each in KINDS.items() if (Path(__file__).parent / f"{each.module}.py").exists()}
ADDRESSES = " or ".join(kind.address for kind in PRESENT.values())
HELP = "\n\n".join(
    f"{kind.address}: " + ("; ".join(f"--{name}: {text}" for name, text in kind.options.items()) or "no options")
    for kind in PRESENT.values()
)


def taken(arguments: list[str]) -> tuple[dict[str, str], list[str]]:
    """The options of the target that is among these arguments, and the other arguments."""
    kinds = [PRESENT[each.partition(":")[0]] for each in arguments if each.partition(":")[0] in PRESENT and ":" in each]
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for name in kinds[0].options if kinds else ():
        parser.add_argument(f"--{name}", dest=name.replace("-", "_"), default=argparse.SUPPRESS)
    options, others = parser.parse_known_args(arguments)
    return vars(options), others


def target(address: str, options: dict[str, str]) -> Target:
    """The target of an address.

    Raises:
        Unusable: no such kind of target.
    """
    kind, _, name = address.partition(":")
    if kind not in PRESENT or not name:
        raise Unusable(f"{address!r} is no target; give {ADDRESSES}")
    try:
        module = import_module(f"targets.{PRESENT[kind].module}")
    except ModuleNotFoundError as error:
        _again_with(PRESENT[kind].packages, error)
    found: Target = getattr(module, PRESENT[kind].name)(name, **options)
    return found


def _again_with(packages: tuple[str, ...], error: ModuleNotFoundError) -> None:
    """Starts anew with the packages of this target alone, where uv runs the script."""
    uv = os.environ.get("UV")
    if not uv or "ROLLOUT_WITH" in os.environ:
        raise Unusable(f"{error.name} is not installed; run it by uv: uv run {sys.argv[0]} …") from error
    sys.stdout.flush()
    chosen = [part for package in packages for part in ("--with", package)]
    environment = os.environ | {"ROLLOUT_WITH": " ".join(packages)}
    os.execve(uv, [uv, "run", "--quiet", *chosen, *sys.argv], environment)  # noqa: S606 the uv that runs this script
