"""Lending reserves: marginfi banks and Kamino reserves."""

from fractions import Fraction
from itertools import pairwise
from typing import Any

from portfolio_platform.solana.decoded import Decoded, Malformed, decimals_in_range, utc_text, whole
from portfolio_platform.solana.layouts import key_text, lending
from portfolio_platform.solana.rates import kamino_rates, marginfi_rates, utilization

_LARGEST_RATE = 1_000.0


def _rate(raw: int, what: str) -> float:
    value = raw / lending.I80F48_ONE
    if not 0 <= value <= _LARGEST_RATE:
        raise Malformed(f"{what} of {value:g}")
    return value


def decode_marginfi_bank(data: bytes) -> Decoded:
    """A marginfi bank.

    ``assets = shares · share value``. Amounts under ``derived`` are base units as floored ints
    (``supplied``, ``borrowed``, ``available``) and whole tokens as floats. An empty bank has
    utilization None.
    """
    raw = lending.MARGINFI_BANK.unpack(data)
    decimals = decimals_in_range(raw["decimals"])
    for name in (
        "asset_share_value",
        "liability_share_value",
        "total_asset_shares",
        "total_liability_shares",
    ):
        if raw[name] < 0:
            raise Malformed(f"{name} is negative")
    for name in ("mint", "group", "liquidity_vault"):
        raw[name] = key_text(raw[name])
    one = lending.I80F48_ONE**2
    assets = Fraction(raw["total_asset_shares"] * raw["asset_share_value"], one)
    debts = Fraction(raw["total_liability_shares"] * raw["liability_share_value"], one)
    used = utilization(float(debts), float(assets))
    optimal = _rate(raw["optimal_utilization_rate"], "optimal utilization")
    if optimal >= 1:
        raise Malformed(f"optimal utilization of {optimal:g}")
    derived: dict[str, Any] = {
        "supplied": int(assets),
        "borrowed": int(debts),
        "available": max(int(assets - debts), 0),
        "assets": whole(assets, decimals),
        "liabilities": whole(debts, decimals),
        "utilization": used,
        "updated_at": utc_text(raw["last_update"]) if raw["last_update"] > 0 else None,
    }
    if used is None:
        derived |= {"supply_apr": None, "borrow_apr": None}
        derived["utilization_undefined"] = "nothing is supplied"
    else:
        rates = marginfi_rates(
            used,
            optimal=optimal,
            plateau=_rate(raw["plateau_interest_rate"], "plateau rate"),
            maximum=_rate(raw["max_interest_rate"], "maximum rate"),
            fixed_fee=_rate(raw["insurance_fee_fixed_apr"], "insurance fee")
            + _rate(raw["protocol_fixed_fee_apr"], "protocol fee"),
            rate_fee=_rate(raw["insurance_ir_fee"], "insurance share")
            + _rate(raw["protocol_ir_fee"], "protocol share"),
        )
        derived |= {"supply_apr": rates.supply_apr, "borrow_apr": rates.borrow_apr}
    return Decoded("marginfi_bank", raw, derived)


def decode_kamino_reserve(data: bytes) -> Decoded:
    """A Kamino reserve; utilization leaves the accrued fees out (they stand beside it)."""
    raw = lending.KAMINO_RESERVE.unpack(data)
    decimals = decimals_in_range(raw["decimals"])
    for name in ("market", "mint", "supply_vault", "fee_vault"):
        raw[name] = key_text(raw[name])
    curve = [
        (point["utilization_bps"], point["borrow_rate_bps"]) for point in raw["borrow_rate_curve"]
    ]
    raw["borrow_rate_curve"] = [list(point) for point in curve]
    one = lending.SCALED_FRACTION_ONE
    borrowed = Fraction(raw["borrowed_sf"], one)
    fees = Fraction(
        raw["protocol_fees_sf"] + raw["referrer_fees_sf"] + raw["pending_referrer_fees_sf"], one
    )
    used = utilization(float(borrowed), float(borrowed + raw["available"]))
    derived: dict[str, Any] = {
        "supplied": int(borrowed) + raw["available"],
        "borrowed": int(borrowed),
        "available": raw["available"],
        "available_tokens": whole(raw["available"], decimals),
        "borrowed_tokens": whole(borrowed, decimals),
        "fees_tokens": whole(fees, decimals),
        "utilization": used,
        "price": float(Fraction(raw["price_sf"], one)),
        "price_at": utc_text(raw["price_timestamp"]) if raw["price_timestamp"] else None,
    }
    if used is None:
        derived |= {"supply_apr": None, "borrow_apr": None}
        derived["utilization_undefined"] = "nothing is supplied"
    elif any(left[0] > right[0] for left, right in pairwise(curve)):
        raise Malformed("the borrow rate curve does not increase in utilization")
    else:
        rates = kamino_rates(
            used,
            curve,
            take_rate_pct=raw["protocol_take_rate_pct"],
            host_fixed_bps=raw["host_fixed_interest_rate_bps"],
        )
        derived |= {"supply_apr": rates.supply_apr, "borrow_apr": rates.borrow_apr}
    return Decoded("kamino_reserve", raw, derived)
