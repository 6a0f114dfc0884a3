"""The bookkeeping of budgets, apart from where the books are kept: no clock of its own, nothing that waits."""

from dataclasses import dataclass, field

from .store import Amount, Reserved


@dataclass
class Account:
    """What has been spent, and who holds how much. Times are in seconds, on whatever clock the keeper has."""

    spent: Amount = field(default_factory=Amount)
    held: dict[str, tuple[float, Amount]] = field(default_factory=dict)  # holder → when it lapses, what it holds
    expires: float = 0.0

    def reserve(self, holder: str, amount: Amount, limit: Amount, now: float, ttl: float) -> Reserved:
        """See Store.reserve. Who holds something already, since the answer was lost, is asked to hold it once."""
        self.held = {name: held for name, held in self.held.items() if held[0] > now and name != holder}
        if self.spent.tokens >= limit.tokens or self.spent.micro_usd >= limit.micro_usd:
            return "spent"
        taken = sum((held for _, held in self.held.values()), self.spent + amount)
        if self.held and (taken.tokens > limit.tokens or taken.micro_usd > limit.micro_usd):
            return "wait"
        self.held[holder] = (now + ttl, amount)
        self.expires = max(self.expires, now + ttl)
        return "held"

    def settle(self, holder: str, spent: Amount, now: float, ttl: float) -> None:
        self.held.pop(holder, None)
        self.spent += spent
        self.expires = max(self.expires, now + ttl)
