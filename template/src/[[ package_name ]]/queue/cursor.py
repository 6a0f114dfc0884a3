"""Where a list of tasks goes on. Times, not numbers: tasks that come in meanwhile shift nothing."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

from ..errors import InvalidInput


@dataclass(frozen=True)
class Place:
    """A place in the list: a time in milliseconds, and how many tasks of just that time are behind it."""

    milliseconds: int | None = None
    skip: int = 0

    @classmethod
    def read(cls, cursor: str | None) -> Self:
        if cursor is None:
            return cls()
        if not re.fullmatch(r"\d{1,14}-\d{1,6}", cursor):
            raise InvalidInput("This cursor is not one that this service has given.")
        milliseconds, skip = map(int, cursor.split("-"))
        return cls(milliseconds, skip)

    def __str__(self) -> str:
        return f"{self.milliseconds}-{self.skip}"

    def until(self) -> str | None:
        if self.milliseconds is None:
            return None
        return datetime.fromtimestamp((self.milliseconds + 0.5) / 1000, UTC).isoformat()

    def after(self, milliseconds: int) -> Self:
        return type(self)(milliseconds, self.skip + 1 if milliseconds == self.milliseconds else 1)
