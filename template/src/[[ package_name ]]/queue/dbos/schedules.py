"""Tasks by the clock: DBOS keeps QUEUE__SCHEDULES. Each time gives one task, however many workers there are."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import structlog
from dbos import DBOS, ScheduleInput, error

from ...config.loading import SettingsError
from ...config.queue import Schedule
from ...errors import ServiceError
from .. import patience
from ..records import TaskRequest
from .tasks import Tasks

log = structlog.get_logger(__name__)

WORKFLOW = "scheduled"
_PAUSE_SECONDS = 5.0


class Schedules:
    """The schedules of the settings. Workers look for changed ones every 30 seconds."""

    def __init__(self, schedules: dict[str, Schedule], tasks: Tasks) -> None:
        self._schedules = schedules
        self._tasks = tasks

    def register(self) -> None:
        """Makes the workflow of each time known to DBOS, under a name that stays."""

        @DBOS.workflow(name=WORKFLOW)
        async def scheduled(at: datetime, context: dict[str, Any]) -> None:
            moment = datetime.fromisoformat(str(at)).astimezone(UTC)
            await self.submit(moment, str(context["name"]), Schedule.model_validate(context["schedule"]))

        self._workflow = scheduled

    async def submit(self, moment: datetime, name: str, schedule: Schedule) -> None:
        """Submits the task of a schedule at a moment. Its id says both, so that all workers submit the same task.

        A time that meets a passing failure, such as a full queue, is not lost: its task is submitted later.
        """
        request = TaskRequest(input=schedule.input, id=f"{name}-{moment:%Y%m%dT%H%M%SZ}")
        while True:
            try:
                await self._tasks.submit(request, tenant=schedule.tenant, actor="schedule")
                return
            except ServiceError as error:
                if not patience.worth_another(error):
                    raise
                log.warning("schedule_waits", name=name, at=moment.isoformat(), error=error.slug)
                await asyncio.sleep(_PAUSE_SECONDS)

    async def apply(self) -> None:
        """Puts the schedules in force, and ends those that the settings no longer have.

        Raises:
            SettingsError: a cron expression or a time zone is not valid.
        """
        for known in await DBOS.list_schedules_async():
            if known["schedule_name"] not in self._schedules:
                await DBOS.delete_schedule_async(known["schedule_name"])
        entries: list[ScheduleInput] = [
            {
                "schedule_name": name,
                "workflow_fn": self._workflow,
                "schedule": schedule.cron,
                "cron_timezone": schedule.timezone,
                "context": {"name": name, "schedule": schedule.model_dump()},
            }
            for name, schedule in self._schedules.items()
        ]
        if entries:
            try:
                await DBOS.apply_schedules_async(entries)
            except error.DBOSException as refused:
                raise SettingsError([f"QUEUE__SCHEDULES: {refused.message}"]) from refused
            log.info("schedules", names=list(self._schedules))
