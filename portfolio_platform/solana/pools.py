"""Pool states for exact quotes, built from the accounts of one slot.

The amm room never sees an account; this module hands it integers. Whatever a quote would need and
does not find makes the pool refused by name, never approximated.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from portfolio_platform.amm import (
    AmmError,
    AmmPool,
    Bin,
    ConcentratedPool,
    ConstantProductPool,
    DlmmPool,
    FeeParameters,
    TransferFee,
    Volatility,
)
from portfolio_platform.solana.decoded import Decoded
from portfolio_platform.solana.decoders.tokens import transfer_fee_at
from portfolio_platform.solana.discovery import ARRAYS_EACH_SIDE, BIN_ARRAYS_EACH_SIDE
from portfolio_platform.solana.layouts import addresses
from portfolio_platform.solana.layouts import raydium_clmm as clmm_layout
from portfolio_platform.solana.layouts import whirlpool as whirlpool_layout
from portfolio_platform.solana.snapshot import AccountRecord, IncoherentSnapshot, Snapshot
from portfolio_platform.solana.swaps import PoolVaults

POOL_KINDS = frozenset(
    {"orca_whirlpool", "raydium_clmm", "raydium_amm_v4", "raydium_cp_swap", "meteora_dlmm"}
)


class PoolRefused(ValueError):
    """A pool that cannot be quoted; ``reason`` is stable, the text says what is missing."""

    def __init__(self, address: str, reason: str, message: str) -> None:
        self.address = address
        self.reason = reason
        super().__init__(f"{address}: {message}")


@dataclass(frozen=True)
class _Accounts:
    """The records of one pool's group and what they decode to."""

    address: str
    records: Mapping[str, AccountRecord]
    epoch: int | None
    moment: datetime

    def decoded(self, key: str, *kinds: str) -> dict[str, Any]:
        """Values of a needed account of one of these kinds."""
        record = self.records.get(key)
        if record is None:
            raise PoolRefused(self.address, "account_missing", f"{key} was not read")
        answer = record.decode()
        if not isinstance(answer, Decoded):
            raise PoolRefused(self.address, "account_unreadable", answer.reason)
        if answer.kind not in kinds:
            raise PoolRefused(
                self.address, "account_unreadable", f"{key} is {answer.kind}, not {kinds[0]}"
            )
        return answer.values

    def amount(self, vault: str) -> int:
        """Base units in a vault."""
        return int(self.decoded(vault, "spl_token_account", "token_2022_account")["amount"])

    def transfer_fee(self, mint: str) -> TransferFee | None:
        """The Token-2022 fee of a mint in the epoch of the snapshot; None where it takes none."""
        values = self.decoded(mint, "spl_mint", "token_2022_mint")
        extensions = values.get("extensions", {})
        if extensions.get("pausable", {}).get("paused"):
            raise PoolRefused(self.address, "mint_paused", f"transfers of {mint} are paused")
        if "non_transferable" in extensions:
            raise PoolRefused(self.address, "mint_locked", f"{mint} cannot be transferred")
        fee = transfer_fee_at(extensions, self.epoch)
        return TransferFee(*fee) if fee is not None and fee[0] > 0 else None

    def absent(self, key: str) -> bool:
        """Whether the account was asked for and does not exist."""
        record = self.records.get(key)
        return record is not None and record.owner is None and not record.data


def build_pool(
    address: str,
    records: Mapping[str, AccountRecord],
    *,
    moment: datetime,
    epoch: int | None = None,
) -> AmmPool:
    """The state of one pool from its group of accounts.

    Parameters
    ----------
    address : str
    records : mapping of pubkey to AccountRecord
        The pool, its mints, vaults, configuration and arrays, all of one slot.
    moment : datetime
        Chain time of that slot (volatility fees decay with it).
    epoch : int or None
        Epoch of the snapshot; without it the larger of two transfer fees counts.

    Raises
    ------
    PoolRefused
        With a stable ``reason``: an account is missing or unreadable, the state contradicts its
        program, or the slots differ.
    """
    slots = {record.slot for record in records.values()}
    if len(slots) > 1:
        raise PoolRefused(address, "snapshot_incoherent", f"accounts of slots {sorted(slots)}")
    accounts = _Accounts(address, records, epoch, moment)
    record = records.get(address)
    if record is None:
        raise PoolRefused(address, "account_missing", "the pool was not read")
    answer = record.decode()
    if not isinstance(answer, Decoded):
        raise PoolRefused(address, "account_unreadable", answer.reason)
    builder = _BUILDERS.get(answer.kind)
    if builder is None:
        raise PoolRefused(address, "not_a_pool", f"{answer.kind} is not a pool")
    try:
        return builder(accounts, answer)
    except AmmError as error:
        raise PoolRefused(address, error.reason, str(error)) from error


def build_pools(
    snapshot: Snapshot, addresses_of_pools: Iterable[str]
) -> tuple[dict[str, AmmPool], dict[str, PoolRefused]]:
    """Every pool that can be quoted, and for every other one the reason why not."""
    built: dict[str, AmmPool] = {}
    refused: dict[str, PoolRefused] = {}
    for address in addresses_of_pools:
        try:
            built[address] = build_pool(
                address,
                snapshot.group(address),
                moment=snapshot.block_time,
                epoch=snapshot.epoch,
            )
        except PoolRefused as error:
            refused[address] = error
        except KeyError:
            refused[address] = PoolRefused(address, "account_missing", "the pool was not read")
        except IncoherentSnapshot as error:
            refused[address] = PoolRefused(address, "snapshot_incoherent", str(error))
    return built, refused


def pool_vaults(address: str, records: Mapping[str, AccountRecord]) -> PoolVaults:
    """Where a pool keeps its two tokens, for reading its swaps out of transactions.

    Raises
    ------
    PoolRefused
    """
    accounts = _Accounts(address, records, None, datetime.fromtimestamp(0, UTC))
    value = accounts.decoded(address, *sorted(POOL_KINDS))
    names = next(one for one in _SIDES if one[0] in value)
    vault_a, vault_b, mint_a, mint_b = (value[name] for name in names)
    decimals_a, decimals_b = (
        int(accounts.decoded(mint, "spl_mint", "token_2022_mint")["decimals"])
        for mint in (mint_a, mint_b)
    )
    record = records[address].decode()
    assert isinstance(record, Decoded)
    rate = record.derived.get("fee", record.derived.get("base_fee"))
    if "config" in value and value["config"] in records and rate is None:
        config = records[value["config"]].decode()
        rate = config.derived.get("fee") if isinstance(config, Decoded) else None
    return PoolVaults(address, vault_a, vault_b, mint_a, mint_b, decimals_a, decimals_b, rate)


_SIDES = (
    ("vault_a", "vault_b", "mint_a", "mint_b"),
    ("vault_0", "vault_1", "mint_0", "mint_1"),
    ("base_vault", "quote_vault", "base_mint", "quote_mint"),
    ("reserve_x", "reserve_y", "mint_x", "mint_y"),
)


def _whirlpool(accounts: _Accounts, pool: Decoded) -> ConcentratedPool:
    value = pool.values
    spacing, tick = value["tick_spacing"], value["tick_current"]
    span = spacing * whirlpool_layout.TICKS_PER_ARRAY
    around = addresses.whirlpool_arrays_around(accounts.address, tick, spacing, ARRAYS_EACH_SIDE)
    nets: dict[int, int] = {}
    starts: list[int] = []
    for start, key in around.items():
        if accounts.absent(key):
            # Asked for and not there: no position has ever begun or ended in this range.
            starts.append(start)
        elif key in accounts.records:
            array = accounts.decoded(key, "orca_tick_array", "orca_dynamic_tick_array")
            _same_array(accounts, key, array["whirlpool"], array["start_tick"], start, span)
            starts.append(start)
            for one in array["ticks"]:
                nets[start + one["index"] * spacing] = one["liquidity_net"]
    return ConcentratedPool.of(
        liquidity_net=nets,
        array_starts=tuple(starts),
        transfer_fee_a=accounts.transfer_fee(value["mint_a"]),
        transfer_fee_b=accounts.transfer_fee(value["mint_b"]),
        address=accounts.address,
        mint_a=value["mint_a"],
        mint_b=value["mint_b"],
        program="whirlpool",
        sqrt_price=value["sqrt_price"],
        tick=tick,
        liquidity=value["liquidity"],
        fee_ppm=value["fee_rate"],
        tick_spacing=spacing,
        protocol_share_bps=value["protocol_fee_rate"],
        adaptive_fee=pool.derived["adaptive_fee"],
    )


def _clmm(accounts: _Accounts, pool: Decoded) -> ConcentratedPool:
    value = pool.values
    spacing, tick = value["tick_spacing"], value["tick_current"]
    span = spacing * clmm_layout.TICKS_PER_ARRAY
    config = accounts.decoded(value["config"], "raydium_clmm_config")
    around = addresses.raydium_arrays_around(accounts.address, tick, spacing, ARRAYS_EACH_SIDE)
    nets: dict[int, int] = {}
    starts: list[int] = []
    for start, key in around.items():
        if accounts.absent(key):
            starts.append(start)
        elif key in accounts.records:
            array = accounts.decoded(key, "raydium_clmm_tick_array")
            _same_array(accounts, key, array["pool"], array["start_tick"], start, span)
            starts.append(start)
            for one in array["ticks"]:
                nets[one["tick"]] = one["liquidity_net"]
    return ConcentratedPool.of(
        liquidity_net=nets,
        array_starts=tuple(starts),
        transfer_fee_a=accounts.transfer_fee(value["mint_0"]),
        transfer_fee_b=accounts.transfer_fee(value["mint_1"]),
        address=accounts.address,
        mint_a=value["mint_0"],
        mint_b=value["mint_1"],
        program="raydium_clmm",
        sqrt_price=value["sqrt_price"],
        tick=tick,
        liquidity=value["liquidity"],
        fee_ppm=config["trade_fee_rate"],
        tick_spacing=spacing,
        # Both shares are of the trade fee, in 1e-6; each is rounded down on its own.
        protocol_share_bps=config["protocol_fee_rate"] // 100,
        fund_share_bps=config["fund_fee_rate"] // 100,
        paused=not pool.derived["swap_enabled"],
    )


def _same_array(
    accounts: _Accounts, key: str, owner: str, found: int, expected: int, span: int
) -> None:
    if owner != accounts.address or found != expected:
        raise PoolRefused(
            accounts.address,
            "account_unreadable",
            f"{key} covers {found} to {found + span} of {owner}, not {expected} of this pool",
        )


def _amm_v4(accounts: _Accounts, pool: Decoded) -> ConstantProductPool:
    value = pool.values
    return ConstantProductPool.raydium_amm_v4(
        address=accounts.address,
        mint_a=value["base_mint"],
        mint_b=value["quote_mint"],
        vault_a=accounts.amount(value["base_vault"]),
        vault_b=accounts.amount(value["quote_vault"]),
        need_take_pnl_a=value["need_take_pnl_base"],
        need_take_pnl_b=value["need_take_pnl_quote"],
        fee_numerator=value["swap_fee_numerator"],
        fee_denominator=value["swap_fee_denominator"],
        paused=not pool.derived["swap_enabled"],
    )


def _cp_swap(accounts: _Accounts, pool: Decoded) -> ConstantProductPool:
    value = pool.values
    config = accounts.decoded(value["config"], "raydium_cp_config")
    creator = config["creator_fee_rate"] if value["enable_creator_fee"] else 0
    sides = ("input", "a", "b")
    if value["creator_fee_on"] >= len(sides):
        raise PoolRefused(
            accounts.address, "invalid_pool", f"creator fee mode {value['creator_fee_on']}"
        )

    def owed(side: str) -> tuple[int, int, int]:
        return (
            value[f"protocol_fees_{side}"],
            value[f"fund_fees_{side}"],
            value[f"creator_fees_{side}"],
        )

    return ConstantProductPool.raydium_cp_swap(
        address=accounts.address,
        mint_a=value["mint_0"],
        mint_b=value["mint_1"],
        vault_a=accounts.amount(value["vault_0"]),
        vault_b=accounts.amount(value["vault_1"]),
        owed_a=owed("0"),
        owed_b=owed("1"),
        trade_fee_ppm=config["trade_fee_rate"],
        protocol_share_ppm=config["protocol_fee_rate"],
        fund_share_ppm=config["fund_fee_rate"],
        creator_fee_ppm=creator,
        creator_fee_on=sides[value["creator_fee_on"]],  # type: ignore[arg-type]
        transfer_fee_a=accounts.transfer_fee(value["mint_0"]),
        transfer_fee_b=accounts.transfer_fee(value["mint_1"]),
        paused=not pool.derived["swap_enabled"] or value["open_time"] > _seconds(accounts.moment),
    )


def _dlmm(accounts: _Accounts, pool: Decoded) -> DlmmPool:
    value = pool.values
    around = addresses.meteora_arrays_around(
        accounts.address, value["active_id"], BIN_ARRAYS_EACH_SIDE
    )
    bins: dict[int, Bin] = {}
    known: list[int] = []
    for index, key in around.items():
        if accounts.absent(key):
            known.append(index)
        elif key in accounts.records:
            array = accounts.decoded(key, "meteora_bin_array")
            _same_array(accounts, key, array["pair"], array["index"], index, 1)
            known.append(index)
            for one in array["bins"]:
                bins[one["id"]] = Bin(one["amount_x"], one["amount_y"], one["price"])
    return DlmmPool.of(
        bins=bins,
        array_indexes=tuple(known),
        transfer_fee_a=accounts.transfer_fee(value["mint_x"]),
        transfer_fee_b=accounts.transfer_fee(value["mint_y"]),
        address=accounts.address,
        mint_a=value["mint_x"],
        mint_b=value["mint_y"],
        active_id=value["active_id"],
        bin_step=value["bin_step"],
        fees=FeeParameters(
            base_factor=value["base_factor"],
            filter_period=value["filter_period"],
            decay_period=value["decay_period"],
            reduction_factor=value["reduction_factor"],
            variable_fee_control=value["variable_fee_control"],
            max_volatility_accumulator=value["max_volatility_accumulator"],
            base_fee_power=value["base_fee_power_factor"],
        ),
        volatility=Volatility(
            accumulator=value["volatility_accumulator"],
            reference=value["volatility_reference"],
            index_reference=value["index_reference"],
            last_update=value["last_update_timestamp"],
        ),
        now=_seconds(accounts.moment),
        protocol_share_bps=value["protocol_share"],
        paused=not pool.derived["swap_enabled"],
    )


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp())


_BUILDERS: dict[str, Any] = {
    "orca_whirlpool": _whirlpool,
    "raydium_clmm": _clmm,
    "raydium_amm_v4": _amm_v4,
    "raydium_cp_swap": _cp_swap,
    "meteora_dlmm": _dlmm,
}
