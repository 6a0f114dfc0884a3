"""`migrate`: the tables of the queue, which no other command changes in PostgreSQL."""

import json
from typing import Annotated

import typer

from ..config.loading import SettingsError
from ..errors import ServiceError
from .terminal import fail, refuse, settings


def migrate(
    create_database: Annotated[
        bool, typer.Option("--create-database", help="create the database in PostgreSQL too, if it is not there")
    ] = False,
    grant_to: Annotated[str | None, typer.Option(help="a role that gets the rights which the service needs")] = None,
    check: Annotated[
        bool, typer.Option("--check", help="change nothing; list the open tasks of each version of the workflow")
    ] = False,
) -> None:
    """Create or update the queue's tables, or check them. Run it before a rollout, as the owner of the tables.

    With --check, exit code 1 says that tasks of another version of the workflow have begun and not ended.
    """
    current = settings()
    from ..queue.dbos import rows, schema
    from ..queue.dbos.opening import database_of
    from ..queue.dbos.refusals import in_words

    database = database_of(current)
    try:
        if not check:
            schema.migrate(database, create_database=create_database, grant_to=grant_to)
            typer.echo("The tables are up to date.")
            return
        schema.check(database)
        from ..queue.dbos.heartbeat import DEAD_SECONDS
        from ..queue.dbos.workflow import WORKFLOW_VERSION

        with in_words():
            found = rows.versions(database, DEAD_SECONDS)
    except SettingsError as error:
        refuse(error)
    except ServiceError as error:
        fail(f"{error.title}: {error.detail}", 1)
    finally:
        database.close()
    for one in found:
        typer.echo(json.dumps({**one._asdict(), "this": one.version == WORKFLOW_VERSION}))
    if any(one.waiting + one.running for one in found if one.version not in (None, WORKFLOW_VERSION)):
        raise typer.Exit(1)
