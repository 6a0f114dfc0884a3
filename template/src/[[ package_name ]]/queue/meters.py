"""The queue's metrics: `queue_depth`, `queue_oldest_task_seconds`, `tasks_total`, `tasks_takeovers_total`."""

from opentelemetry import metrics

_meter = metrics.get_meter("service")
DEPTH = _meter.create_gauge("queue.depth", "", "Tasks that wait to be begun")
OLDEST = _meter.create_gauge("queue.oldest_task", "s", "Age of the oldest task that could begin")
TASKS = _meter.create_counter("tasks", "", "Tasks that have ended, by outcome")
TAKEOVERS = _meter.create_counter("tasks.takeovers", "", "Tasks that went on in another worker because theirs had died")
DURATION = _meter.create_histogram("task.duration", "s", "Tasks from submission to their end, by outcome")
