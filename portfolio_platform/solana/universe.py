"""The universe: which tokens are priced and which accounts are watched."""

import json
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from portfolio_platform.solana.layouts import InvalidPubkey, key_bytes, programs

Role = Literal["mint", "pool", "oracle", "reserve", "stake_pool", "wallet"]


def _pubkey(text: str) -> str:
    key_bytes(text)
    return text


def _mint(text: str) -> str:
    # An instrument with no known Solana mint is `venue:SYMBOL`.
    if ":" not in text:
        key_bytes(text)
    return text


Pubkey = Annotated[str, AfterValidator(_pubkey)]
Mint = Annotated[str, AfterValidator(_mint)]


class UniverseError(ValueError):
    """A universe that cannot be used; the text says where and why."""


class Token(BaseModel):
    """A token of the universe."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mint: Mint
    symbol: str = Field(min_length=1, max_length=32)
    name: str = ""
    decimals: int = Field(ge=0, le=38)
    stable: bool = False
    group: str | None = None
    history_symbol: str | None = None
    stake_pool: Pubkey | None = None


class WatchedAccount(BaseModel):
    """An account whose bytes are fetched; what it depends on is found from its bytes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pubkey: Pubkey
    role: Role
    mint: Mint | None = None


class Universe(BaseModel):
    """Tokens and accounts; ``hub`` is the mint that everything is valued in."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1)
    hub: Mint = programs.USDC
    tokens: tuple[Token, ...] = ()
    accounts: tuple[WatchedAccount, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> "Universe":
        mints = [one.mint for one in self.tokens]
        repeated = sorted({mint for mint in mints if mints.count(mint) > 1})
        if repeated:
            raise ValueError(f"tokens listed twice: {', '.join(repeated)}")
        keys = [(one.pubkey, one.role) for one in self.accounts]
        twice = sorted({key[0] for key in keys if keys.count(key) > 1})
        if twice:
            raise ValueError(f"accounts listed twice in one role: {', '.join(twice)}")
        for one in self.accounts:
            if one.role in ("oracle", "reserve", "stake_pool") and one.mint is None:
                raise ValueError(f"{one.role} {one.pubkey} does not say which mint it is about")
        return self

    def token(self, mint: str) -> Token | None:
        """The token with this mint."""
        return next((one for one in self.tokens if one.mint == mint), None)

    def by_role(self, role: Role) -> tuple[WatchedAccount, ...]:
        """Accounts with this role, in their listed order."""
        return tuple(one for one in self.accounts if one.role == role)

    @property
    def decimals(self) -> dict[str, int]:
        """Decimals by mint."""
        return {one.mint: one.decimals for one in self.tokens}


def load_universe(source: str | Path) -> Universe:
    """Read a universe from a file path or from JSON text.

    Raises
    ------
    UniverseError
        Unreadable, not JSON, a key that is not a public key, a token listed twice.
    """
    text = str(source)
    where = "universe"
    if not text.lstrip().startswith("{"):
        where = text
        try:
            text = Path(source).read_text(encoding="utf-8")
        except OSError as error:
            raise UniverseError(f"{where}: cannot be read: {error.strerror}") from error
    try:
        parsed = json.loads(text)
    except ValueError as error:
        raise UniverseError(f"{where}: is not valid JSON: {error}") from error
    try:
        return Universe.model_validate(parsed)
    except ValidationError as error:
        first = error.errors()[0]
        at = ".".join(str(part) for part in first["loc"])
        place = f"{where}: {at}" if at else where
        raise UniverseError(f"{place}: {first['msg']}") from error


__all__ = [
    "InvalidPubkey",
    "Role",
    "Token",
    "Universe",
    "UniverseError",
    "WatchedAccount",
    "load_universe",
]
