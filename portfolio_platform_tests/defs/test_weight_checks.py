"""Checks of the newest weights pass on what the platform decided and fail on what is wrong."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from dagster import (
    AssetCheckEvaluation,
    AssetKey,
    AssetRecordsFilter,
    AssetSelection,
    DagsterInstance,
    materialize,
)
from psycopg.types.json import Jsonb

from portfolio_platform.defs.portfolio.assets import optimal_weights
from portfolio_platform.defs.portfolio.weight_checks import CHECKS
from portfolio_platform.defs.requests.assets import strategy_weights
from portfolio_platform.defs.resources import Platform
from portfolio_platform.store.publish import publish
from portfolio_platform_tests.defs.world import World
from portfolio_platform_tests.store.postgres import Database

HALVES = {"mintSOL": 0.5, "mintJUP": 0.5}


@pytest.fixture
def world(fresh_database: Database, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setenv("DATABASE_URL", fresh_database.url())
    return World.make(fresh_database)


def store(world: World, strategy: str, weights: dict[str, float]) -> None:
    """Publish weights that no engine decided."""
    with world.database.connect() as connection:
        publish(
            connection,
            kind="weights",
            subject=strategy,
            content=weights,
            inputs=[],
            rows={
                "weight_sets": [{"strategy_id": strategy, "status": "optimal", "solution": {}}],
                "weights": [{"mint": mint, "weight": value} for mint, value in weights.items()],
            },
            as_of=datetime.now(UTC),
            code_version="test",
        )


def check(*, decide: bool = False) -> dict[str, AssetCheckEvaluation]:
    """Run the checks, after a decision where one is wanted; check -> evaluation."""
    selection = AssetSelection.checks(*CHECKS)
    result = materialize(
        [optimal_weights, *CHECKS],
        selection=selection | AssetSelection.assets(optimal_weights) if decide else selection,
        resources={"platform": Platform()},
        raise_on_error=False,
    )
    return {one.check_name: one for one in result.get_asset_check_evaluations()}


def failed(found: dict[str, AssetCheckEvaluation]) -> set[str]:
    return {name for name, one in found.items() if not one.passed}


def value(one: AssetCheckEvaluation, name: str) -> Any:
    return one.metadata[name].value


def published(world: World, days_ago: float) -> None:
    """A price that an oracle published at the midnight so many days ago."""
    world.execute(
        "insert into public.token_prices "
        "(mint, source, pubkey, snapshot_id, observed_at, published_at, slot, price, verdict) "
        "values ('mintSOL', 'pyth', 'oracle', 1, now(), "
        "date_trunc('day', now()) - make_interval(secs => %s), 1, 1, 'accepted')",
        days_ago * 86_400,
    )


def test_what_the_platform_decides_passes(world: World) -> None:
    world.strategy("free")
    world.strategy("capped", model="Classic", bounds={"upper": 0.4})
    published(world, 0)
    found = check(decide=True)
    assert len(found) == len(CHECKS)
    assert not failed(found)
    assert value(found["weights_keep_their_limits"], "strategies") >= 2


@pytest.mark.parametrize(
    ("spec", "weights", "words"),
    [
        ({"bounds": {"upper": 0.4}}, HALVES, "mintJUP is 0.5, above 0.4"),
        ({"bounds": {"assets": {"mintSOL": {"lower": 0.6}}}}, HALVES, "mintSOL is 0.5, below 0.6"),
        ({"groups": [{"group": "L1", "upper": 0.3}]}, HALVES, "group L1 is 0.5, above 0.3"),
        ({"cash_cap": 0.3}, HALVES, "stablecoins is 0.5, above 0.3"),
        ({"cardinality": 1}, HALVES, "2 assets are held, more than 1"),
        ({}, {"mintSOL": 0.5, "mintBONK": 0.4}, "weights sum to 0.9"),
        ({}, {"mintSOL": 1.1, "mintBONK": -0.1}, "mintBONK is -0.1, below 0"),
    ],
)
def test_a_broken_limit_is_named(
    world: World, spec: dict[str, Any], weights: dict[str, float], words: str
) -> None:
    world.execute("update public.tokens set token_group = 'L1' where mint = 'mintSOL'")
    world.execute("update public.tokens set is_stable = true where mint = 'mintJUP'")
    spec = {"cash_cap": 1.0} | spec
    store(world, world.strategy("mine", model="Classic", **spec), weights)
    found = check()
    assert "weights_keep_their_limits" in failed(found)
    assert words in value(found["weights_keep_their_limits"], "broken")["mine"]


def test_weights_of_an_earlier_spec_are_not_judged_by_the_present_one(world: World) -> None:
    strategy = world.strategy("mine", model="Classic", cash_cap=1.0)
    store(world, strategy, HALVES)
    assert value(check()["weights_keep_their_limits"], "strategies") == 1
    world.execute(
        'update public.strategies set spec = spec || \'{"bounds": {"upper": 0.4}}\', '
        "updated_at = now() where slug = 'mine'"
    )
    found = check()["weights_keep_their_limits"]
    assert (found.passed, value(found, "strategies")) == (True, 0)


def test_concentration_and_turnover_are_warned_about(world: World) -> None:
    strategy = world.strategy("mine")
    store(world, strategy, {"mintSOL": 0.5, "mintJUP": 0.5})
    assert not failed(check())
    store(world, strategy, {"mintSOL": 0.1, "mintBONK": 0.9})
    found = check()
    assert failed(found) == {"weights_are_spread", "weights_change_slowly"}
    assert value(found["weights_change_slowly"], "turnover") == {"mine": pytest.approx(0.9)}
    concentrated = value(found["weights_are_spread"], "concentrated")["mine"]
    assert concentrated["largest"] == 0.9
    assert concentrated["effective_assets"] == pytest.approx(1 / 0.82)


def test_nothing_is_planned_on_bars_that_stopped(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.strategy("mine")
    published(world, 0)
    assert not failed(check())
    world.execute("delete from public.market_bars where observed_at > now() - interval '5 days'")
    found = check(decide=True)
    assert failed(found) == {"weights_look_at_recent_bars"}
    assert found["weights_look_at_recent_bars"].blocking
    assert value(found["weights_look_at_recent_bars"], "behind")["1d"] == pytest.approx(4)
    monkeypatch.setenv("PORTFOLIO_MAX_BARS_BEHIND", "30")
    assert not failed(check())


def test_a_decision_shows_what_changed_and_what_it_looked_at(world: World) -> None:
    strategy = world.strategy("mine")
    check(decide=True)
    world.execute(
        "update public.strategies set spec = spec || %s where slug = 'mine'",
        Jsonb({"universe": {"assets": ["mintSOL", "mintJUP"]}}),
    )
    with DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("strategies", [strategy])
        result = materialize(
            [strategy_weights],
            partition_key=strategy,
            resources={"platform": Platform()},
            instance=instance,
        )
    (made,) = result.asset_materializations_for_node("strategy_weights")
    shown = {name: one.value for name, one in made.metadata.items()}
    (version,) = world.execute(
        "select version::text, content_hash from public.versions where subject = %s "
        "order by recorded_at desc limit 1",
        strategy,
    )
    outcome = dict(
        zip(*(line.split(" | ") for line in shown["outcomes"].splitlines()[::2]), strict=True)
    )
    assert outcome["version"] == version[0]
    assert float(outcome["change"]) == pytest.approx(0.5)
    assert "mine | SOL | 0.5 | 0.25 | 0.25" in shown["weights"]
    assert "mine | BONK | 0 | 0.25 | -0.25" in shown["weights"]
    assert shown["status"] == "optimal"
    assert shown["engine"] == "rules"
    assert shown["largest_weight"] == pytest.approx(0.5)
    assert shown["change"] == pytest.approx(0.5)
    assert shown["volatility"] > 0
    assert f"strategy | {strategy} | " in shown["inputs"]
    assert "bars | " in shown["inputs"]
    assert shown["plot mine"].startswith("![picture](data:image/png;base64,")


def test_every_new_version_is_in_the_history_of_its_strategy(world: World) -> None:
    """The asset of all strategies fills the partitions of the asset of one."""
    strategy = world.strategy("mine")
    with DagsterInstance.ephemeral() as instance:

        def decide() -> int:
            materialize([optimal_weights], resources={"platform": Platform()}, instance=instance)
            found = instance.fetch_materializations(
                AssetRecordsFilter(
                    asset_key=AssetKey("strategy_weights"), asset_partitions=[strategy]
                ),
                limit=10,
            )
            shown = found.records[0].asset_materialization.metadata
            assert shown["strategy"].value == "mine"
            assert shown["plot mine"].value.startswith("![picture]")
            return len(found.records)

        assert decide() == 1
        assert strategy in instance.get_dynamic_partitions("strategies")
        assert decide() == 1
        world.touch(strategy, 20)
        assert decide() == 2
