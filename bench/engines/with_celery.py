"""The same task for Celery on Redis. `with_celery.py submit COUNT SECONDS`; workers by `celery worker`."""

import os
import sys
import time

from celery import Celery
from marks import mark, say

app = Celery(broker=os.environ["REDIS_URL"])
app.conf.task_ignore_result = True
if "PATIENCE_SECONDS" in os.environ:  # without: acknowledged when taken, as it comes
    app.conf.task_acks_late = True
    app.conf.task_reject_on_worker_lost = True
    app.conf.broker_transport_options = {"visibility_timeout": float(os.environ["PATIENCE_SECONDS"])}


@app.task(name="task")
def task(number: int, seconds: float) -> None:
    mark(number, "begins")
    time.sleep(seconds)
    mark(number, "ends")


def submit(count: int, seconds: float) -> None:
    took = []
    for number in range(count):
        started = time.perf_counter()
        task.delay(number, seconds)
        took.append(time.perf_counter() - started)
    say(took)


if __name__ == "__main__":
    submit(int(sys.argv[2]), float(sys.argv[3]))
