"""The fault schedule: which request gets which fault. `upstream.py` plays the faults.

Rules are tried in order. A rule that matches takes its `share` of the requests (shares of several rules add up, as in
"10% 429, 1% hangs"), after its first `skip` and for at most `times` of them, from
`after` seconds on for `lasts` seconds.
The draw is seeded, so that the same schedule gives the same faults in the same order.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field, fields
from typing import Any

from support.upstream_oddities import ODDITIES

KINDS = {
    "status",  # answers `status` with an OpenAI error body, or `text` as the body; `retry_after` adds the header
    "reset",  # closes the connection without an answer
    "hang",  # reads the request and never answers
    "drip",  # a good answer, one byte every `seconds`
    "truncated_json",  # 200, but the JSON is incomplete
    "wrong_json",  # 200 and JSON, but not a completion
    "not_json",  # 200 and an HTML page, as a misconfigured proxy sends
    "cut",  # closes the connection in the middle of the body or stream
    "big",  # a good answer with `bytes` of text
    "bomb",  # a good answer and `bytes` of white space, compressed by `encoding`: small on the wire
    "body",  # 200 with `text` as the body, typed as JSON
    "latency",  # a good answer after `seconds`
    "odd",  # a good answer in a form that only a compatible server has: an `oddity` of `upstream_oddities.py`
}


@dataclass
class Rule:
    fault: str
    share: float = 1.0
    model: str | None = None
    path: str | None = None
    asked: str | None = None
    times: int | None = None
    skip: int = 0
    after: float = 0.0
    lasts: float | None = None
    status: int = 500
    retry_after: str | None = None
    seconds: float = 1.0
    bytes: int = 10_000_000
    encoding: str = "gzip"
    text: str = ""
    oddity: str = ""

    @property
    def refuses(self) -> bool:
        """Whether no model works on the request."""
        return self.fault == "status" or (self.fault == "odd" and ODDITIES[self.oddity].refuses)

    def matches(self, path: str, model: str, age: float, asked: str = "") -> bool:
        return (
            (self.model is None or self.model == model)
            and (self.path is None or self.path == path)
            and (self.asked is None or self.asked in asked)
            and self.times != 0
            and age >= self.after
            and (self.lasts is None or age < self.after + self.lasts)
        )


@dataclass
class Script:
    """Everything that `POST /_faults` sets; omitted fields return to their defaults."""

    rules: list[Rule] = field(default_factory=list)
    seed: int = 0
    answer: str | None = None
    prompt_tokens: int = 100
    completion_tokens: int = 20
    by_characters: bool = False  # tokens are a quarter of the characters, as of a model for English
    usage: Any = "told"  # else what is sent in its place; None is none
    usage_each: bool = False  # the usage so far, in each piece of a stream
    finish_reason: str = "stop"  # of a text
    ending: str = "whole"  # of a stream; else `done` ([DONE] alone), `reason` (a finish reason alone), `none`
    latency: float = 0.0
    chunk_seconds: float = 0.0
    allowed_keys: list[str] | None = None
    listening: bool = True

    @classmethod
    def parse(cls, body: dict[str, Any]) -> Script:
        unknown = set(body) - {f.name for f in fields(cls)}
        rules = [Rule(**rule) for rule in body.pop("rules", [])]
        unknown |= {rule.fault for rule in rules} - KINDS
        if unknown:
            raise ValueError(f"unknown: {', '.join(sorted(unknown))}; faults are {', '.join(sorted(KINDS))}")
        return cls(rules=rules, **body)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._started = time.monotonic()

    def pick(self, path: str, model: str, asked: str = "") -> Rule | None:
        age, draw = time.monotonic() - self._started, self._random.random()
        for rule in self.rules:
            if not rule.matches(path, model, age, asked):
                continue
            if rule.skip:
                rule.skip -= 1
            elif draw < rule.share:
                if rule.times is not None:
                    rule.times -= 1
                return rule
            else:
                draw -= rule.share
        return None
