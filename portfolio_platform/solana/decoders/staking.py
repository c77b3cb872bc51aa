"""Exchange rates of liquid staking tokens (SPL stake pools, Marinade), and the clock."""

from portfolio_platform.solana.decoded import Decoded, Malformed, utc_text, whole
from portfolio_platform.solana.layouts import key_text, stake_pool, sysvar

_SOL_DECIMALS = 9


def decode_clock(data: bytes) -> Decoded:
    """The clock of a bank; a time outside the calendar is malformed."""
    raw = sysvar.CLOCK.unpack(data)
    moment = utc_text(raw["unix_timestamp"])
    if moment is None:
        raise Malformed(f"unix timestamp {raw['unix_timestamp']}")
    return Decoded("clock", raw, {"moment": moment})


def decode_stake_pool(data: bytes) -> Decoded:
    """A stake pool; ``derived.rate`` is SOL per pool token, None while nothing is staked."""
    raw = stake_pool.STAKE_POOL.unpack(data)
    for name in ("manager", "reserve_stake", "pool_mint", "manager_fee_account", "token_program"):
        raw[name] = key_text(raw[name])
    lamports, supply = raw["total_lamports"], raw["pool_token_supply"]
    derived = {
        "total_sol": whole(lamports, _SOL_DECIMALS),
        "supply": whole(supply, _SOL_DECIMALS),
        "rate": lamports / supply if supply and lamports else None,
    }
    if derived["rate"] is None:
        empty = "no pool tokens exist" if supply == 0 else "no lamports are staked"
        return Decoded("spl_stake_pool", raw, {**derived, "rate_undefined": empty})
    return Decoded("spl_stake_pool", raw, derived)


def decode_marinade(data: bytes) -> Decoded:
    """Marinade's state; the rate is stored as a 32.32 fixed-point number."""
    raw = stake_pool.MARINADE_STATE.unpack(data)
    raw["msol_mint"] = key_text(raw["msol_mint"])
    if raw["msol_price"] == 0:
        raise Malformed("mSOL price 0")
    return Decoded(
        "marinade_state",
        raw,
        {
            "rate": raw["msol_price"] / stake_pool.MARINADE_PRICE_DENOMINATOR,
            "supply": whole(raw["msol_supply"], _SOL_DECIMALS),
            "available_reserve": whole(raw["available_reserve"], _SOL_DECIMALS),
        },
    )
