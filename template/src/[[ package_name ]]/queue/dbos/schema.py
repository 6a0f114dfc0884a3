"""The queue's tables. `migrate` makes them. Every other process looks whether they are there, and may be used.

SQLite is a file of one person on one machine: there, whatever starts the service makes the tables by itself.
"""

from pathlib import Path

import sqlalchemy as sa

from ... import NAME
from . import internals
from .database import WORKERS, Database, pooled
from .refusals import in_words, unfit

_LOCK = "SELECT pg_advisory_xact_lock(7261843)"
_RIGHTS = ("SELECT", "INSERT", "UPDATE", "DELETE")

_MAY = " AND ".join(f"has_table_privilege(the.oid, '{right}')" for right in _RIGHTS[1:])
# The catalogue shows a table to those as well who may not use it.
_TABLES = (
    "SELECT the.relname AS name, has_schema_privilege(place.oid, 'USAGE') AND has_table_privilege(the.oid, 'SELECT')"  # noqa: S608
    f" AND (the.relname = '{internals.VERSIONS}' OR {_MAY}) AS usable"
    " FROM pg_catalog.pg_class AS the JOIN pg_catalog.pg_namespace AS place ON place.oid = the.relnamespace"
    " WHERE the.relkind IN ('r', 'p')"
    f" AND (place.nspname = '{internals.SCHEMA}' OR the.relname = '{WORKERS.name}' AND pg_table_is_visible(the.oid))"
    " ORDER BY name"
)


def migrate(database: Database, *, create_database: bool = False, grant_to: str | None = None) -> None:
    """Creates or updates the tables; safe to repeat, and safe for several processes at once.

    Args:
        create_database: whether PostgreSQL gets the database too, if it is not there.
        grant_to: a role that gets the rights which the service needs.

    Raises:
        SettingsError: the user may not do this, or there is no database.
        StateUnavailable: the database cannot be reached.
    """
    with in_words():
        if not database.on_server:
            _make_file(Path(str(database.engine.url.database)))
        elif create_database:
            _create(database.engine.url)
        with database.engine.connect() as connection:
            if pooled(connection):  # DBOS' lock, which keeps two apart, belongs to a session
                raise unfit("`migrate` needs PostgreSQL itself, and this address is a pooler's")
        internals.migrate(database)
        with database.engine.begin() as connection:
            if database.on_server:  # two `IF NOT EXISTS` at the same time may clash
                connection.execute(sa.text(_LOCK))
            if not sa.inspect(connection).has_table(WORKERS.name):
                connection.execute(sa.schema.CreateTable(WORKERS, if_not_exists=True))
            if database.on_server and grant_to:
                _grant(connection, grant_to)


def prepare(database: Database) -> None:
    """Before work: on SQLite the tables are made, on PostgreSQL they must be there.

    Raises:
        SettingsError: they are not fit for use.
        StateUnavailable: the database cannot be reached.
    """
    if database.on_server:
        check(database)
    else:
        migrate(database)


def check(database: Database) -> None:
    """Looks whether this version of the service can work with the database. Creates and changes nothing.

    Raises:
        SettingsError: it cannot, until somebody does what the sentence says.
        StateUnavailable: the database cannot be reached.
    """
    with in_words():
        problem = _problem(database)
    if problem:
        raise unfit(problem)


def _problem(database: Database) -> str | None:
    if database.on_server:
        found = {row.name: row.usable for row in database.ask(_TABLES)}
    elif (file := Path(str(database.engine.url.database))).exists():
        found = dict.fromkeys(sa.inspect(database.engine).get_table_names(), True)
    else:
        # A new one by itself would be without the tasks that are looked for, and without a worker.
        where = "run this in the folder of the service, or give its database"
        return f"there is no {file.absolute()}; {where}. `make run` and `{NAME} work` make a new one"
    if not found.keys() >= {WORKERS.name, internals.VERSIONS}:
        return "the database has no tables of the queue; run `migrate`"
    if closed := [name for name, usable in found.items() if not usable]:
        user = database.engine.url.username
        tables = ", ".join(closed[:3]) + (f" and {len(closed) - 3} more" if len(closed) > 3 else "")
        return f"the user {user} may not use {tables}; let their owner run `migrate --grant-to {user}`"
    has, needs = internals.versions(database)
    if has < needs:
        return f"its tables are older ({has}) than this version of the service ({needs}); run `migrate`"
    return None


def _make_file(file: Path) -> None:
    try:
        file.touch(mode=0o600)  # SQLite gives its other files the same mode
    except OSError as error:
        raise unfit(f"the file {file.absolute()} cannot be made ({error.strerror})") from error


def _create(url: sa.URL) -> None:
    engine = sa.create_engine(url.set(database="postgres"), poolclass=sa.NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        known = sa.text("SELECT 1 FROM pg_database WHERE datname = :name")
        if not connection.execute(known, {"name": url.database}).first():
            name = engine.dialect.identifier_preparer.quote_identifier(str(url.database))
            connection.exec_driver_sql(f"CREATE DATABASE {name}")


def _grant(connection: sa.Connection, role: str) -> None:
    name = connection.dialect.identifier_preparer.quote_identifier(role)
    rights = ", ".join(_RIGHTS)
    for right in (
        f"USAGE ON SCHEMA {internals.SCHEMA}",
        f"{rights} ON ALL TABLES IN SCHEMA {internals.SCHEMA}",
        f"{rights} ON {WORKERS.name}",
    ):
        connection.exec_driver_sql(f"GRANT {right} TO {name}")
