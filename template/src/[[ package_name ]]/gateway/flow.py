"""When a connection is read."""

from uvicorn.protocols.http.flow_control import FlowControl


class Flow(FlowControl):
    """Reads while uvicorn wants to and nothing holds the connection. uvicorn alone would resume reading each time a
    request waits for its body or for a disconnect."""

    _held = False
    _paused = False  # by uvicorn

    def hold(self, held: bool) -> None:
        self._held = held
        self._apply()

    def pause_reading(self) -> None:
        self._paused = True
        self._apply()

    def resume_reading(self) -> None:
        self._paused = False
        self._apply()

    def _apply(self) -> None:
        if self._held or self._paused:
            super().pause_reading()
        else:
            super().resume_reading()
