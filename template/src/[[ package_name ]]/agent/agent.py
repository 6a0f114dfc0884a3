"""The agent: what it is told, what it may call, what it answers with."""

from pathlib import Path

from pydantic_ai import Agent

from ..toolkit import Deps
from .tools import convert_units, exchange_rate

agent: Agent[Deps, str] = Agent(
    name="agent",
    deps_type=Deps,
    instructions=(Path(__file__).parent / "instructions.md").read_text(encoding="utf-8"),
    tools=[convert_units, exchange_rate],
    retries=2,  # times the model may correct a tool call that does not validate
)
