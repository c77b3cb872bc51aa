"""Domain errors at the command line: one line that names the thing and the remedy."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from pydantic import ValidationError

from portfolio_platform.settings import ServicesNotRunning, Settings, variable_of


def domain_errors() -> tuple[type[Exception], ...]:
    """Errors whose message is written for a person."""
    from portfolio_platform.amm import AmmError
    from portfolio_platform.api.local_keys import LocalKeyError
    from portfolio_platform.backtesting.outcomes import BacktestError
    from portfolio_platform.cli.backtests import UnreadableSpec
    from portfolio_platform.cli.bars import BadMintOption
    from portfolio_platform.cli.lookahead import BadStep
    from portfolio_platform.cli.plans import NotExecutable
    from portfolio_platform.cli.quotes import QuoteRefused
    from portfolio_platform.cli.services import ServiceFailed
    from portfolio_platform.defs.market.history import UnsupportedBars
    from portfolio_platform.defs.solana.facts import NoSnapshot
    from portfolio_platform.market.errors import MarketError
    from portfolio_platform.reallocation import UnreadableInputs
    from portfolio_platform.solana.layouts import InvalidPubkey
    from portfolio_platform.solana.rpc import InvalidEndpoint, RpcError
    from portfolio_platform.solana.universe import UniverseError
    from portfolio_platform.store.bars import OtherAsset
    from portfolio_platform.store.channels import BadChannel
    from portfolio_platform.store.database import DatabaseError
    from portfolio_platform.store.dead_letters import UnknownDeadLetter
    from portfolio_platform.store.embedded import EmbeddedServerError
    from portfolio_platform.store.requests import UnknownRow
    from portfolio_platform.store.secrets import BadSecretKey

    return (
        ServicesNotRunning,
        ServiceFailed,
        DatabaseError,
        AmmError,
        InvalidEndpoint,
        InvalidPubkey,
        LocalKeyError,
        MarketError,
        BacktestError,
        NoSnapshot,
        BadMintOption,
        BadStep,
        NotExecutable,
        OtherAsset,
        QuoteRefused,
        RpcError,
        UnreadableInputs,
        UniverseError,
        UnreadableSpec,
        UnsupportedBars,
        EmbeddedServerError,
        UnknownRow,
        UnknownDeadLetter,
        BadChannel,
        BadSecretKey,
        psycopg.OperationalError,
        FileNotFoundError,
    )


def _variable(path: str) -> str:
    """The environment variable that a refused setting came from."""
    field = Settings.model_fields.get(path)
    return variable_of(path, field) if field else path


@contextmanager
def explained() -> Iterator[None]:
    """Turn domain errors into one line on standard error and exit code 1."""
    try:
        yield
    except (SystemExit, KeyboardInterrupt):
        raise
    except ValidationError as error:
        for problem in error.errors():
            path = ".".join(str(part) for part in problem["loc"])
            if error.title == Settings.__name__:
                named = _variable(path)
            else:
                named = f"{error.title} {path}".strip()
            sys.stderr.write(f"error {named}: {problem['msg']}\n")
        sys.exit(1)
    except domain_errors() as error:
        sys.stderr.write(f"error {type(error).__name__}: {error}\n")
        sys.exit(1)
