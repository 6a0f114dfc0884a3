"""What a task of any engine leaves behind: a line when it begins and one when it ends."""

import os
import time


def mark(number: int, what: str) -> None:
    """Appends `number what time`; one write, so that lines of several processes do not mix."""
    line = f"{number} {what} {time.time()}\n".encode()
    marks = os.open(os.environ["MARKS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(marks, line)
    finally:
        os.close(marks)


def say(seconds: list[float]) -> None:
    """The times of submissions, in milliseconds, for the parent to read."""
    print(" ".join(f"{1_000 * one:.3f}" for one in seconds))
