"""The fixtures other rooms rely on."""

from portfolio_platform_tests.store.postgres import Database


def test_the_shared_database_is_migrated_and_owned_by_a_plain_role(database: Database) -> None:
    with database.connect() as connection:
        assert connection.execute("select current_user").fetchone() == ("postgres",)
        assert connection.execute("show is_superuser").fetchone() == ("off",)
        assert connection.execute("select count(*) from public.versions").fetchone() == (0,)


def test_clones_do_not_see_each_other(fresh_database: Database, database: Database) -> None:
    with fresh_database.connect() as connection:
        connection.execute("insert into public.tokens (mint, symbol) values ('m', 'S')")
    with database.connect() as connection:
        found = connection.execute("select count(*) from public.tokens where mint = 'm'")
        assert found.fetchone() == (0,)
