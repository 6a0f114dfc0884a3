"""Logs, metrics, traces and the audit trail. Knows nothing of the rest of the service."""

import os
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager

from opentelemetry.sdk.resources import Resource

from . import logs, metrics, traces


@contextmanager
def running(
    service: str, version: str, environment: str, log_level: str, secrets: Callable[[], Iterable[str]]
) -> Generator[None]:
    """Installs logging, metrics and tracing for the process, and flushes them at the end."""
    resource = Resource.create(
        {"service.name": service, "service.version": version, "deployment.environment.name": environment}
    )
    # Seconds a request to the collector may take; at the end, when it is away, the process waits for it.
    os.environ.setdefault("OTEL_EXPORTER_OTLP_TIMEOUT", "2")
    logs.setup(log_level, secrets)
    meters = metrics.setup(resource)
    tracers = traces.setup(resource)
    try:
        yield
    finally:
        tracers.shutdown()
        meters.shutdown()
