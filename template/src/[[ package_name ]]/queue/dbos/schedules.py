"""Tasks by the clock: DBOS keeps QUEUE__SCHEDULES. Each time gives one task, however many workers there are."""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import islice, takewhile
from typing import Any
from zoneinfo import ZoneInfo

import structlog
from dbos import DBOS, ScheduleInput, error

from ...config.loading import SettingsError
from ...config.queue import Schedule
from ...errors import ServiceError
from .. import patience
from ..meters import SKIPPED
from ..records import TaskRequest
from . import changes, internals, rows
from .tasks import Tasks

log = structlog.get_logger(__name__)

WORKFLOW = "scheduled"
MAKE_UP_SECONDS = 30.0
_PAUSE_SECONDS = 5.0
# What a worker finds missed at its start is made up when it is no older, and skipped when it is.
_LATE = timedelta(minutes=1)
_MET = timedelta(seconds=15)  # by then a time is met: DBOS' schedulers spread their work over ten seconds
_MOST = 10_000  # skipped times that are counted at a start


class Schedules:
    """The schedules of the settings. Workers look for changed ones every 30 seconds."""

    def __init__(self, schedules: dict[str, Schedule], tasks: Tasks) -> None:
        self._schedules = schedules
        self._tasks = tasks
        self._database = tasks.database
        self._made_up: dict[str, datetime] = {}

    def register(self) -> None:
        """Makes the workflow of each time known to DBOS, under a name that stays."""

        @DBOS.workflow(name=WORKFLOW)
        async def scheduled(at: datetime, context: dict[str, Any]) -> None:
            moment = datetime.fromisoformat(str(at)).astimezone(UTC)
            await self.submit(moment, str(context["name"]), Schedule.model_validate(context["schedule"]))

        self._workflow = scheduled
        for name in self._schedules:
            SKIPPED.add(0, {"schedule": name})

    async def submit(self, moment: datetime, name: str, schedule: Schedule) -> None:
        """Submits the task of a schedule at a moment. Its id says both, so that all workers submit the same task.

        A time that meets a passing failure, such as a full queue, is not lost: its task is submitted later.
        """
        if repeated(moment, schedule.cron, schedule.timezone):
            return
        request = TaskRequest(input=schedule.input, id=f"{name}-{moment:%Y%m%dT%H%M%SZ}")
        while True:
            try:
                await self._tasks.submit(request, tenant=schedule.tenant, actor="schedule")
                return
            except ServiceError as error:
                if not patience.worth_another(error):
                    return _skipped(name, [moment], f"{error.slug}: {error.detail}")
                log.warning("schedule_waits", name=name, at=moment.isoformat(), error=error.slug)
                await asyncio.sleep(_PAUSE_SECONDS)

    def look_back(self) -> None:
        """Before DBOS begins to schedule: logs and counts, once for all workers, the times that no worker was there to
        meet. The last minute's are left to `make_up`."""
        now = self._now()
        settled = now - _LATE
        self._made_up = dict.fromkeys(self._schedules, now)
        for kept in rows.schedules(self._database):
            if kept.name not in self._schedules or kept.met_at is None:
                continue
            met = min(datetime.fromisoformat(kept.met_at), now)
            self._made_up[kept.name] = max(met, settled)
            missed = [at for at in _times(kept, met, settled) if not repeated(at, kept.cron, kept.timezone)]
            if missed and changes.settle(self._database, kept.name, kept.met_at, settled.isoformat()):
                _skipped(kept.name, missed, "no worker was there")

    async def make_up(self) -> None:
        """Meets the times that no worker has met because it had just begun or ended, or failed. A time that was met has
        its workflow already."""
        until = self._now() - _MET
        for name, since in self._made_up.items():
            if since < until:
                with suppress(error.DBOSException):  # newer settings have ended this schedule
                    await asyncio.to_thread(DBOS.backfill_schedule, name, since, until)
                self._made_up[name] = until

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
            for name in self._schedules:  # a new one is in force from now on
                await asyncio.to_thread(changes.settle, self._database, name, None, self._now().isoformat())
            log.info("schedules", names=list(self._schedules))

    def _now(self) -> datetime:
        """The database's time, which is no time of a schedule: those are whole seconds."""
        return datetime.fromtimestamp(int(self._database.time()) + 0.5, UTC)


def repeated(moment: datetime, cron: str, timezone: str) -> bool:
    """Whether clocks showed this time an hour before, at the end of summer time, and the task was submitted then.
    Schedules of every hour go on."""
    fields = cron.split()
    hours = "".join(fields[2:3] if len(fields) > 5 else fields[1:2])  # seconds may come first
    return not hours.startswith("*") and moment.astimezone(ZoneInfo(timezone)).fold == 1


def _times(kept: rows.Kept, after: datetime, until: datetime) -> list[datetime]:
    times = takewhile(lambda at: at < until, internals.ticks(kept.cron, kept.timezone, after))
    return list(islice(times, _MOST))


def _skipped(name: str, times: list[datetime], reason: str) -> None:
    first, last = (at.astimezone(UTC).isoformat() for at in (times[0], times[-1]))
    log.error("schedule_skipped", name=name, count=len(times), first=first, last=last, reason=reason)
    SKIPPED.add(len(times), {"schedule": name})
