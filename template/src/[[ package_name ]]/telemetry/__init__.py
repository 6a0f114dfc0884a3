"""Logs, metrics, traces and the audit trail. Imports nothing else of the service."""

import os
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager

from opentelemetry.sdk.resources import Resource

from . import logs, metrics, sinks, traces

LAST_LINES_SECONDS = 1.0  # how long the end of the process waits for unread log lines


@contextmanager
def running(
    service: str, version: str, environment: str, log_level: str, secrets: Callable[[], Iterable[str]]
) -> Generator[Callable[[float], None]]:
    """Installs logging, metrics and tracing for the process, and flushes them at the end.

    Yields a function that sends the metrics and spans so far, and returns after the given seconds at the latest.
    """
    resource = Resource.create(
        {"service.name": service, "service.version": version, "deployment.environment.name": environment}
    )
    # Seconds per request to the collector; also how long an unreachable collector delays the end of the process.
    os.environ.setdefault("OTEL_EXPORTER_OTLP_TIMEOUT", "2")
    logs.setup(log_level, secrets)
    meters = metrics.setup(resource)
    tracers = traces.setup(resource)

    def flush(seconds: float) -> None:
        if traces.exported():
            threads = ThreadPoolExecutor(2)
            wait([threads.submit(tracers.force_flush), threads.submit(meters.force_flush)], timeout=seconds)
            threads.shutdown(wait=False)
        sinks.stdout().sink.flush(seconds)

    try:
        yield flush
    finally:
        tracers.shutdown()
        meters.shutdown()
        sinks.stdout().sink.flush(LAST_LINES_SECONDS)
