"""The real Supabase CLI and our own runner agree about the same migrations."""

import json
import shutil
from pathlib import Path

import psycopg
import pytest

from portfolio_platform.store import floor, migrate
from portfolio_platform_tests.contract import supabase_parts as parts
from portfolio_platform_tests.store.postgres import Database, cluster

__all__ = ["cluster"]
pytestmark = pytest.mark.npm


@pytest.fixture(scope="module")
def cli(tmp_path_factory: pytest.TempPathFactory) -> parts.Cli:
    binaries = parts.install()
    workdir = tmp_path_factory.mktemp("supabase-cli")
    shutil.copytree(parts.REPOSITORY / "supabase", workdir / "supabase")
    return parts.Cli(binaries["supabase"], workdir)


@pytest.fixture
def empty(cluster, request: pytest.FixtureRequest):
    name = "c_empty"
    admin = cluster.url("postgres", driver=None, role="supabase_admin")
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(f"drop database if exists {name} with (force)")
        connection.execute(f"create database {name}")
    floor.lay_in(cluster, name)
    yield Database(cluster, name)
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(f"drop database {name} with (force)")


def remote(database: Database) -> str:
    return f"--remote={database.url(transport='tcp')}"


def test_what_the_cli_pushed_our_runner_finds_done(cli: parts.Cli, empty: Database) -> None:
    pushed = cli("db", "push", "--include-seed", remote(empty))
    versions = [migration.version for migration in migrate.read()]
    for version in versions:
        assert version in pushed.stdout + pushed.stderr
    assert migrate.migrate(empty.url()) == []
    listed = cli("migration", "list", remote(empty)).stdout
    assert all(listed.count(version) == 2 for version in versions)
    with empty.connect() as connection:
        strategies = connection.execute("select count(*) from public.strategies").fetchone()
    assert strategies != (0,), "seed.sql ships the platform's strategies"


def test_what_our_runner_applied_the_cli_finds_done(cli: parts.Cli, empty: Database) -> None:
    assert migrate.migrate(empty.url())
    pushed = cli("db", "push", remote(empty))
    assert "up to date" in (pushed.stdout + pushed.stderr).lower()
    with empty.connect() as connection:
        assert list(migrate.applied(connection)) == [m.version for m in migrate.read()]


def advise(cli: parts.Cli, database: Database) -> tuple[int, set[tuple[str, str]]]:
    done = cli(
        *("db", "advisors", remote(database), "--level", "warn", "--fail-on", "warn"),
        *("--output-format", "json"),
        check=False,
    )
    results = json.loads(done.stdout)["results"] if done.stdout.strip() else []
    return done.returncode, {(found["name"], found["detail"]) for found in results}


def test_advisors_are_clean_and_would_not_be(cli: parts.Cli, empty: Database) -> None:
    migrate.migrate(empty.url())
    assert advise(cli, empty) == (0, set())
    with empty.connect() as connection:
        connection.execute("create table public.open_to_all (id int primary key)")
        connection.execute("create view public.leak as select * from public.versions")
        connection.execute("grant select on public.open_to_all, public.leak to anon, authenticated")
    code, found = advise(cli, empty)
    assert code == 1
    assert {name for name, _ in found} >= {"rls_disabled_in_public", "security_definer_view"}


def test_types_are_generated_for_every_table(
    cli: parts.Cli, empty: Database, tmp_path: Path
) -> None:
    migrate.migrate(empty.url())
    types = cli("gen", "types", "--lang", "python", remote(empty)).stdout
    compile(types, "types.py", "exec")
    for name in ("PublicWeights", "PublicVersions", "PublicStrategies"):
        assert f"class {name}" in types
