"""Traces: OpenTelemetry, W3C context from the caller, OTLP when `OTEL_EXPORTER_OTLP_ENDPOINT` is set."""

import os

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased


def setup(resource: Resource) -> TracerProvider:
    """Installs the provider. Without an endpoint, no spans are recorded, but trace ids still connect logs and calls.

    With an endpoint, OpenTelemetry's own `OTEL_TRACES_SAMPLER` sets the sampler.
    """
    if not exported():
        provider = TracerProvider(sampler=ParentBased(ALWAYS_OFF, remote_parent_sampled=ALWAYS_OFF), resource=resource)
    else:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        provider = TracerProvider(resource=resource)
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    return provider


def exported() -> bool:
    """Whether spans are sent to an endpoint."""
    return bool(os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"))


def recorded() -> bool:
    """Whether spans that are made now may be recorded. A parent in this process, left out by the sampler, decides it;
    a parent elsewhere does not, since `OTEL_TRACES_SAMPLER` may ignore it.
    """
    parent = trace.get_current_span().get_span_context()
    return exported() and (not parent.is_valid or parent.is_remote or parent.trace_flags.sampled)


def ids() -> tuple[str, str] | None:
    """(trace id, span id) of the current span in hexadecimal; None outside a span."""
    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return None
    return trace.format_trace_id(context.trace_id), trace.format_span_id(context.span_id)
