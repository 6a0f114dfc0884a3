"""The two tools of the template's example agent, for the peers that have agents. No measured request calls them."""

from typing import Literal

Unit = Literal["km", "miles", "m", "feet", "kg", "pounds", "celsius", "fahrenheit"]


def convert_units(value: float, source: Unit, target: Unit) -> float:
    """Converts a value between units of the same kind."""
    raise NotImplementedError


async def exchange_rate(base: str, quote: str) -> float:
    """Today's exchange rate: how many units of `quote` one unit of `base` buys."""
    raise NotImplementedError
