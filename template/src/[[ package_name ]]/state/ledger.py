"""The bookkeeping of budgets, apart from where the books are kept: no clock of its own, nothing that waits."""

from dataclasses import dataclass, field

from .store import ACCOUNT_SECONDS, Amount, Reserved

BOOKED = 0.0  # the lapse time of a reservation that has lapsed and is reported


@dataclass
class Account:
    """The spending of a budget, and its reservations. Times are in seconds, on whatever clock the keeper has.

    A reservation that lapses belongs to a run that never settled: its process was killed. What the run took is unknown
    then, and unknown is not zero. The reservation stays and counts as spent, until its settlement comes after all.
    """

    spent: Amount = field(default_factory=Amount)
    held: dict[str, tuple[float, Amount]] = field(default_factory=dict)  # holder → when it lapses, what it holds
    expires: float = 0.0

    def reserve(self, holder: str, amount: Amount, limit: Amount, now: float, ttl: float) -> tuple[Reserved, Amount]:
        """See Store.reserve. A holder whose answer was lost asks again, and still holds its amount once."""
        lapses, earlier = self.held.pop(holder, (now + ttl, Amount()))
        lapsed = {name: amount for name, (at, amount) in self.held.items() if at <= now}
        new = sum((amount for name, amount in lapsed.items() if self.held[name][0] > BOOKED), Amount())
        if lapses <= now:  # an earlier attempt at the same run
            self.spent += earlier
            new += earlier if lapses > BOOKED else Amount()
        self.held.update({name: (BOOKED, amount) for name, amount in lapsed.items()})
        spent = sum(lapsed.values(), self.spent)
        if spent.tokens >= limit.tokens or spent.micro_usd >= limit.micro_usd:
            return "spent", new
        others = [amount for name, (_, amount) in self.held.items() if name not in lapsed]
        taken = sum(others, spent + amount)
        if others and (taken.tokens > limit.tokens or taken.micro_usd > limit.micro_usd):
            return "wait", new
        self.held[holder] = (now + ttl, amount)
        self.expires = max(self.expires, now + ttl + ACCOUNT_SECONDS)
        return "held", new

    def settle(self, holder: str, spent: Amount, now: float, ttl: float) -> None:
        self.held.pop(holder, None)
        self.spent += spent
        self.expires = max(self.expires, now + ttl)
