"""A command on a terminal."""

from __future__ import annotations

import os
import pty
import subprocess
from pathlib import Path

from support.processes import COMMAND, environment


def shown(*arguments: str, folder: Path, **settings: object) -> str:
    """What a command of the service, which must succeed, writes to a stderr that is a terminal."""
    ours, terminal = pty.openpty()
    subprocess.run([COMMAND, *arguments], cwd=folder, env=environment(**settings), stderr=terminal, check=True)
    os.write(terminal, b"end")
    said = os.read(ours, 4096).decode()
    for file in (ours, terminal):
        os.close(file)
    return said.removesuffix("end")
