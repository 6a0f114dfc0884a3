"""What this service promises, and which tests prove it."""

import ast
import json
from collections.abc import Iterator
from pathlib import Path

RESULTS = Path(".readiness.json")  # written by tests/conftest.py: test id → how it ended

PROMISES = {
    "reliability.retries": "transient failures are retried within attempts, deadline and retry budget",
    "reliability.breakers": "a broken dependency is not called, and probed before it is trusted again",
    "reliability.timeouts": "every call and every run has an end",
    "reliability.fallback": "primary, fallback model, last good answer, honest 503; degraded is said",
    "reliability.health": "live, started and ready are told apart; draining is not ready",
    "reliability.idempotency": "the same key gives the same answer, once paid",
    "scale.horizontal": "replicas share limits and budgets and give the same answers",
    "scale.stateless": "what must outlive a request is in the state store",
    "scale.balancing": "a stopping replica finishes what it has; the broken model is avoided",
    "scale.rate_limits": "requests are limited per key and per tenant, exactly",
    "scale.backpressure": "work beyond capacity is refused at once",
    "scale.pooling": "one bounded pool an upstream, closed at exit",
    "observe.logs": "one JSON object a line, with context",
    "observe.traces": "one trace from the request to the model and the tools",
    "observe.metrics": "rate, errors, duration of doors, runs and dependencies",
    "security.rotation": "model and client keys change while serving",
    "security.least_privilege": "nothing has more rights than it needs",
    "security.input": "hostile input is refused with a clear error",
    "security.output": "active content and secrets do not leave",
    "security.audit": "who did what, with which outcome; tampering is found",
    "security.secrets": "secrets appear nowhere",
    "cost.budgets": "no tenant spends more than its budget",
    "cost.cache": "identical work is paid once",
    "cost.routing": "small work goes to the small model",
    "cost.prompts": "history is trimmed to a token limit",
    "cost.spend": "cost per model and tenant is a metric and a log field",
    "pattern.bulkhead": "one slow dependency does not take all workers",
    "avoid.coupling": "the core knows no door; clients are made where the guard has them",
    "ship.image": "the image is built from hashed locks and runs without rights",
    "ship.config": "every setting is checked before the start",
}


def report(project: Path) -> tuple[str, bool]:
    """A table of promises, tests and results; False when a promise has no test, or a test of it failed."""
    results: dict[str, str] = json.loads(text) if (text := _read(project / RESULTS)) else {}
    proofs: dict[str, list[str]] = {promise: [] for promise in PROMISES}
    for file in sorted((project / "tests").rglob("test_*.py")):
        for promise, test in _proofs(file):
            proofs.setdefault(promise, []).append(f"{file.relative_to(project)}::{test}")
    lines, whole = [], True
    for promise, tests in proofs.items():
        lines.append(f"{promise}: {PROMISES.get(promise, 'not a promise of this service')}")
        whole = whole and bool(tests) and promise in PROMISES
        if not tests:
            lines.append("    NO TEST proves it")
        for test in tests:
            outcome = _outcome(results, test)
            whole = whole and outcome != "failed"
            lines.append(f"    {outcome:8} {test}")
    return "\n".join(lines), whole


def _outcome(results: dict[str, str], test: str) -> str:
    found = {outcome for name, outcome in results.items() if name.partition("[")[0] == test}
    return next((worst for worst in ("failed", "skipped", "passed") if worst in found), "not run")


def _proofs(file: Path) -> Iterator[tuple[str, str]]:
    """(promise, test) for each `@pytest.mark.proves("…")`, on a function or for the whole module."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    whole_file = [mark for node in tree.body if isinstance(node, ast.Assign) for mark in _marks(node.value)]
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            for promise in [*whole_file, *(mark for item in node.decorator_list for mark in _marks(item))]:
                yield promise, node.name


def _marks(node: ast.expr) -> Iterator[str]:
    for call in ast.walk(node):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "proves":
            yield from (str(item.value) for item in call.args if isinstance(item, ast.Constant))


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""
