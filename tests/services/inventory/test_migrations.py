"""The tables: made by migrations alone, the same as the models say, and undone without a trace."""

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect, text

from services.inventory.models import Base
from services.inventory.repository import fleet
from services.inventory.repository.database import Database
from services.inventory.resources.fleet import Machine
from tests.services.inventory.support import START, machine


async def test_the_migrations_make_what_the_models_say(database: Database) -> None:
    with database.connection() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


async def test_down_and_up_again_with_data_in_the_tables(database: Database) -> None:
    one = Machine.model_validate(machine(1, address="10.77.0.11", tags={"rack": "r1"}))
    await database.write(lambda session: fleet.save_machines(session, [one], [], START))
    database.migrate("base")
    with database.connection() as connection:
        assert set(inspect(connection).get_table_names()) <= {"alembic_version"}
    database.migrate("head")
    assert await database.read(fleet.machine_names) == []
    await database.write(lambda session: fleet.save_machines(session, [one], [], START))
    found = (await database.read(fleet.machines))["node01"]
    assert (found.resource, found.created_at) == (one, START)


async def test_opening_twice_changes_nothing(database: Database, database_url: str) -> None:
    again = Database(database_url)
    await again.open()
    assert await database.read(fleet.machine_names) == []
    with again.connection() as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalars().all() == ["0001"]
    await again.close()
