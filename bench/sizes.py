"""How much is measured: `make bench SIZE=…`. Figures for the docs are of size `full`, on a quiet machine."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Size:
    """One size; all parts take theirs from it."""

    rounds: int  # of each comparison, after one that warms up
    seconds: float  # of a round
    connections: tuple[int, ...]
    starts: int
    soak: tuple[int, float]  # how many stretches of load, and the seconds of each
    peers: bool  # whether the peers are installed; without, only our own and the bare endpoint are measured
    streams: int  # open at once, without news
    growth: tuple[int, ...]
    replicas: tuple[int, ...]
    workers: tuple[int, ...]
    no_ops: int  # tasks of ours; the others do more
    kills: int  # of workers; 0: nobody is killed


SIZES = {
    "smoke": Size(1, 2, (4,), 1, (2, 2), False, 20, (20,), (1,), (1,), 50, 0),
    "quick": Size(3, 3, (1, 16, 64), 3, (2, 60), True, 200, (1, 100, 1_000), (1, 2), (2,), 1_000, 6),
    "full": Size(
        5, 6, (1, 16, 64), 5, (10, 60), True, 1_000, (1, 100, 1_000, 10_000, 100_000), (1, 2, 4), (1, 2, 4), 3_000, 6
    ),
}
