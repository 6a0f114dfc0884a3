"""Logs: one JSON object per line on stdout, third-party loggers included, secrets masked."""

import logging
import re
from collections.abc import Callable, Iterable
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from . import sinks, traces

MASK = "***"
_MOST_WORDS = 200  # characters of an error's message
# Characters that change how a terminal shows a line: DEL, C1 controls, bidirectional marks and overrides, separators.
_ACTIVE = re.compile("[\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")
_secrets: Callable[[], Iterable[str]] = tuple  # returns the values to mask; set by `setup`
_QUOTED = re.compile(r"""(?<!\w)[bru]?(['"])(?:.*\1|.*)""")  # from the first quote to the last


def setup(level: str, secrets: Callable[[], Iterable[str]], stream: TextIO | None = None) -> None:
    """Sends structlog and the standard library's logging through one pipeline.

    Args:
        level: the lowest severity that is logged.
        secrets: returns the values to mask; called for each line, since secrets rotate.
        stream: the output; by default stdout, through a bounded queue that drops lines while stdout is not read.
    """
    global _secrets
    _secrets = secrets
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(allow=()),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _trace_ids,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.ExceptionRenderer(_Tracebacks()),
            _Masked(structlog.processors.JSONRenderer(ensure_ascii=False)),
        ],
    )
    if reconfigure := getattr(stream, "reconfigure", None):
        # Invalid Unicode becomes an escape, which JSON has too: no line is lost or cut.
        reconfigure(encoding="utf-8", errors="backslashreplace")
    handler = logging.StreamHandler(stream or sinks.stdout())
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    logging.captureWarnings(capture=True)
    for noisy in ("httpx", "httpx2", "httpcore", "httpcore2", "openai", "uvicorn.access"):
        logging.getLogger(noisy).setLevel("WARNING")


def words_of(message: str) -> str:
    """An error's message without what it quotes, which may be a prompt or an answer. A system error quotes a path."""
    line = message.partition("\n")[0]
    return (line if line.startswith("[Errno ") else _QUOTED.sub("'…'", line))[:_MOST_WORDS]


class _Tracebacks(structlog.tracebacks.ExceptionDictTransformer):
    """Leaves out local variables, notes and what errors quote: they hold prompts, answers and keys."""

    def __init__(self) -> None:
        super().__init__(show_locals=False)

    def __call__(self, exc_info: structlog.typing.ExcInfo) -> list[dict[str, Any]]:
        return [_without_contents(stack) for stack in super().__call__(exc_info)]


def _without_contents(stack: dict[str, Any]) -> dict[str, Any]:
    inner = [[_without_contents(one) for one in trace] for trace in stack["exceptions"]]
    words = words_of(stack["exc_value"])
    return {**stack, "exc_value": words, "exc_notes": [], "syntax_error": None, "exceptions": inner}


def _trace_ids(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    if found := traces.ids():
        event["trace_id"], event["span_id"] = found
    return event


def masked(text: str) -> str:
    """`text` with all known secrets masked."""
    for secret in _secrets():
        if secret in text:
            text = text.replace(secret, MASK)
    return text


class _Masked:
    """Renders a line, then masks the secrets in it, in any field and from any library."""

    def __init__(self, render: Callable[..., str | bytes]) -> None:
        self._render = render

    def __call__(self, logger: WrappedLogger, name: str, event: EventDict) -> str:
        line = str(self._render(logger, name, event))
        return masked(_ACTIVE.sub(lambda found: f"\\u{ord(found[0]):04x}", line))
