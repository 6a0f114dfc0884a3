"""The runs of backticks in a draft, each found once."""

import re
from collections import deque

from .draft import Draft
from .reading import More, end_of, peek

_RUN = re.compile(r"`++")


class Backticks:
    def __init__(self, draft: Draft) -> None:
        self._draft = draft
        self._places: dict[int, deque[int]] = {}  # by length
        self._until = 0

    def code(self, at: int, final: bool) -> tuple[int, bool]:
        """Where the code ends that the run at this place begins; where the run ends if that is no code."""
        text, base = self._draft.text, self._draft.base
        behind = end_of(_RUN, text, at)
        peek(text, behind, final)
        for run in _RUN.finditer(text, max(self._until - base, 0)):
            if run.end() == len(text) and not final:
                break
            self._places.setdefault(run.end() - run.start(), deque()).append(run.start() + base)
            self._until = run.end() + base
        places = self._places.get(behind - at, deque())
        while places and places[0] < behind + base:
            places.popleft()
        if places:
            return places[0] - base + behind - at, True
        if not final:
            raise More
        return behind, False
