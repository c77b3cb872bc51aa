"""Pyth: the legacy v2 price account and PriceUpdateV2 of the pull oracle."""

from portfolio_platform.solana.layouts.base import Layout, fields

V2_MAGIC = bytes.fromhex("d4c3b2a1")
V2_TYPE_PRICE = 3
V2_OTHER_TYPES = {1: "pyth_mapping_v2", 2: "pyth_product_v2", 4: "pyth_test_v2"}
V2_STATUS_TRADING = 1

PRICE_V2 = Layout(
    kind="pyth_price_v2",
    length=3312,
    discriminator=V2_MAGIC,
    fields=fields(
        version=("u32", 4),
        type=("u32", 8),
        size=("u32", 12),
        exponent=("i32", 20),
        publishers=("u32", 24),
        last_slot=("u64", 32),
        valid_slot=("u64", 40),
        ema=("i64", 48),
        timestamp=("i64", 96),
        product=("key", 112),
        previous_slot=("u64", 176),
        previous_price=("i64", 184),
        previous_confidence=("u64", 192),
        previous_timestamp=("i64", 200),
        price=("i64", 208),
        confidence=("u64", 216),
        status=("u32", 224),
        publish_slot=("u64", 232),
    ),
)

VERIFICATION_PARTIAL, VERIFICATION_FULL = 0, 1

PRICE_UPDATE_V2 = Layout(
    kind="pyth_price_update_v2",
    length=134,
    discriminator=bytes.fromhex("22f123639d7ef4cd"),
    fields=fields(
        write_authority=("key", 8),
        verification=("u8", 40),
        feed_id=("key", 41),
        price=("i64", 73),
        confidence=("u64", 81),
        exponent=("i32", 89),
        publish_time=("i64", 93),
        previous_publish_time=("i64", 101),
        ema_price=("i64", 109),
        ema_confidence=("u64", 117),
        posted_slot=("u64", 125),
    ),
)

PRICE_UPDATE_V2_PARTIAL = Layout(
    kind="pyth_price_update_v2",
    length=134,
    discriminator=PRICE_UPDATE_V2.discriminator,
    fields=fields(
        write_authority=("key", 8),
        verification=("u8", 40),
        signatures=("u8", 41),
        feed_id=("key", 42),
        price=("i64", 74),
        confidence=("u64", 82),
        exponent=("i32", 90),
        publish_time=("i64", 94),
        previous_publish_time=("i64", 102),
        ema_price=("i64", 110),
        ema_confidence=("u64", 118),
        posted_slot=("u64", 126),
    ),
)
