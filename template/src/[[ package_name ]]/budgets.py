"""Budgets per tenant and day: reserved before a run, settled after it, exact on any number of replicas.

A run reserves `BUDGET__TOKENS_PER_RUN` (which also bounds it) and gives back what it did not use. While others'
reservations leave no room, it waits for them: nobody is refused for money that is only reserved, and nobody gets
what is spent. The last run of a day may end over the limit, by no more than its own size.
"""

import asyncio
import copy
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache

from genai_prices import Usage, calc_price
from pydantic_ai.usage import RunUsage, UsageLimits

from .errors import BudgetExceeded
from .settings import BudgetSettings, RunSettings
from .state import Amount, State

_POLL_SECONDS = 0.05
_LAPSE_SECONDS = 30.0
_TWO_DAYS = 2 * 86_400.0
_MICRO = 1_000_000


class Budgets:
    """The daily budgets of all tenants."""

    def __init__(self, state: State, budget: BudgetSettings, run: RunSettings) -> None:
        self._state = state
        self._limit = Amount(budget.tokens_per_day, int(budget.usd_per_day * _MICRO))
        self._tokens_per_run = min(budget.tokens_per_run, budget.tokens_per_day)
        self._tool_calls = run.max_tool_calls

    def limits(self) -> UsageLimits:
        """What pydantic-ai enforces inside one run."""
        return UsageLimits(total_tokens_limit=self._tokens_per_run, tool_calls_limit=self._tool_calls)

    @asynccontextmanager
    async def reserve(
        self, tenant: str, run_id: str, model: str, seconds: float, earlier: RunUsage | None = None
    ) -> AsyncGenerator[RunUsage]:
        """Holds a run's worth of `tenant`'s budget; books what the yielded usage says at the end.

        What it says at the beginning, `earlier`, was booked before and counts for the limits of the run alone. A
        crashed run's reservation is given back a while after the `seconds` that it had.

        Raises:
            BudgetExceeded: the day's budget is spent; `retry_after` is the time to midnight UTC.
        """
        now = datetime.now(UTC)
        account = f"budget:{tenant}:{now:%Y-%m-%d}"
        worst = Amount(self._tokens_per_run, int(worst_price(model, self._tokens_per_run) * _MICRO))
        lapse = seconds + _LAPSE_SECONDS
        while (answer := await self._state.reserve(account, run_id, worst, self._limit, lapse)) == "wait":
            await asyncio.sleep(_POLL_SECONDS)
        if answer == "spent":
            midnight = now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
            raise BudgetExceeded(
                f"Tenant {tenant} has spent its budget for {now:%Y-%m-%d} (UTC).",
                retry_after=(midnight - now).total_seconds(),
            )
        earlier = earlier or RunUsage()
        usage = copy.copy(earlier)
        try:
            yield usage
        finally:
            cost = (usage.cost or 0) - (earlier.cost or 0)
            spent = Amount(usage.total_tokens - earlier.total_tokens, int(cost * _MICRO))
            # Shielded: a cancelled run has still cost what it cost.
            await asyncio.shield(self._state.settle(account, run_id, spent, _TWO_DAYS))


@lru_cache(maxsize=64)
def worst_price(model: str, tokens: int) -> Decimal:
    """US dollars if `model` (`provider:name`) wrote all `tokens` itself; 0 when its price is not known."""
    provider, _, name = model.partition(":")
    try:
        return calc_price(Usage(output_tokens=tokens), name, provider_id=provider.removesuffix("-chat")).total_price
    except LookupError:
        return Decimal(0)
