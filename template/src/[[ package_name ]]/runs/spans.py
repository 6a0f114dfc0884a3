"""The spans of the agent: its run, its model calls, its tools. Their metrics: models/guarded.py."""

from functools import cache

from opentelemetry.metrics import NoOpMeterProvider
from pydantic_ai.capabilities import AbstractCapability, Instrumentation
from pydantic_ai.models.instrumented import InstrumentationSettings

from ..config.settings import Settings
from ..telemetry import traces
from ..toolkit import Deps


def spans(settings: Settings) -> list[AbstractCapability[Deps]]:
    """The capability that makes the spans of the run that begins now, if they may be recorded. If they are not, making
    them would take a sixth of the run's CPU all the same.
    """
    return [_making(settings.log_content)] if traces.recorded() else []


@cache
def _making(content: bool) -> Instrumentation:
    return Instrumentation(
        settings=InstrumentationSettings(
            meter_provider=NoOpMeterProvider(), include_content=content, include_model_request_parameters=False
        )
    )
