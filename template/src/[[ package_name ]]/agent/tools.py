"""The agent's tools. Types validate the arguments; ModelRetry asks the model to correct its call."""

from typing import Annotated, Literal

from pydantic import Field
from pydantic_ai import ModelRetry, RunContext, ToolFailed

from ..toolkit import Deps, Unavailable

Unit = Literal["km", "miles", "m", "feet", "kg", "pounds", "celsius", "fahrenheit"]
Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$", description="ISO 4217 code, e.g. EUR")]

_FACTORS: dict[tuple[Unit, Unit], float] = {
    ("km", "miles"): 0.621371,
    ("m", "feet"): 3.28084,
    ("kg", "pounds"): 2.20462,
}


def convert_units(value: float, source: Unit, target: Unit) -> float:
    """Converts a value between units of the same kind.

    Args:
        value: the number to convert.
        source: the unit of the value.
        target: the unit to convert to.
    """
    if (source, target) == ("celsius", "fahrenheit"):
        return round(value * 9 / 5 + 32, 2)
    if (source, target) == ("fahrenheit", "celsius"):
        return round((value - 32) * 5 / 9, 2)
    if factor := _FACTORS.get((source, target)):
        return round(value * factor, 2)
    if factor := _FACTORS.get((target, source)):
        return round(value / factor, 2)
    raise ModelRetry(f"{source} and {target} do not measure the same thing; choose units of one kind.")


async def exchange_rate(ctx: RunContext[Deps], base: Currency, quote: Currency) -> float:
    """Today's exchange rate: how many units of `quote` one unit of `base` buys."""
    url = f"{str(ctx.deps.settings.rates_url).rstrip('/')}/latest"
    try:
        answer = await ctx.deps.http.get_json("rates_api", url, {"base": base, "symbols": quote})
        return float(answer["rates"][quote])
    except (Unavailable, LookupError, TypeError, ValueError, OverflowError) as error:
        raise ToolFailed(f"The rate {base}/{quote} is not available now.") from error
