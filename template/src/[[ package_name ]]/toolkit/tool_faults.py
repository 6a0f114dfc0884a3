"""Handles tools that fail on the data of an upstream."""

from typing import Any

import structlog
from pydantic_ai import RunContext, ToolDefinition, ToolFailed
from pydantic_ai.capabilities import AbstractCapability
from pydantic_ai.messages import ToolCallPart

log = structlog.get_logger(__name__)

# Exceptions that data of an unexpected shape or size cause; a 400-digit number is an OverflowError.
DATA_ERRORS = (ArithmeticError, AssertionError, AttributeError, LookupError, RecursionError, TypeError, ValueError)


class ToolFaults(AbstractCapability[Any]):
    """Reports the failure to the model, and its cause to the log: an upstream's data must not end a run with a 500."""

    async def on_tool_execute_error(
        self, ctx: RunContext[Any], *, call: ToolCallPart, tool_def: ToolDefinition, args: Any, error: Exception
    ) -> Any:
        if not isinstance(error, DATA_ERRORS):
            raise error
        log.error("tool_failed", tool=call.tool_name, exc_info=error)
        raise ToolFailed(f"{call.tool_name} failed: it cannot use the data that it received.") from error
