"""Pyth prices: the legacy v2 account and PriceUpdateV2."""

from fractions import Fraction

from portfolio_platform.solana.decoded import Decoded, Malformed, Unverified, utc_text
from portfolio_platform.solana.layouts import key_text, pyth

_LARGEST_EXPONENT = 18
_PREVIOUS = ("previous_slot", "previous_price", "previous_confidence", "previous_timestamp")


def _scaled(mantissa: int, exponent: int) -> float:
    return float(Fraction(mantissa) * Fraction(10) ** exponent)


def _exponent(exponent: int) -> int:
    if abs(exponent) > _LARGEST_EXPONENT:
        raise Malformed(f"price exponent {exponent}")
    return exponent


def decode_price_v2(data: bytes) -> Decoded:
    """A legacy price account: the aggregate, its status, and when it last traded.

    ``timestamp`` 0 means an unknown age, not 1970: ``derived.published_at`` is None then.
    """
    raw = pyth.PRICE_V2.unpack(data)
    if raw["type"] in pyth.V2_OTHER_TYPES:
        raise Unverified(pyth.V2_OTHER_TYPES[raw["type"]])
    if raw["type"] != pyth.V2_TYPE_PRICE:
        raise Malformed(f"Pyth account type {raw['type']} is not a price (3)")
    exponent = _exponent(raw["exponent"])
    raw["product"] = key_text(raw["product"])
    if raw["timestamp"] == 0:
        # Accounts of before there was a timestamp keep another field's bytes there.
        raw |= dict.fromkeys(_PREVIOUS)
    return Decoded(
        "pyth_price_v2",
        raw,
        {
            "price": _scaled(raw["price"], exponent),
            "confidence": _scaled(raw["confidence"], exponent),
            "ema": _scaled(raw["ema"], exponent),
            "previous_price": None
            if raw["previous_price"] is None
            else _scaled(raw["previous_price"], exponent),
            "trading": raw["status"] == pyth.V2_STATUS_TRADING,
            "published_at": utc_text(raw["timestamp"]) if raw["timestamp"] > 0 else None,
        },
    )


def decode_price_update_v2(data: bytes) -> Decoded:
    """A pull-oracle price; a partially verified one carries one more byte before the feed id."""
    layout = pyth.PRICE_UPDATE_V2
    verification = layout.fields["verification"].read(data)
    if verification == pyth.VERIFICATION_PARTIAL:
        layout = pyth.PRICE_UPDATE_V2_PARTIAL
    elif verification != pyth.VERIFICATION_FULL:
        raise Malformed(f"verification level {verification}")
    raw = layout.unpack(data)
    exponent = _exponent(raw["exponent"])
    raw["write_authority"] = key_text(raw["write_authority"])
    raw["feed_id"] = raw["feed_id"].hex()
    return Decoded(
        "pyth_price_update_v2",
        raw,
        {
            "price": _scaled(raw["price"], exponent),
            "confidence": _scaled(raw["confidence"], exponent),
            "ema": _scaled(raw["ema_price"], exponent),
            "fully_verified": verification == pyth.VERIFICATION_FULL,
            "published_at": utc_text(raw["publish_time"]) if raw["publish_time"] > 0 else None,
        },
    )
