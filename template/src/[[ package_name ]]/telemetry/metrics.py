"""Every metric of the service. OpenTelemetry API; Prometheus reads them at `/metrics`, OTLP where configured.

Names follow the semantic conventions; the exposition turns `agent.run.duration` into `agent_run_duration_seconds`.
Label values are bounded sets: never put an id, a URL or a client's text into one.
"""

import os
import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Histogram, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource

from .objectives import LATENCY_SECONDS

SECONDS = tuple(sorted({0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, LATENCY_SECONDS}))
TOKENS = (1, 4, 16, 64, 256, 1024, 4096, 16_384, 65_536, 262_144, 1_048_576)

_meter = metrics.get_meter("service")
RUN_DURATION = _meter.create_histogram("agent.run.duration", "s", "Runs, by outcome")
RUN_COST = _meter.create_counter("agent.cost.usd", "", "US dollars spent, by model and tenant")
RUN_COST_UNKNOWN = _meter.create_counter("agent.cost.unknown", "", "Calls of a model without a known price")
BUDGET_USD = _meter.create_gauge("budget.usd_per_day", "", "US dollars that a tenant may spend in a day")
USAGE_ESTIMATED = _meter.create_counter("agent.usage.estimated", "", "Calls with estimated tokens, by model")
ANSWER_NOT_STORED = _meter.create_counter("agent.answer.not_stored", "", "Answers given, but not stored for later")
BUDGET_LAPSED = _meter.create_counter("agent.budget.lapsed", "", "Tokens booked for runs that never settled")
MODEL_TOKENS = _meter.create_histogram(
    "gen_ai.client.token.usage", "{token}", "Tokens of model requests", explicit_bucket_boundaries_advisory=TOKENS
)
MODEL_DURATION = _meter.create_histogram("gen_ai.client.operation.duration", "s", "Attempts of model requests")
DEPENDENCY_DURATION = _meter.create_histogram("dependency.call.duration", "s", "Guarded calls, by outcome")
DEPENDENCY_RETRIES = _meter.create_counter("dependency.retries", "", "Second and later attempts")
REJECTED = _meter.create_counter("requests.rejected", "", "Requests refused before any work, by reason")
SINK_DROPPED = _meter.create_counter("sink.dropped", "", "Log lines and audit records lost, by sink")
STATE_DEGRADED = _meter.create_gauge("state.degraded", "", "1 while the shared state store takes no writes")


def setup(resource: Resource) -> MeterProvider:
    """Installs the provider: Prometheus always, OTLP when `OTEL_EXPORTER_OTLP_ENDPOINT` is set."""
    from opentelemetry.exporter.prometheus import PrometheusMetricReader

    readers: list[MetricReader] = [PrometheusMetricReader(scope_info_enabled=False)]
    if os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter

        readers.append(PeriodicExportingMetricReader(OTLPMetricExporter()))
    buckets = ExplicitBucketHistogramAggregation(SECONDS)
    provider = MeterProvider(
        readers, resource, views=[View(instrument_name="*.duration", aggregation=buckets)], shutdown_on_exit=False
    )
    metrics.set_meter_provider(provider)
    for sink in ("stdout", "audit"):
        SINK_DROPPED.add(0, {"sink": sink})  # a rate needs a first value
    return provider


class Measured:
    """Times a block into a histogram, labelled with the outcome that `outcome_of` gives its exception."""

    __slots__ = ("_attributes", "_histogram", "_outcome_of", "_started")

    def __init__(
        self, histogram: Histogram, attributes: dict[str, str], outcome_of: Callable[[BaseException | None], str]
    ) -> None:
        self._histogram = histogram
        self._attributes = attributes
        self._outcome_of = outcome_of

    def __enter__(self) -> Self:
        self._started = time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        outcome = self._outcome_of(error)
        self._histogram.record(time.perf_counter() - self._started, {**self._attributes, "outcome": outcome})


def model_tokens(provider: str, model: str, input_tokens: int, output_tokens: int) -> None:
    """Records the tokens of a model's answer, by the GenAI semantic conventions."""
    attributes = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": provider, "gen_ai.request.model": model}
    MODEL_TOKENS.record(input_tokens, {**attributes, "gen_ai.token.type": "input"})
    MODEL_TOKENS.record(output_tokens, {**attributes, "gen_ai.token.type": "output"})


def model_cost(model: str, tenant: str, usd: float | None, *, estimated: bool) -> None:
    """Counts the cost of a model call; `usd` is None if the price is unknown."""
    if usd is None:
        RUN_COST_UNKNOWN.add(1, {"model": model})
    else:
        RUN_COST.add(usd, {"model": model, "tenant": tenant})
    if estimated:
        USAGE_ESTIMATED.add(1, {"model": model})


def count_models_from_zero(names: Sequence[str]) -> None:
    """Sets the counters of these models to zero: a rate needs a first value."""
    for name in names:
        RUN_COST_UNKNOWN.add(0, {"model": name})
        USAGE_ESTIMATED.add(0, {"model": name})


@contextmanager
def model_operation(provider: str, model: str) -> Generator[None]:
    """Times an attempt at a model, by the GenAI semantic conventions."""
    attributes = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": provider, "gen_ai.request.model": model}
    started = time.perf_counter()
    try:
        yield
    except BaseException as error:
        attributes["error.type"] = type(error).__name__
        raise
    finally:
        MODEL_DURATION.record(time.perf_counter() - started, attributes)


def observe_breakers(states: Callable[[], Mapping[str, int]]) -> None:
    """`dependency_breaker_state`: 0 closed, 1 half-open, 2 open."""
    _observe("dependency.breaker.state", "0 closed, 1 half-open, 2 open", "dependency", states)


def observe_audit(failing: Callable[[], bool]) -> None:
    """`sink_failing`: 1 while the audit trail cannot be written."""
    _observe("sink.failing", "1 while entries cannot be written", "sink", lambda: {"audit": int(failing())})


def observe_keys(expiries: Callable[[], Mapping[str, float]]) -> None:
    """`auth_key_expiry_timestamp_seconds`: when each key of a client ends, in seconds since 1970."""
    _observe("auth.key.expiry.timestamp.seconds", "When the key ends, in seconds since 1970", "key", expiries)


def _observe(name: str, description: str, label: str, values: Callable[[], Mapping[str, float]]) -> None:
    def read(_: CallbackOptions) -> Iterable[Observation]:
        return [Observation(value, {label: name}) for name, value in values().items()]

    _meter.create_observable_gauge(name, [read], "", description)
