"""The same task for taskiq on a Redis stream. `with_taskiq.py submit COUNT SECONDS`; workers by `taskiq worker`."""

import asyncio
import os
import sys
import time

from marks import mark, say
from taskiq_redis import RedisStreamBroker

# As it comes, without PATIENCE_SECONDS: what a dead worker had is taken up after ten minutes, under a lock that a
# worker which dies with it keeps for ever.
options = {}
if patience := os.environ.get("PATIENCE_SECONDS"):
    options = {"idle_timeout": int(1_000 * float(patience)), "unacknowledged_lock_timeout": float(patience)}
broker = RedisStreamBroker(os.environ["REDIS_URL"], **options)


@broker.task(task_name="task")
async def task(number: int, seconds: float) -> None:
    mark(number, "begins")
    await asyncio.sleep(seconds)
    mark(number, "ends")


async def submit(count: int, seconds: float) -> None:
    await broker.startup()
    took = []
    for number in range(count):
        started = time.perf_counter()
        await task.kiq(number, seconds)
        took.append(time.perf_counter() - started)
    await broker.shutdown()
    say(took)


if __name__ == "__main__":
    asyncio.run(submit(int(sys.argv[2]), float(sys.argv[3])))
