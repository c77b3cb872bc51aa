"""What an account depends on, found from its own bytes.

A pool names its vaults, mints and configuration; its tick or bin arrays and its adaptive-fee
oracle stand at derived addresses around the current price. A universe therefore lists pools only.
"""

from dataclasses import dataclass

from portfolio_platform.solana.decoded import Decoded
from portfolio_platform.solana.layouts import addresses

ARRAYS_EACH_SIDE = 3
BIN_ARRAYS_EACH_SIDE = 2


@dataclass(frozen=True, slots=True)
class Dependencies:
    """Accounts that must be read together with an anchor.

    ``required`` exist for every such account; ``optional`` may rightly be absent (a tick array
    that no position ever touched, the oracle of a pool with a static fee).
    """

    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()

    @property
    def all(self) -> tuple[str, ...]:
        """Required and optional, required first."""
        return self.required + self.optional


def dependencies(pubkey: str, decoded: Decoded) -> Dependencies:
    """Accounts to read in the same call as ``pubkey``; empty for kinds that stand alone."""
    value = decoded.values
    if decoded.kind == "orca_whirlpool":
        arrays = addresses.whirlpool_arrays_around(
            pubkey, value["tick_current"], value["tick_spacing"], ARRAYS_EACH_SIDE
        )
        adaptive = (addresses.whirlpool_oracle(pubkey),) if decoded.derived["adaptive_fee"] else ()
        return Dependencies(_sides(value, "a", "b"), (*adaptive, *arrays.values()))
    if decoded.kind == "raydium_clmm":
        arrays = addresses.raydium_arrays_around(
            pubkey, value["tick_current"], value["tick_spacing"], ARRAYS_EACH_SIDE
        )
        return Dependencies((*_sides(value, "0", "1"), value["config"]), tuple(arrays.values()))
    if decoded.kind == "raydium_cp_swap":
        return Dependencies((*_sides(value, "0", "1"), value["config"]))
    if decoded.kind == "raydium_amm_v4":
        return Dependencies(
            (value["base_mint"], value["quote_mint"], value["base_vault"], value["quote_vault"])
        )
    if decoded.kind == "meteora_dlmm":
        bins = addresses.meteora_arrays_around(pubkey, value["active_id"], BIN_ARRAYS_EACH_SIDE)
        return Dependencies(
            (value["mint_x"], value["mint_y"], value["reserve_x"], value["reserve_y"]),
            tuple(bins.values()),
        )
    if decoded.kind == "spl_stake_pool":
        return Dependencies((value["pool_mint"],))
    if decoded.kind == "marinade_state":
        return Dependencies((value["msol_mint"],))
    if decoded.kind in ("marginfi_bank", "kamino_reserve"):
        return Dependencies((value["mint"],))
    if decoded.kind in ("spl_token_account", "token_2022_account"):
        return Dependencies((value["mint"],))
    return Dependencies()


def _sides(value: dict[str, str], a: str, b: str) -> tuple[str, ...]:
    return (value[f"mint_{a}"], value[f"mint_{b}"], value[f"vault_{a}"], value[f"vault_{b}"])
