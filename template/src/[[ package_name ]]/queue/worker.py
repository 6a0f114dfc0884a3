"""A worker: takes tasks, runs them, and hands back what it cannot finish when it is stopped."""

import asyncio
import os
import platform
import signal
import uuid

import structlog
from dbos import DBOS, DBOSConfig

from .. import NAME
from ..secrets import Secrets
from ..service import Service, open_service
from ..settings import Settings
from . import events
from .database import BATCHES, QUEUE, Database, log_as_everybody
from .events import Delivery
from .heartbeat import Heartbeat
from .probes import Probes
from .schedules import Schedules
from .serial import JsonSerializer
from .tasks import Tasks, open_tasks
from .workflow import WORKFLOW_VERSION, TaskWorkflow

log = structlog.get_logger(__name__)

_SAMPLE_SECONDS = 1.0
_DELIVERIES = 16  # events that a worker delivers at once


def work(secrets: Secrets) -> None:
    """Works until told to stop: SIGTERM or SIGINT."""
    asyncio.run(_work(secrets))


async def _work(secrets: Secrets) -> None:
    settings = secrets.settings
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    async with open_service(secrets) as service, open_tasks(service) as (tasks, database):
        with Probes(service.health, tasks, settings, asyncio.get_running_loop()) as probes:
            workflow = TaskWorkflow(service, tasks)
            heartbeat = await _launch(service, tasks, database, workflow)
            log.info("working", address=f"http://{settings.host}:{probes.port}", concurrency=settings.queue.concurrency)
            sampling = asyncio.create_task(_keep_sampling(tasks))
            await stopping.wait()
            service.health.draining = True
            log.info("draining")
            sampling.cancel()
            workflow.batches.leave()
            # Takes nothing more and waits for what runs; in a thread, as what runs needs this one.
            await asyncio.to_thread(DBOS.destroy, workflow_completion_timeout_sec=int(settings.queue.grace_seconds))
            await _end_what_runs()
            heartbeat.stop()  # not in a thread: DBOS has taken the loop's own with it
    log.info("stopped")


async def _launch(service: Service, tasks: Tasks, database: Database, workflow: TaskWorkflow) -> Heartbeat:
    settings = service.settings.queue
    executor_id = f"{platform.node()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    heartbeat = Heartbeat(database, executor_id)
    await asyncio.to_thread(database.beat, executor_id)
    DBOS(config=config_of(service.settings, database, executor_id))
    log_as_everybody()
    workflow.register()
    Delivery(service.settings.events, service.outbound, tasks.events).register()
    schedules = Schedules(settings.schedules, tasks)
    schedules.register()
    DBOS.listen_queues([QUEUE, BATCHES, events.QUEUE])
    DBOS.launch()  # in the running loop, so that workflows run in it too, beside the clients they use
    await DBOS.register_queue_async(
        QUEUE,
        worker_concurrency=settings.concurrency,
        global_concurrency=settings.global_concurrency,
        partition_concurrency=settings.tenant_concurrency,
        partition_worker_concurrency=settings.concurrency,
        polling_interval_sec=settings.poll_seconds,
        on_conflict="always_update",
    )
    await DBOS.register_queue_async(
        BATCHES,
        worker_concurrency=settings.batch_concurrency,
        partition_worker_concurrency=settings.batch_concurrency,
        polling_interval_sec=settings.poll_seconds,
        on_conflict="always_update",
    )
    await DBOS.register_queue_async(
        events.QUEUE, worker_concurrency=_DELIVERIES, polling_interval_sec=1.0, on_conflict="always_update"
    )
    await schedules.apply()
    heartbeat.start()
    return heartbeat


def config_of(settings: Settings, database: Database, executor_id: str) -> DBOSConfig:
    return {
        "name": NAME,
        "system_database_url": settings.queue.database_url.get_secret_value(),
        "system_database_engine": database.engine,
        "application_version": WORKFLOW_VERSION,
        "executor_id": executor_id,
        "serializer": JsonSerializer(),
        "log_level": "WARNING",
        "enable_otlp": False,
        "run_migrations": False,  # done already, with the right to
        "use_listen_notify": False,  # nothing here waits for a notification
    }


async def _keep_sampling(tasks: Tasks) -> None:
    while True:
        await tasks.reachable()
        await asyncio.sleep(_SAMPLE_SECONDS)


async def _end_what_runs() -> None:
    """Breaks off what the grace time was too short for; its recorded steps stay, another worker goes on from them."""
    rest = [task for task in asyncio.all_tasks() if "_execute_workflow" in repr(task.get_coro())]
    for task in rest:
        task.cancel()
    await asyncio.gather(*rest, return_exceptions=True)
