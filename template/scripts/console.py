"""What deploy.py and rollback.py share on the command line: arguments, exit codes, sentences instead of tracebacks."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated

import typer

from change import Change, Stopped, Stranded
from interrupts import Interrupted, Interrupts
from targets import Conflict, TargetError, Unusable
from targets.registry import ADDRESSES, HELP, taken, target
from trail import Trail

STRANDED = 3
Address = Annotated[str, typer.Argument(help=ADDRESSES)]
Reason = Annotated[str, typer.Option(help="why, for the record; asked for where ENVIRONMENT=production")]
_options: dict[str, str] = {}


def say(sentence: str) -> None:
    """Tells people; stdout is the audit trail's. A terminal that is gone changes nothing."""
    with suppress(OSError):
        print(sentence, file=sys.stderr, flush=True)


def run(command: Callable[..., None]) -> None:
    """Runs a command with this process' arguments; those of the target are kept for `change`."""
    _open_what_is_closed()
    options, arguments = taken(sys.argv[1:])
    _options.update(options)
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command(epilog=f"Options of a target:\n\n{HELP}")(command)
    app(arguments)


def asked_for(reason: str, interrupts: Interrupts) -> str:
    """Why, in one line; in production nothing is changed without it. A signal ends the question."""
    reason = " ".join("".join(each if each.isprintable() else " " for each in reason).split())
    if reason or os.environ.get("ENVIRONMENT") != "production":
        return reason
    if not sys.stdin.isatty():
        raise Unusable("in production the record says why: give a --reason")
    with interrupts.allowed():
        return str(typer.prompt("Why", err=True))


@contextmanager
def change(action: str, address: str) -> Iterator[Change]:
    """A change whose errors become sentences, audit records and exit codes."""
    trail, interrupts = None, Interrupts(say)
    try:
        with interrupts.allowed():
            found = target(address, _options)
            place = found.place()
            trail = Trail(found.actor(), address, os.environ.get("AUDIT_FILE"), place)
            if place:
                say(f"{address}: {place}")
        yield Change(found, _named(address), trail, say, interrupts)
    except (TargetError, Stopped, Stranded, Interrupted, OSError) as error:
        reason = str(error) or type(error).__name__
        if trail:
            with suppress(OSError):
                trail.record(action, _outcome(error), reason=reason)
        say(f"{action}: {reason}")
        code = STRANDED if isinstance(error, Stranded) else 2 if isinstance(error, Unusable) else 1
        raise typer.Exit(code) from error
    finally:
        _let_go_of_a_closed_terminal()


def _named(address: str) -> str:
    options = (word for name, value in _options.items() for word in (f"--{name.replace('_', '-')}", value))
    return shlex.join((address, *options))


def _open_what_is_closed() -> None:
    """Cron and some runners start a process without its three streams; the next file would take their place."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode))  # noqa: SIM115 until the process ends
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # whatever the locale can write
            stream.reconfigure(errors="backslashreplace")


def _let_go_of_a_closed_terminal() -> None:
    """Else Python cannot flush at its end, and its exit code is 120 in the place of ours."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _outcome(error: BaseException) -> str:
    match error:
        case Conflict():
            return "conflict"
        case Unusable():
            return "refused"
        case Stopped():
            return "stopped"
        case Interrupted():
            return "interrupted"
        case Stranded():
            return "stranded"
        case _:
            return "failed"
