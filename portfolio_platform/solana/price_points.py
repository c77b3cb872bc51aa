"""Every price that a snapshot can give, before any judgement.

A point is one source's statement about one mint: its price in a quote mint (or in US dollars),
how old it is, how sure it is, how deep the market behind it is, and what speaks against it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from portfolio_platform.solana.decoded import Decoded, q64_price
from portfolio_platform.solana.decoders.meteora import bin_price_raw
from portfolio_platform.solana.layouts import programs
from portfolio_platform.solana.snapshot import AccountRecord, Snapshot
from portfolio_platform.solana.universe import Universe

DEPTH_BASIS_POINTS = 100
_ROOT_STEP = (1 + DEPTH_BASIS_POINTS / 10_000) ** 0.5 - 1


@dataclass(frozen=True, slots=True)
class PricePoint:
    """One source's price of one mint.

    Attributes
    ----------
    mint, source, pubkey : str
    slot : int
        Slot of the bytes.
    price : float or None
        Whole quote tokens (or US dollars where ``quote`` is None) per whole token.
    quote : str or None
        Mint that the price is in; None for US dollars.
    confidence : float or None
        Half width, in the unit of the price.
    published_at : datetime or None
        When the source says that the price was made; None when it does not say.
    age_slots : int or None
    depth : float or None
        Whole quote tokens that move the price by 1 %.
    problems : tuple of str
        Reasons against it that stand in the bytes themselves.
    """

    mint: str
    source: str
    pubkey: str
    slot: int
    price: float | None
    quote: str | None = None
    confidence: float | None = None
    published_at: datetime | None = None
    age_slots: int | None = None
    depth: float | None = None
    problems: tuple[str, ...] = ()
    has_clock: bool = False
    sha256: str = field(default="", compare=False)


def collect(snapshot: Snapshot, universe: Universe) -> list[PricePoint]:
    """Price points of every oracle, pool, stake pool and reserve of the universe."""
    points: list[PricePoint] = []
    for account in universe.accounts:
        if account.role in ("mint", "wallet") or account.pubkey not in snapshot.groups:
            continue
        records = snapshot.group(account.pubkey)
        record = records[account.pubkey]
        answer = record.decode()
        if not isinstance(answer, Decoded):
            if account.mint is not None:
                points.append(_unread(account.mint, account.role, record))
            continue
        if account.role == "oracle" and account.mint is not None:
            points.append(oracle_point(account.mint, record, answer))
        elif account.role == "stake_pool" and account.mint is not None:
            points.append(stake_pool_point(account.mint, record, answer, snapshot.epoch))
        elif account.role == "reserve" and answer.kind == "kamino_reserve":
            points.append(reserve_point(record, answer))
        elif account.role == "pool":
            decimals = group_decimals(records) | _listed_decimals(universe, records)
            points += pool_points(record, answer, records, decimals, universe)
    return points


def _unread(mint: str, role: str, record: AccountRecord) -> PricePoint:
    problem = "unreadable" if record.error is not None else "undecodable"
    return PricePoint(
        mint, role, record.pubkey, record.slot, None, problems=(problem,), sha256=record.sha256
    )


def _moment(seconds: int) -> datetime | None:
    try:
        return datetime.fromtimestamp(seconds, UTC) if seconds > 0 else None
    except (OverflowError, ValueError, OSError):
        return None


def oracle_point(mint: str, record: AccountRecord, decoded: Decoded) -> PricePoint:
    """The statement of a Pyth account."""
    values, derived = decoded.values, decoded.derived
    problems: list[str] = []
    if decoded.kind == "pyth_price_v2":
        if not derived["trading"]:
            problems.append("oracle_not_trading")
        published = _moment(values["timestamp"])
        # The publish slot keeps moving in a feed that no longer trades; the last slot does not.
        age_slots = record.slot - values["last_slot"]
    elif decoded.kind == "pyth_price_update_v2":
        if not derived["fully_verified"]:
            problems.append("oracle_not_verified")
        published = _moment(values["publish_time"])
        age_slots = record.slot - values["posted_slot"]
    else:
        return PricePoint(
            mint,
            decoded.kind,
            record.pubkey,
            record.slot,
            None,
            problems=("not_an_oracle",),
            sha256=record.sha256,
        )
    return PricePoint(
        mint=mint,
        source=decoded.kind,
        pubkey=record.pubkey,
        slot=record.slot,
        price=derived["price"],
        confidence=derived["confidence"],
        published_at=published,
        age_slots=age_slots,
        problems=tuple(problems),
        has_clock=True,
        sha256=record.sha256,
    )


def stake_pool_point(
    mint: str, record: AccountRecord, decoded: Decoded, epoch: int | None
) -> PricePoint:
    """The exchange rate of a liquid staking token, quoted in SOL."""
    problems: list[str] = []
    rate = decoded.derived.get("rate")
    supply = decoded.derived.get("supply") or 0.0
    if decoded.kind not in ("spl_stake_pool", "marinade_state"):
        problems.append("not_a_stake_pool")
    elif rate is None:
        problems.append("rate_undefined")
    own_mint = decoded.values.get("pool_mint", decoded.values.get("msol_mint"))
    if own_mint is not None and own_mint != mint:
        problems.append("other_mint")
    updated = decoded.values.get("last_update_epoch")
    # The rate moves once per epoch; one that missed an epoch understates the token.
    if epoch is not None and updated is not None and updated + 1 < epoch:
        problems.append("rate_outdated")
    return PricePoint(
        mint=mint,
        source=decoded.kind,
        pubkey=record.pubkey,
        slot=record.slot,
        price=rate,
        quote=programs.WRAPPED_SOL,
        depth=supply * rate if rate is not None else None,
        problems=tuple(problems),
        sha256=record.sha256,
    )


def reserve_point(record: AccountRecord, decoded: Decoded) -> PricePoint:
    """The price that a lending reserve holds for its own token, in US dollars."""
    return PricePoint(
        mint=decoded.values["mint"],
        source=decoded.kind,
        pubkey=record.pubkey,
        slot=record.slot,
        price=decoded.derived["price"],
        published_at=_moment(decoded.values["price_timestamp"]),
        age_slots=record.slot - decoded.values["update_slot"],
        has_clock=True,
        sha256=record.sha256,
    )


def group_decimals(records: Mapping[str, AccountRecord]) -> dict[str, int]:
    """Decimals of every mint among the records."""
    found = {}
    for key, record in records.items():
        answer = record.decode()
        if isinstance(answer, Decoded) and answer.kind in ("spl_mint", "token_2022_mint"):
            found[key] = int(answer.values["decimals"])
    return found


def _listed_decimals(universe: Universe, records: Mapping[str, AccountRecord]) -> dict[str, int]:
    """Listed decimals, only where the mint's own account is not among the records."""
    found = group_decimals(records)
    return {mint: n for mint, n in universe.decimals.items() if mint not in found}


@dataclass(frozen=True, slots=True)
class PoolPrice:
    """Spot price of a pool: whole B per whole A, and how much B moves it by 1 %."""

    mint_a: str
    mint_b: str
    price: float | None
    depth_b: float | None
    problems: tuple[str, ...]


def pool_points(
    record: AccountRecord,
    decoded: Decoded,
    records: Mapping[str, AccountRecord],
    decimals: Mapping[str, int],
    universe: Universe,
) -> list[PricePoint]:
    """The token of a pool, quoted in its other side (the hub, else SOL, else a stable token)."""
    spot = pool_price(decoded, records, decimals)
    if spot is None:
        return []
    quote = _quote_side(spot, universe)
    flip = quote == spot.mint_a
    mint = spot.mint_b if flip else spot.mint_a
    price, depth = spot.price, spot.depth_b
    problems = list(spot.problems)
    if quote is None:
        problems.append("no_quote_side")
    if price is not None and flip:
        # Depth in A is the depth in B at the same price.
        depth = depth / price if depth is not None and price > 0 else None
        price = 1 / price if price > 0 else None
    return [
        PricePoint(
            mint=mint,
            source=decoded.kind,
            pubkey=record.pubkey,
            slot=record.slot,
            price=price,
            quote=quote or spot.mint_b,
            depth=depth,
            problems=tuple(problems),
            sha256=record.sha256,
        )
    ]


def _quote_side(spot: PoolPrice, universe: Universe) -> str | None:
    sides = (spot.mint_a, spot.mint_b)
    stable = [one.mint for one in universe.tokens if one.stable]
    for wanted in (universe.hub, programs.WRAPPED_SOL, *stable):
        if wanted in sides:
            return wanted
    return None


def pool_price(
    decoded: Decoded, records: Mapping[str, AccountRecord], decimals: Mapping[str, int]
) -> PoolPrice | None:
    """Spot price and depth of any pool kind; None for an account that is not a pool.

    The balance of a vault is never a price for concentrated liquidity.
    """
    value, derived = decoded.values, decoded.derived
    problems: list[str] = []
    if derived.get("ever_traded") is False:
        problems.append("never_traded")
    if derived.get("swap_enabled") is False:
        problems.append("swap_off")
    if decoded.kind == "orca_whirlpool":
        a, b = value["mint_a"], value["mint_b"]
    elif decoded.kind in ("raydium_clmm", "raydium_cp_swap"):
        a, b = value["mint_0"], value["mint_1"]
    elif decoded.kind == "raydium_amm_v4":
        a, b = value["base_mint"], value["quote_mint"]
    elif decoded.kind == "meteora_dlmm":
        a, b = value["mint_x"], value["mint_y"]
    else:
        return None
    if a not in decimals or b not in decimals:
        return PoolPrice(a, b, None, None, (*problems, "decimals_unknown"))
    da, db = decimals[a], decimals[b]
    if decoded.kind in ("orca_whirlpool", "raydium_clmm"):
        root = value["sqrt_price"]
        price: float | None = q64_price(root, da, db)
        depth = value["liquidity"] * _ROOT_STEP * (root / 2**64) / 10**db
    elif decoded.kind == "meteora_dlmm":
        price = bin_price_raw(value["active_id"], value["bin_step"]) * 10.0 ** (da - db)
        depth = _dlmm_depth(value, records) / 10**db
    else:
        reserves = vault_reserves(decoded, records)
        if reserves is None:
            return PoolPrice(a, b, None, None, (*problems, "vault_missing"))
        base, quote = reserves
        if base <= 0 or quote <= 0:
            return PoolPrice(a, b, None, 0.0, (*problems, "zero_liquidity"))
        price = quote / base * 10.0 ** (da - db)
        depth = quote * _ROOT_STEP / 10**db
    if depth <= 0:
        problems.append("zero_liquidity")
    return PoolPrice(a, b, price, depth, tuple(problems))


def vault_reserves(
    decoded: Decoded, records: Mapping[str, AccountRecord]
) -> tuple[int, int] | None:
    """Tradable base units on both sides of a constant-product pool; None without its vaults.

    What the vaults hold but the pool owes (profit to take, accrued fees) is no reserve.
    """
    value = decoded.values
    if decoded.kind == "raydium_amm_v4":
        keys = (value["base_vault"], value["quote_vault"])
        owed = (value["need_take_pnl_base"], value["need_take_pnl_quote"])
    else:
        keys = (value["vault_0"], value["vault_1"])
        owed = (decoded.derived["fees_in_vault_0"], decoded.derived["fees_in_vault_1"])
    amounts = []
    for key, minus in zip(keys, owed, strict=True):
        record = records.get(key)
        answer = record.decode() if record is not None else None
        if not isinstance(answer, Decoded) or "amount" not in answer.values:
            return None
        amounts.append(int(answer.values["amount"]) - int(minus))
    return amounts[0], amounts[1]


def _dlmm_depth(value: Mapping[str, Any], records: Mapping[str, AccountRecord]) -> float:
    """Base units of Y that buy all X within 1 % above the active bin."""
    active, step = int(value["active_id"]), int(value["bin_step"])
    reach = max(int(DEPTH_BASIS_POINTS / step), 0)
    total = 0.0
    for one in _bins(records.values()):
        if active <= one["id"] <= active + reach:
            total += one["amount_x"] * bin_price_raw(one["id"], step)
    return total


def _bins(records: Iterable[AccountRecord]) -> Iterable[dict[str, Any]]:
    for record in records:
        answer = record.decode()
        if isinstance(answer, Decoded) and answer.kind == "meteora_bin_array":
            yield from answer.values["bins"]
