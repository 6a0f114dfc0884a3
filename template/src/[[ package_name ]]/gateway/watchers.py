"""Streams of tasks' events. All that wait in this process share one look at the database."""

import asyncio
import json
from collections.abc import AsyncGenerator, Generator
from contextlib import contextmanager, suppress

import structlog
from fastapi.sse import format_sse_event

from ..api.auth import Caller, authenticated
from ..api.limits import places
from ..api.problems import body_of
from ..errors import ServiceError, Unauthenticated
from ..queue import Tasks
from ..queue.records import TaskView
from ..service import Service
from .events import SILENCE

log = structlog.get_logger(__name__)

_LOOK_SECONDS = 0.5
_CHECK_SECONDS = 1.0  # a stream's key and age

Place = tuple[str, str]  # a tenant, and the id of its task


class _Watched:
    """A task that is watched, and its latest view."""

    def __init__(self) -> None:
        self.streams = 0
        self.stamp: object = None
        self.view: TaskView | None = None
        self.changed = asyncio.Event()

    def becomes(self, stamp: object, view: TaskView) -> None:
        self.stamp, self.view = stamp, view
        self.changed.set()
        self.changed = asyncio.Event()


class Watchers:
    """The streams of one process."""

    def __init__(self, service: Service, tasks: Tasks) -> None:
        limits = service.settings.limits
        self.places = places(limits.max_watchers, limits.reserved_share)
        self._longest = limits.watch_seconds
        self._silence = service.settings.stream.comment_seconds
        self._pause = min(self._silence, _CHECK_SECONDS)
        self._service = service
        self._tasks = tasks
        self._watched: dict[Place, _Watched] = {}
        self._looking: asyncio.Task[None] | None = None

    async def events(self, first: TaskView, caller: Caller, authorization: str) -> AsyncGenerator[bytes]:
        """The events of a task, from its `first` view on."""
        clock = asyncio.get_running_loop().time
        until, quiet_since, view, told = clock() + self._longest, clock(), first, ""
        with self._watching((caller.tenant, first.id)) as watched:
            while clock() < until and not self._service.health.draining:
                changed = watched.changed
                if (shown := view.model_dump_json()) != told:
                    told, quiet_since = shown, clock()
                    yield format_sse_event(event="status", data_str=shown)
                if view.status.final:
                    return
                if clock() - quiet_since >= self._silence:
                    quiet_since = clock()
                    yield SILENCE
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._pause):
                        await changed.wait()
                try:
                    self._check(caller, authorization)
                except Unauthenticated as error:
                    yield format_sse_event(event="error", data_str=json.dumps(body_of(error)))
                    return
                if changed.is_set() and watched.view:
                    view = watched.view

    def _check(self, caller: Caller, authorization: str) -> None:
        if authenticated(self._service.secrets.settings, authorization) != caller:
            raise Unauthenticated("The key belongs to another tenant now.")

    @contextmanager
    def _watching(self, place: Place) -> Generator[_Watched]:
        watched = self._watched.setdefault(place, _Watched())
        watched.streams += 1
        watched.stamp = None  # the newcomer's first view may be older than the last look
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        try:
            yield watched
        finally:
            watched.streams -= 1
            if not watched.streams:
                self._watched.pop(place, None)

    async def _look(self) -> None:
        """Looks at all watched tasks at once, and reads those that have changed, each of them once."""
        while self._watched:
            await asyncio.sleep(_LOOK_SECONDS)
            try:
                for place, stamp in (await self._tasks.stamps(list(self._watched))).items():
                    watched = self._watched.get(place)
                    if watched and watched.stamp != stamp:
                        watched.becomes(stamp, await self._tasks.get(place[1], tenant=place[0]))
            except ServiceError:
                pass  # logged where it is raised; the streams go on when the database is back
            except Exception:
                log.exception("watching_failed")  # the streams wait for the next look
