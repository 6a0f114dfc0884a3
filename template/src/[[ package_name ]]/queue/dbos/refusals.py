"""What the database says when it says no: for a while, or until somebody changes something."""

import re
from collections.abc import Generator
from contextlib import contextmanager

import sqlalchemy as sa

from ...config.loading import SettingsError
from ...errors import StateUnavailable

# Classes of SQLSTATE in which the statement or its data are wrong: another attempt would meet them again.
_LASTING = ("22", "23", "42", "54", "P0")
# In one of these classes, and passing all the same: rights that are being changed, tables that are being migrated.
_RIGHTS, _TABLES = "42501", ("42P01", "42703")
# Read-only after a failover, a broken disk: a new connection may lead to the new primary.
_ANOTHER_SERVER = ("25006", "58030")
_OF_SQLITE = (
    "attempt to write a readonly database",
    "database or disk is full",
    "disk I/O error",
    "unable to open database file",
)

_NO_DATABASE = re.compile(r'database "(.*)" does not exist|no such database: (.*)')
_NO_OPTION = re.compile(r"invalid connection option|invalid \w+ value")
_NO_ENTRY = re.compile(r'authentication failed|role ".*" does not exist|no pg_hba.conf entry|denied for database')


def count_as_lost(context: sa.ExceptionContext) -> None:
    """Counts a refusal that passes as a lost connection: DBOS repeats what a lost connection has broken off, and little
    else. So a cancelled statement or a right that is missing for a while delays a task, and does not end it. A server
    that cannot be found has no SQLSTATE: its name is unknown, or its socket is missing."""
    error = context.original_exception
    if sqlstate := getattr(error, "sqlstate", None):
        if sqlstate[:2] not in _LASTING or sqlstate == _RIGHTS or sqlstate in _TABLES:
            context.is_disconnect = True
            context.invalidate_pool_on_disconnect = sqlstate in _ANOTHER_SERVER or sqlstate[:2] in ("08", "57")
    elif str(error) in _OF_SQLITE or (
        context.connection is None and isinstance(context.sqlalchemy_exception, sa.exc.OperationalError)
    ):
        context.is_disconnect = True


@contextmanager
def in_words() -> Generator[None]:
    """Raises:
    SettingsError: what was done needs somebody to change something first.
    StateUnavailable: it may succeed later.
    """
    try:
        yield
    except sa.exc.SQLAlchemyError as error:
        raise explained(error) from error


def explained(error: sa.exc.SQLAlchemyError) -> SettingsError | StateUnavailable:
    """What a process says that cannot begin with its database: waiting helps, or somebody has to do something."""
    cause = getattr(error, "orig", None) or error
    said = str(cause).strip().splitlines()[-1].rpartition("FATAL:")[2].strip()
    if missing := _NO_DATABASE.search(said):
        name = missing[1] or missing[2]
        return unfit(f"there is no database {name}; correct the name, or make it with `migrate --create-database`")
    if "statement pooling mode" in said:
        return unfit("its pooler is in statement mode; transactions need pool_mode = transaction or session")
    if getattr(cause, "sqlstate", None) == _RIGHTS:
        return unfit(f"the user may not do this ({said}); give the address with the owner of the tables")
    if _NO_OPTION.search(said):
        return unfit(f"an option after its `?` cannot be used ({said})")
    if _NO_ENTRY.search(said):
        return unfit(f"the server does not let this user in ({said}); correct user, password or rights")
    return StateUnavailable(f"The queue's database cannot be used: {said}", retry_after=2)


def unfit(problem: str) -> SettingsError:
    return SettingsError([f"QUEUE__DATABASE_URL: {problem}"])
