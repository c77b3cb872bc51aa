"""The example universe names accounts that exist, and says of them what their bytes say."""

from pathlib import Path

import pytest

from portfolio_platform.localnet.dump_universe import dump_universe
from portfolio_platform.localnet.server import LocalnetOptions, build_node
from portfolio_platform.solana.universe import load_universe
from portfolio_platform_tests.conftest import REPOSITORY

EXAMPLE = load_universe(REPOSITORY / "examples" / "universe.mainnet.json")


def test_it_is_consistent_with_itself() -> None:
    mints = {token.mint for token in EXAMPLE.tokens}
    assert EXAMPLE.hub in mints
    assert {one.mint for one in EXAMPLE.accounts if one.mint} <= mints
    staked = {token.stake_pool for token in EXAMPLE.tokens if token.stake_pool}
    assert staked == {one.pubkey for one in EXAMPLE.by_role("stake_pool")}


@pytest.mark.real_data
def test_every_address_was_seen_on_mainnet_in_that_role(real_data: Path) -> None:
    node = build_node(LocalnetOptions(market=False, accounts=(real_data / "accounts",)))
    seen = dump_universe(node.chain, node.dumps)
    roles = {(one["pubkey"], one["role"]): one["mint"] for one in seen["accounts"]}
    decimals = {token["mint"]: token["decimals"] for token in seen["tokens"]}
    for one in EXAMPLE.accounts:
        if one.role == "mint" and one.pubkey not in decimals:
            # Not dumped themselves: known from the lending bank that is about them.
            assert one.mint in {mint for (_, role), mint in roles.items() if role == "reserve"}
        else:
            assert roles[one.pubkey, one.role] == one.mint
    for token in EXAMPLE.tokens:
        assert decimals.get(token.mint, token.decimals) == token.decimals
