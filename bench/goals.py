"""The figures to reach: ratios within one run, computed from what the parts have measured."""

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median
from typing import Any

from endpoints import BARE, OURS

COMMANDS = {"ask": 1.2, "status": 0.6, "config check": 0.8}  # CPU seconds


@dataclass(frozen=True)
class Goal:
    """A figure, its spread over the rounds (the same twice without rounds), and what it should be."""

    what: str
    value: float
    least: float
    most: float
    goal: float
    at_most: bool
    unit: str = ""

    @property
    def met(self) -> bool:
        return self.value <= self.goal if self.at_most else self.value >= self.goal


def goals(parts: dict[str, Any]) -> Iterator[Goal]:
    """Those whose parts were measured."""
    if endpoints := parts.get("gateway", {}).get("endpoints"):
        yield from _of_load(endpoints)
        yield from _of_process(endpoints, parts["gateway"]["imports_cpu_s"])
    if soak := parts.get("soak"):
        its = soak["mib"][OURS]
        yield _goal(f"memory after {len(its)} minutes of load / after one", [its[-1] / its[0]], 1.03)
    if streams := parts.get("streams"):
        first, idle = streams["first_token_s"], streams["idle"][OURS]
        added = [1_000 * (seconds - median(first[BARE])) for seconds in first[OURS]]
        yield _goal("first streamed token, more than bare", sorted(added)[len(added) // 4 : -len(added) // 4], 3, " ms")
        yield _goal("a stream without news, memory", [idle["kib"]], 60, " KiB")
        yield _goal("a stream without news, share of a core", [100 * idle["core"]], 0.05, " %")
    for name, seconds in parts.get("commands", {}).get("cpu_s", {}).items():
        yield _goal(f"CPU of `{name}`, to the prompt", seconds, COMMANDS[name], " s")


def _of_load(endpoints: dict[str, Any]) -> Iterator[Goal]:
    level = "16" if "16" in endpoints[OURS]["levels"] else min(endpoints[OURS]["levels"])
    at = f"{level} connections"
    for other, least in ((BARE, 1.0), ("langgraph", 1.0), ("litellm", 1.5)):
        if other in endpoints:
            rates = _ratios(endpoints, OURS, other, level, "per_second")
            yield _goal(f"requests a second, ours / {endpoints[other]['name']}, {at}", rates, least, at_most=False)
    cached = _ratios(endpoints, "cached", BARE, level, "per_second")
    yield _goal(f"requests a second, cache hits / bare, {at}", cached, 8, at_most=False)
    ours, bare = (endpoints[one]["levels"][level]["cpu_ms"] for one in (OURS, BARE))
    yield _goal("CPU a run, more than bare", [mine - its for mine, its in zip(ours, bare, strict=True)], 0.8, " ms")
    if "64" in endpoints[OURS]["levels"]:
        yield _goal("p99 at 64 connections / bare", _ratios(endpoints, OURS, BARE, "64", "p99_ms"), 1.1)


def _of_process(endpoints: dict[str, Any], imports: list[float]) -> Iterator[Goal]:
    ours, bare = endpoints[OURS], endpoints[BARE]
    ready = [seconds / median(imports) for seconds in ours["ready_cpu_s"]]
    yield _goal("CPU to ready / importing FastAPI, pydantic-ai and its provider", ready, 1.15)
    yield _goal("memory after load / bare", [ours["loaded_mib"] / bare["loaded_mib"]], 1.25)


def _ratios(endpoints: dict[str, Any], mine: str, its: str, level: str, figure: str) -> list[float]:
    """By round, since what slows one slows the other."""
    rounds = (endpoints[one]["levels"][level][figure] for one in (mine, its))
    return [one / other for one, other in zip(*rounds, strict=True) if other]


def _goal(what: str, values: list[float], goal: float, unit: str = "", *, at_most: bool = True) -> Goal:
    return Goal(what, median(values), min(values), max(values), goal, at_most, unit)
