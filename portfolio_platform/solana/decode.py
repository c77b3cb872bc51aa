"""The registry of account decoders, keyed by (owner, discriminator, length).

An owner alone decides nothing: a Pyth receiver account may carry legacy bytes, and two account
types of two programs share a discriminator. What is not in the registry is refused with a reason.
"""

from collections.abc import Callable
from dataclasses import dataclass

from portfolio_platform.solana.decoded import Decoded, Malformed, RefusalCode, Refused, Unverified
from portfolio_platform.solana.decoders import (
    lending,
    meteora,
    oracles,
    raydium,
    staking,
    tokens,
    whirlpool,
)
from portfolio_platform.solana.layouts import (
    is_key,
    meteora_dlmm,
    programs,
    pyth,
    raydium_amm,
    raydium_clmm,
    raydium_cp,
    spl_token,
    stake_pool,
    sysvar,
)
from portfolio_platform.solana.layouts import lending as lending_layouts
from portfolio_platform.solana.layouts import whirlpool as whirlpool_layouts
from portfolio_platform.solana.layouts.base import Layout
from portfolio_platform.solana.undecoded import UndecodedKind, undecoded_kind

Decoder = Callable[[bytes], Decoded]

_PYTH = frozenset({programs.PYTH_V2, programs.PYTH_V2_DEVNET, programs.PYTH_RECEIVER})
_STAKE = frozenset(
    {programs.SPL_STAKE_POOL, programs.SANCTUM_STAKE_POOL, programs.SANCTUM_MULTI_STAKE_POOL}
)
_MARGINFI = frozenset({programs.MARGINFI, programs.MARGINFI_STAGING})


@dataclass(frozen=True, slots=True)
class Entry:
    """One account type: who owns it, how it begins, how long it is, and what reads it."""

    kind: str
    owners: frozenset[str]
    discriminator: bytes
    shortest: int
    longest: int
    decoder: Decoder

    def fits_length(self, length: int) -> bool:
        """Whether an account of this type can have ``length`` bytes."""
        return self.shortest <= length <= self.longest


def _entry(layout: Layout, owners: str | frozenset[str], decoder: Decoder) -> Entry:
    owned = frozenset({owners}) if isinstance(owners, str) else owners
    return Entry(layout.kind, owned, layout.discriminator, layout.length, layout.length, decoder)


_WHIRLPOOL = programs.ORCA_WHIRLPOOL
REGISTRY: tuple[Entry, ...] = (
    _entry(whirlpool_layouts.POOL, _WHIRLPOOL, whirlpool.decode_pool),
    _entry(whirlpool_layouts.TICK_ARRAY, _WHIRLPOOL, whirlpool.decode_tick_array),
    Entry(
        "orca_dynamic_tick_array",
        frozenset({_WHIRLPOOL}),
        whirlpool_layouts.DYNAMIC_TICK_ARRAY.discriminator,
        whirlpool_layouts.DYNAMIC_MIN_LENGTH,
        whirlpool_layouts.DYNAMIC_MAX_LENGTH,
        whirlpool.decode_dynamic_tick_array,
    ),
    _entry(whirlpool_layouts.ORACLE, _WHIRLPOOL, whirlpool.decode_oracle),
    _entry(raydium_clmm.POOL, programs.RAYDIUM_CLMM, raydium.decode_clmm),
    _entry(raydium_clmm.CONFIG, programs.RAYDIUM_CLMM, raydium.decode_clmm_config),
    _entry(raydium_clmm.TICK_ARRAY, programs.RAYDIUM_CLMM, raydium.decode_clmm_tick_array),
    _entry(raydium_cp.POOL, programs.RAYDIUM_CP_SWAP, raydium.decode_cp_swap),
    _entry(raydium_cp.CONFIG, programs.RAYDIUM_CP_SWAP, raydium.decode_cp_config),
    _entry(meteora_dlmm.PAIR, programs.METEORA_DLMM, meteora.decode_pair),
    _entry(meteora_dlmm.BIN_ARRAY, programs.METEORA_DLMM, meteora.decode_bin_array),
    _entry(pyth.PRICE_V2, _PYTH, oracles.decode_price_v2),
    _entry(pyth.PRICE_UPDATE_V2, programs.PYTH_RECEIVER, oracles.decode_price_update_v2),
    _entry(stake_pool.MARINADE_STATE, programs.MARINADE, staking.decode_marinade),
    _entry(lending_layouts.MARGINFI_BANK, _MARGINFI, lending.decode_marginfi_bank),
    _entry(lending_layouts.KAMINO_RESERVE, programs.KAMINO_LEND, lending.decode_kamino_reserve),
    _entry(stake_pool.STAKE_POOL, _STAKE, staking.decode_stake_pool),
    _entry(
        sysvar.CLOCK,
        programs.SYSVAR_OWNER,
        staking.decode_clock,
    ),
    # Without a discriminator: the owner decides, and the length decides where it is unknown.
    _entry(raydium_amm.POOL, programs.RAYDIUM_AMM_V4, raydium.decode_amm_v4),
)

KNOWN_OWNERS: frozenset[str] = frozenset().union(*(one.owners for one in REGISTRY)) | {
    programs.SPL_TOKEN,
    programs.TOKEN_2022,
    programs.SYSTEM,
}


def decode(owner: str | None, data: bytes, pubkey: str | None = None) -> Decoded | Refused:
    """Values of an account, or the reason why there are none. Never raises on any bytes.

    Parameters
    ----------
    owner : str or None
        Program that owns the account. None when a dump does not say: then the discriminator and
        the length decide alone.
    data : bytes
        The whole account; a slice is refused for its length.
    pubkey : str or None
        Named in the reason of a refusal.
    """
    if owner is not None and not is_key(owner):
        return Refused(f"owner {owner[:64]!r} is not a public key", "invalid_owner")
    answer = _dispatch(owner, data)
    if isinstance(answer, Refused) and pubkey is not None:
        return Refused(f"{pubkey}: {answer.reason}", answer.code, answer.kind)
    return answer


def _dispatch(owner: str | None, data: bytes) -> Decoded | Refused:
    if not data:
        if owner == programs.SYSTEM:
            return Decoded("system_account", {})
        return Refused("the account has no data", "empty")
    if owner in (programs.SPL_TOKEN, programs.TOKEN_2022):
        return _token(owner, data)
    if owner is None and (found := _token_shape(data)):
        return _run(found[0], found[1], data)
    candidates = [one for one in REGISTRY if owner is None or owner in one.owners]
    if not candidates:
        if kind := undecoded_kind(owner, data):
            return Refused(kind.reason, "undecoded", kind.kind)
        return Refused(f"owner {owner} is not a program whose layouts are known", "unknown_owner")
    # Nothing but its owner tells a clock from any 40 bytes.
    if owner is None:
        candidates = [one for one in candidates if one.kind != "clock"]
    named = [one for one in candidates if data.startswith(one.discriminator)]
    fitting = [one for one in named if one.fits_length(len(data))]
    if fitting:
        # The longest discriminator is the most specific claim.
        best = max(fitting, key=lambda one: len(one.discriminator))
        return _run(best.kind, best.decoder, data)
    if kind := undecoded_kind(owner, data):
        return Refused(kind.reason, "undecoded", kind.kind)
    named = [one for one in named if one.discriminator or owner is not None]
    if named and (owner is not None or any(len(one.discriminator) >= 4 for one in named)):
        best = max(named, key=lambda one: len(one.discriminator))
        expected = (
            str(best.shortest)
            if best.shortest == best.longest
            else f"{best.shortest} to {best.longest}"
        )
        reason = f"{best.kind} has {expected} bytes, this account has {len(data)}"
        return Refused(reason, "wrong_length", best.kind)
    code: RefusalCode = "unknown_discriminator"
    of = f"program {owner}" if owner else "any known program"
    reason = f"no account of {of} begins with {data[:8].hex()} and has {len(data)} bytes"
    return Refused(reason, code)


def _run(kind: str, decoder: Decoder, data: bytes) -> Decoded | Refused:
    try:
        return decoder(data)
    except Unverified as error:
        other = UndecodedKind(str(error))
        return Refused(other.reason, "undecoded", other.kind)
    except Malformed as error:
        return Refused(f"malformed {kind}: {error}", "malformed", kind)


def _token(owner: str, data: bytes) -> Decoded | Refused:
    found = _token_shape(data)
    extended = len(data) > spl_token.TOKEN_ACCOUNT.length
    if len(data) == spl_token.MULTISIG_LENGTH:
        return Refused("a multisig of the token program holds no balance", "undecoded", "multisig")
    if found is None or (extended and owner == programs.SPL_TOKEN):
        reason = f"{len(data)} bytes are neither a mint (82) nor a token account (165)" + (
            ""
            if owner == programs.SPL_TOKEN
            else " nor an extended one (above 166, with an account type)"
        )
        return Refused(reason, "wrong_length")
    return _run(found[0], found[1], data)


def _token_shape(data: bytes) -> tuple[str, Decoder] | None:
    """Mint or token account by length and account type byte, whichever program owns it."""
    if len(data) == spl_token.MINT.length:
        return "spl_mint", tokens.decode_mint
    if len(data) == spl_token.TOKEN_ACCOUNT.length:
        return "spl_token_account", tokens.decode_token_account
    if len(data) > spl_token.TOKEN_ACCOUNT.length + 1 and any(
        data[spl_token.ACCOUNT_TYPE_OFFSET] == kind for kind in (1, 2)
    ):
        if any(data.startswith(one.discriminator) for one in REGISTRY if one.discriminator[1:]):
            return None
        if data[spl_token.ACCOUNT_TYPE_OFFSET] == spl_token.ACCOUNT_TYPE_MINT:
            return "token_2022_mint", tokens.decode_mint
        return "token_2022_account", tokens.decode_token_account
    return None
