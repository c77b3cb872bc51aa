"""Account types that are recognised and stored, but whose layout is not verified."""

from dataclasses import dataclass

from portfolio_platform.solana.layouts import programs


@dataclass(frozen=True, slots=True)
class UndecodedKind:
    """A recognised account type without a verified layout."""

    kind: str

    @property
    def reason(self) -> str:
        """The reason stored with the quarantined bytes."""
        return f"{self.kind} is stored raw: its layout is not verified"


_ANY = None
# (owner or any, leading bytes in hex, exact length or any) -> kind
_TABLE: tuple[tuple[str | None, str, int | None, str], ...] = (
    (_ANY, "d9e64165c9a21b7d", 3851, "switchboard_v2_aggregator"),
    (_ANY, "c41b6cc40ad7db28", 3208, "switchboard_on_demand_feed"),
    (_ANY, "01db060801120608", 50000, "switchboard_v1_aggregator"),
    (_ANY, "01b1050801120608", 5000, "switchboard_v1_aggregator"),
    (_ANY, "801e10f1aa493736", 4816, "switchboard_on_demand_queue"),
    ("CrX7kMhLC3cSsXJdT7JDgqrRVWGnUpX3gfEfxxU2NVLi", "", None, "lido_state"),
    (programs.KAMINO_LEND, "a8ce8d6a584caca7", None, "kamino_obligation"),
    (_ANY, "43b2826d7e721c2a", 2312, "marginfi_account"),
    (_ANY, "b617adf097ceb643", 1064, "marginfi_group"),
    (programs.METEORA_DLMM, "8bc283b38cb3e5f4", None, "meteora_oracle"),
    (_ANY, "8bc283b38cb3e5f4", 3232, "meteora_oracle"),
    (programs.METEORA_DLMM, "aabc8fe47a40f7d0", None, "meteora_position"),
    (programs.METEORA_DLMM, "f23ef422b5703aaa", None, "meteora_preset_parameter"),
    (programs.ORCA_WHIRLPOOL, "aabc8fe47a40f7d0", None, "orca_position"),
    (programs.ORCA_WHIRLPOOL, "81a9af41b95f2064", None, "orca_position_bundle"),
    (programs.ORCA_WHIRLPOOL, "384b9f4c8e44be69", None, "orca_fee_tier"),
    (programs.ORCA_WHIRLPOOL, "74dbcce5f974ff96", None, "orca_token_badge"),
    (programs.ORCA_WHIRLPOOL, "9d1431e0d957c1fe", None, "orca_config"),
    (programs.ORCA_WHIRLPOOL, "0263d7a3f01a993a", None, "orca_config_extension"),
    (programs.RAYDIUM_CLMM, "7aaec5358109a584", None, "raydium_clmm_observation"),
    (programs.RAYDIUM_CLMM, "64e2916392daa06a", None, "raydium_clmm_protocol_position"),
    ("AddressLookupTab1e1111111111111111111111111", "", None, "address_lookup_table"),
    ("Vote111111111111111111111111111111111111111", "", None, "vote_account"),
    ("Stake11111111111111111111111111111111111111", "", None, "stake_account"),
)


def undecoded_kind(owner: str | None, data: bytes) -> UndecodedKind | None:
    """The recognised kind of an account that no decoder reads; None when it is unknown."""
    for known_owner, head, length, kind in _TABLE:
        if known_owner is not None and owner != known_owner:
            continue
        if length is not None and len(data) != length:
            continue
        if data.startswith(bytes.fromhex(head)):
            return UndecodedKind(kind)
    return None
