"""Recorded mainnet accounts decode to values that independent market data confirms."""

from pathlib import Path
from typing import Any

import pytest

from portfolio_platform.solana.decode import decode
from portfolio_platform.solana.decoded import Decoded
from portfolio_platform.solana.dumps import load_dump
from portfolio_platform.solana.inspect import describe_file

pytestmark = pytest.mark.real_data

_POOL = "orca_whirlpool/sol_usdc_wp_whirlpool.HJPjoWUrhoZzkNfRpHuieeFk9WcZWjwy6PBjZ81ngndJ.json"
_SAMO = "orca_whirlpool/samo_usdc_wp_whirlpool.9vqYJjDUFecLL2xPUC4Rc7hyCtZ6iJ4mDiVZX7aFXoAe.json"
_PYUSD = "orca_whirlpool/token_2022_pyusd.2b1kV6DkPAnxd5ixfnxCpjxmKwqjjaYmCZfHsFu24GXo.json"
_SUSD = "orca_whirlpool/token_2022_susd.susdabGDNbhrnCa6ncrYo81u4s9GM8ecK2UwMyZiq4X.json"
_B5EI = "meteora_dlmm/B5Eia4cE71tKuEDaqPHucJLG2fxySKyKzLMewd2nUvoc"
_VAULT_A = "orca_whirlpool/sol_usdc_wp_vault_a.3YQm7ujtXWJU2e9jhp2QGHpnn1ShXn12QjvzMvDgabpX.json"
_VAULT_B = "orca_whirlpool/sol_usdc_wp_vault_b.2JTw1fE2wz1SymWUQ7UqpVtrTuKjcd6mWwYwUJUCh2rq.json"
_USDC = "orca_whirlpool/token_usdc.EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v.json"

# file, figure, expected value, tolerance (absolute)
TRUTH: list[tuple[str, str, Any, float]] = [
    (_POOL, "price", 40.362226, 5e-7),
    (_POOL, "price_by_tick", 40.359055, 5e-7),
    (_POOL, "tick_current", -32101, 0),
    (_POOL, "liquidity", 179_999_872_843_830, 0),
    (_VAULT_A, "amount", 101_826_710_218_000, 1_000_000),
    (_VAULT_A, "amount_tokens", 101_826.710218, 5e-7),
    (_VAULT_B, "amount_tokens", 1_806_982.724843, 5e-7),
    (_SAMO, "price", 0.01522729, 5e-9),
    (_SAMO, "price_by_tick", 0.01522692, 5e-9),
    (_SAMO, "tick_current", -110930, 0),
    (_USDC, "supply", 5_034_999_431.478671, 5e-7),
    ("pyth_solend/992moaMQKs32GKZ9dxi8keyM2bUmbrwBZpK4p2K6X5Vs.bin", "price", 0.27293073, 0),
    ("pyth_solend/992moaMQKs32GKZ9dxi8keyM2bUmbrwBZpK4p2K6X5Vs.bin", "confidence", 0.00083372, 0),
    (
        "pyth_solend/992moaMQKs32GKZ9dxi8keyM2bUmbrwBZpK4p2K6X5Vs.bin",
        "published_at",
        "2022-11-21T16:48:51+00:00",
        0,
    ),
    ("pyth_solend/7UVimffxr9ow1uXYxsr4LHAcV58mLzhmwaeKvJ1pjLiE.bin", "price", 135.426693, 5e-7),
    (
        "pyth_solend/7UVimffxr9ow1uXYxsr4LHAcV58mLzhmwaeKvJ1pjLiE.bin",
        "confidence",
        0.117357,
        5e-7,
    ),
    ("pyth_solend/5CKzb9j4ChgLUt8Gfm5CNGLN6khXKiqMbnGAW4cgXgxK.bin", "price", 161.973027, 5e-7),
    (
        "mango_v4_resources/7UVimffxr9ow1uXYxsr4LHAcV58mLzhmwaeKvJ1pjLiE.bin",
        "price",
        140.615937,
        5e-7,
    ),
    ("pyth/pyth_push_sol_price.bin", "price", 156.797691, 5e-7),
    ("marginfi/sol_pyth_price_feed.json", "price", 215.681371, 5e-7),
    ("pyth/pyth_push_usdc_price.bin", "price", 1.00004997, 0),
    (
        "mango_v4_resources/Gnt27xtC473ZT2Mw5u8wZ68Z3gULkSTb5DuxJy7eJotD.bin",
        "price",
        1.0000075,
        0,
    ),
    ("marginfi/sol_pyth_oracle.json", "price", 119.23378, 0),
    ("marginfi/sol_pyth_oracle.json", "status", 0, 0),
    ("marginfi/sol_pyth_oracle.json", "publish_slot", 299058484, 0),
    ("marginfi/sol_pyth_oracle.json", "last_slot", 281687928, 0),
    ("marginfi/sol_pyth_oracle.json", "trading", False, 0),
    ("pyth_solend/J83w4HKfqxwcq3BEMMkPFSppX3gqekLyLJBexebFVkix.bin", "price", 32.1125, 0),
    ("pyth_solend/J83w4HKfqxwcq3BEMMkPFSppX3gqekLyLJBexebFVkix.bin", "timestamp", 0, 0),
    ("pyth_solend/J83w4HKfqxwcq3BEMMkPFSppX3gqekLyLJBexebFVkix.bin", "previous_price", None, 0),
    (
        "mango_v4_resources/Ds33rQ1d4AXwxqyeXX6Pc3G4pFNr6iWb3dd8YfBBQMPr.bin",
        "depth_100bps",
        6.10,
        5e-3,
    ),
    (_POOL, "depth_100bps", 180_363, 0.5),
    (_SAMO, "depth_100bps", 3_280, 0.5),
    (
        "mango_v4_resources/Ds33rQ1d4AXwxqyeXX6Pc3G4pFNr6iWb3dd8YfBBQMPr.bin",
        "price",
        83.55147,
        5e-6,
    ),
    (
        "mango_v4_resources/Ds33rQ1d4AXwxqyeXX6Pc3G4pFNr6iWb3dd8YfBBQMPr.bin",
        "liquidity",
        4_234_111_328,
        0,
    ),
    ("carbon_accounts/orca-whirlpool/whirlpool_account.json", "price_raw", 5e9, 10),
    ("carbon_accounts/orca-whirlpool/whirlpool_account.json", "ever_traded", False, 0),
    ("carbon_accounts/raydium-clmm/pool_state_account.json", "price", 1_232_182, 0.5),
    ("carbon_accounts/meteora-dlmm/lb_pair_account.json", "active_id", -1054, 0),
    ("carbon_accounts/meteora-dlmm/lb_pair_account.json", "price_raw", 2.2522e-4, 5e-9),
    (f"{_B5EI}/lb_pair.bin", "price_raw", 1.0, 0),
    (f"{_B5EI}/lb_pair.bin", "ever_traded", False, 0),
    ("stake_pools/jup-pool.json", "rate", 1.0, 0),
    ("stake_pools/jup-pool.json", "supply", 0.00328288, 0),
    ("stake_pools/jito-stake-pool.json", "rate", 1.0734001570, 5e-11),
    ("stake_pools/jito-stake-pool.json", "total_sol", 6_636_671.656500, 5e-7),
    ("stake_pools/jitosol-mint.json", "supply", 6_183_351.637877, 5e-7),
    ("stake_pools/marinade-state.json", "rate", 1.164647285, 5e-10),
    ("stake_pools/marinade-state.json", "supply", 5_389_415.762674, 5e-7),
    ("stake_pools/marinade-state.json", "available_reserve", 93_758.358626, 5e-7),
    ("stake_pools/msol-mint.json", "supply", 5_389_415.760698, 5e-7),
    ("marginfi/bank_sample_3.json", "assets", 45_955_120.91, 0.005),
    ("marginfi/bank_sample_3.json", "liabilities", 35_991_620.60, 0.005),
    ("marginfi/bank_sample_3.json", "utilization", 0.7832, 5e-5),
    ("marginfi/bank_sample_1.json", "utilization", 0.0804, 5e-5),
    ("marginfi/bank_sample_2.json", "assets", 698.5, 0.05),
    ("marginfi/bank_sample_2.json", "utilization", 0.0, 0),
    ("marginfi/bank_pyusd_230822.json", "utilization", 0.05, 5e-5),
    ("marginfi/pyusd_bank.json", "utilization", 0.142, 5e-4),
    (
        "pyth/DeyH7QxWvnbbaVB4zFrf4hoq7Q8z1ZT14co42BGwGtfM.bin",
        "assets",
        868_838_403_951.49,
        0.005,
    ),
    (
        "pyth/DeyH7QxWvnbbaVB4zFrf4hoq7Q8z1ZT14co42BGwGtfM.bin",
        "utilization",
        0.01176,
        5e-6,
    ),
    ("kamino/kamino_usdc_reserve.json", "available_tokens", 129_639_221.256987, 5e-7),
    ("kamino/kamino_usdc_reserve.json", "borrowed_tokens", 458_163_294.49, 0.005),
    ("kamino/kamino_usdc_reserve.json", "utilization", 0.77945, 5e-6),
    ("kamino/kamino_usdc_reserve.json", "fees_tokens", 291_829.48, 0.005),
    ("kamino/kamino_usdc_reserve.json", "price", 0.99989052, 5e-9),
    ("kamino/kamino_usdc_reserve.json", "stale", 1, 0),
    (_PYUSD, "supply", 177_784_511.063664, 5e-7),
    (_SUSD, "supply", 20_959_556.661203, 5e-7),
    (
        "orca_whirlpool/user_ata_2022_pyusd.2A7Cc48jwWWoixM5CWquQKEqk9KNQvY2Xw3WJbBRc6Ei.json",
        "amount",
        849007,
        0,
    ),
    (
        "orca_whirlpool/user_ata_2022_susd.6nC3JjFC3fQx9HhHB27VzkdDMK6k38H9a2cNsZgk8yUy.json",
        "amount",
        24289,
        0,
    ),
    (
        "raydium_amm_v4/58oQChx4yWmvKdwLLZzBi4ChoCc2fqCUWBkwMihLYQo2.json",
        "price_undefined",
        "needs both vault accounts of the same slot",
        0,
    ),
]


@pytest.mark.parametrize(
    ("name", "figure", "expected", "tolerance"),
    TRUTH,
    ids=[f"{Path(name).stem[:24]}-{figure}" for name, figure, _, _ in TRUTH],
)
def test_recorded_account(
    real_data: Path, name: str, figure: str, expected: Any, tolerance: float
) -> None:
    found = describe_file(real_data / "accounts" / name)["values"][figure]
    if tolerance:
        assert found == pytest.approx(expected, abs=tolerance, rel=0)
    else:
        assert found == expected


def test_msol_over_sol_is_a_staking_rate(real_data: Path) -> None:
    folder = real_data / "accounts" / "pyth_solend"
    msol = describe_file(folder / "5CKzb9j4ChgLUt8Gfm5CNGLN6khXKiqMbnGAW4cgXgxK.bin")["values"]
    sol = describe_file(folder / "7UVimffxr9ow1uXYxsr4LHAcV58mLzhmwaeKvJ1pjLiE.bin")["values"]
    assert msol["price"] / sol["price"] == pytest.approx(1.1960, abs=5e-5)


@pytest.mark.parametrize(
    ("name", "types"),
    [
        (_PYUSD, [3, 12, 1, 4, 16, 14, 18, 19]),
        (_SUSD, [18, 10, 19]),
        (f"{_B5EI}/token_x_mint.bin", [1, 18, 19]),
    ],
)
def test_extensions_are_listed_in_the_order_of_the_bytes(
    real_data: Path, name: str, types: list[int]
) -> None:
    values = describe_file(real_data / "accounts" / name)["values"]
    assert [one["type"] for one in values["extensions"].values()] == types


def test_a_transfer_fee_is_reported_with_its_cap(real_data: Path) -> None:
    values = describe_file(real_data / "accounts" / _B5EI / "token_x_mint.bin")["values"]
    fee = values["extensions"]["transfer_fee_config"]["newer"]
    assert (fee["basis_points"], fee["maximum_fee"]) == (50, 5000)
    assert any(notice.startswith("transfer_fee") for notice in values["notices"])


def test_displayed_amounts_that_differ_from_raw_ones_are_noticed(real_data: Path) -> None:
    values = describe_file(real_data / "accounts" / _SUSD)["values"]
    assert any(notice.startswith("interest_bearing") for notice in values["notices"])


def test_every_file_has_a_kind_with_values_or_a_reason(real_data: Path) -> None:
    files = [
        path
        for path in sorted((real_data / "accounts").rglob("*"))
        if path.suffix in (".json", ".bin")
    ]
    assert len(files) == 140
    for path in files:
        shown = describe_file(path)
        assert shown["file"] == str(path)
        if "refused" in shown:
            assert len(shown["refused"]) > 10, shown
        else:
            assert shown["kind"], path
            assert isinstance(shown["values"], dict), path


def test_another_decoder_reads_the_same_fields(real_data: Path) -> None:
    """Some dumps carry what an independent decoder made of them."""
    import json

    path = real_data / "accounts/carbon_accounts/orca-whirlpool/whirlpool_account.json"
    other = json.loads(path.read_text())["data_decoded"]
    dump = load_dump(path)
    ours = decode(dump.owner, dump.data)
    assert isinstance(ours, Decoded)
    names = {
        "tickSpacing": "tick_spacing",
        "feeRate": "fee_rate",
        "protocolFeeRate": "protocol_fee_rate",
        "liquidity": "liquidity",
        "sqrtPrice": "sqrt_price",
        "tickCurrentIndex": "tick_current",
        "tokenMintA": "mint_a",
        "tokenVaultB": "vault_b",
        "rewardLastUpdatedTimestamp": "reward_last_updated",
    }
    for theirs, name in names.items():
        assert str(ours.values[name]) == str(other[theirs]["data"]), name


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("pyth/swb_pull_sol_price.bin", "switchboard_on_demand_feed"),
        ("stake_pools/lido-state.json", "lido_state"),
        ("kamino/kamino_usdc_obligation.json", "kamino_obligation"),
        ("marginfi/marginfi_account_sample_1.json", "marginfi_account"),
    ],
)
def test_kinds_without_a_verified_layout_are_named_and_not_guessed(
    real_data: Path, name: str, kind: str
) -> None:
    shown = describe_file(real_data / "accounts" / name)
    assert shown["kind"] == kind
    assert "not verified" in shown["refused"]
    assert "values" not in shown
