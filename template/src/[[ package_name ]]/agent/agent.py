"""The agent: its instructions, its tools and its output type."""

from pathlib import Path

from pydantic_ai import Agent

from ..toolkit import Deps, ToolFaults
from .tools import convert_units, exchange_rate

agent: Agent[Deps, str] = Agent(
    name="agent",
    deps_type=Deps,
    instructions=(Path(__file__).parent / "instructions.md").read_text(encoding="utf-8"),
    tools=[convert_units, exchange_rate],
    capabilities=[ToolFaults()],
    retries=2,  # times that the model may correct an invalid tool call
)
