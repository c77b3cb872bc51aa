"""``portfolio-platform``: the command line. Each command imports what it needs when it runs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer

from portfolio_platform.cli.progress import answers, console

app = typer.Typer(
    name="portfolio-platform",
    help="Portfolio decisions for Solana tokens: from account bytes to weights, plans and reports.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON only.")]


def print_json(value: Any, *, indent: int | None = None) -> None:
    """Write JSON to standard output."""
    sys.stdout.write(json.dumps(value, indent=indent, default=str) + "\n")


def fail(message: str, code: int = 1) -> typer.Exit:
    """Say what is wrong on standard error; raise the returned exit."""
    console.print(f"[red]error[/red] {message}", markup=True, soft_wrap=True)
    return typer.Exit(code)


@app.command()
def up(
    as_json: JsonFlag = False,
    accounts: Annotated[
        list[Path] | None,
        typer.Option(help="Serve these account dumps from the local chain, not the demo market."),
    ] = None,
) -> None:
    """Start the embedded services (PostgreSQL, local chain) and print their environment."""
    from portfolio_platform.cli import services
    from portfolio_platform.settings import Settings

    started = services.up(
        Settings(), lambda text: console.print(f"[dim]{text}[/dim]"), accounts=accounts
    )
    environment = services.environment(started)
    if as_json:
        print_json(environment)
    else:
        for name, value in sorted(environment.items()):
            sys.stdout.write(f"export {name}='{value}'\n")


@app.command()
def down() -> None:
    """Stop the embedded services that `up` started."""
    from portfolio_platform.cli import services
    from portfolio_platform.settings import Settings

    services.down(Settings(), lambda text: console.print(f"[dim]{text}[/dim]"))


@app.command()
def demo(
    once: Annotated[bool, typer.Option("--once", help="Run, print, stop.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Run the main job on the embedded default, then serve the Dagster UI and the API."""
    from portfolio_platform.cli.demo import run_demo
    from portfolio_platform.settings import Settings

    raise typer.Exit(run_demo(Settings(), once=once, as_json=as_json))


@app.command()
def api(
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port; 0 takes a free one.")] = None,
) -> None:
    """Serve the read layer."""
    from portfolio_platform.cli.server import serve
    from portfolio_platform.settings import Settings

    settings = Settings()
    serve(
        settings,
        settings.api_host if host is None else host,
        settings.api_port if port is None else port,
    )


@app.command()
def token(
    user: Annotated[UUID | None, typer.Option(help="User id; default: the demo user.")] = None,
    minutes: Annotated[int, typer.Option(help="Lifetime.", min=1)] = 60,
) -> None:
    """Issue a user token from the local key (embedded mode only)."""
    from portfolio_platform.api.local_keys import issue_token
    from portfolio_platform.cli.embedded_database import DEMO_USER
    from portfolio_platform.settings import Settings

    settings = Settings()
    if settings.jwks_url or settings.supabase_url:
        raise fail("tokens come from Supabase Auth here; sign in there")
    issued = issue_token(settings.home_path, user or DEMO_USER, expires_in=minutes * 60)
    sys.stdout.write(issued + "\n")


@app.command()
def decode(
    files: Annotated[list[Path], typer.Argument(help="Account or transaction dumps.")],
) -> None:
    """Print what account dumps hold, one JSON object per file."""
    from portfolio_platform.solana.inspect import describe_file

    for file in files:
        print_json(describe_file(file))


@app.command("import-bars")
def import_bars(
    file: Annotated[Path, typer.Argument(help="CSV or Parquet of bars.")],
    venue: Annotated[str, typer.Option(help="Where they were traded, e.g. bybit.")],
    instrument: Annotated[str, typer.Option(help="spot, perp, oracle or pool.")],
    interval: Annotated[str | None, typer.Option(help="1m, 1h or 1d; default: inferred.")] = None,
    symbol: Annotated[
        str | None, typer.Option(help="Symbol, where the file has no such column.")
    ] = None,
    symbols: Annotated[str | None, typer.Option(help="Only these, comma-separated.")] = None,
    mint: Annotated[
        list[str] | None,
        typer.Option(
            help="SYMBOL=MINT, repeatable; `match` takes the mint of the one known token of each "
            "symbol. Without it a series keeps the identity venue:SYMBOL."
        ),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Import bars that you already have; every row is accounted for."""
    from portfolio_platform.cli.bars import run_import
    from portfolio_platform.settings import Settings

    report = run_import(
        Settings(),
        file,
        venue=venue,
        instrument=instrument,
        interval=interval,
        symbol=symbol,
        symbols=symbols.split(",") if symbols else None,
        mints=mint or [],
    )
    print_json(report, indent=None if as_json else 2)


@app.command()
def backtest(
    spec: Annotated[Path, typer.Argument(help="Backtest spec (JSON); - is standard input.")],
    as_json: JsonFlag = False,
    check_lookahead: Annotated[
        bool, typer.Option("--check-lookahead", help="Perturb the future, compare decisions.")
    ] = False,
    step: Annotated[
        str | None, typer.Option(help="With --check-lookahead: a step of yours, module:function.")
    ] = None,
    html: Annotated[Path | None, typer.Option(help="Write the report page here.")] = None,
) -> None:
    """Store a backtest request, materialise it, wait, and print the report."""
    from portfolio_platform.cli.backtests import run_backtest_command
    from portfolio_platform.settings import Settings

    raise typer.Exit(
        run_backtest_command(
            Settings(),
            spec,
            as_json=as_json,
            check_lookahead=check_lookahead,
            step=step,
            html=html,
        )
    )


@app.command()
def explain(
    version: Annotated[UUID, typer.Argument(help="Version of a weight set, plan or report.")],
    as_json: JsonFlag = False,
) -> None:
    """Print the chain of inputs down to slots, accounts and sha256 of their bytes."""
    from portfolio_platform.cli.lineage import run_explain
    from portfolio_platform.settings import Settings

    raise typer.Exit(run_explain(Settings(), str(version), as_json=as_json))


@app.command()
def quote(
    sell: Annotated[str, typer.Option(help="Mint (or symbol) to sell.")],
    buy: Annotated[str, typer.Option(help="Mint (or symbol) to buy.")],
    amount: Annotated[str, typer.Option(help="Whole tokens to sell, e.g. 1.5.")],
    accounts: Annotated[
        Path | None, typer.Option(help="Quote from account dumps instead of the RPC.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Say what a trade would give now, exact to the base unit, or why it cannot be done."""
    from portfolio_platform.cli.quotes import QuoteRefused, quote_text, run_quote
    from portfolio_platform.settings import Settings

    try:
        answer = run_quote(Settings(), sell, buy, amount, accounts)
    except QuoteRefused as refused:
        if not as_json:
            raise
        answer = refused.to_json(sell, buy, amount)
    if as_json:
        print_json(answer)
    else:
        typer.echo(quote_text(answer))
    raise typer.Exit(int(answer["refused"] is not None))


@app.command()
def replay(
    plan: Annotated[str, typer.Argument(help="Version of a stored plan.")],
    as_json: JsonFlag = False,
) -> None:
    """Compute a stored plan again from its stored inputs: equal, or the first difference."""
    from portfolio_platform.cli.plans import run_replay
    from portfolio_platform.settings import Settings

    answer = run_replay(Settings(), plan)
    print_json(answer, indent=None if as_json else 2)
    raise typer.Exit(int(not answer["equal"]))


@app.command()
def stream(
    seconds: Annotated[float | None, typer.Option(help="Stop after so long.", min=0.1)] = None,
) -> None:
    """Subscribe to the universe's accounts and land their changes until interrupted."""
    from portfolio_platform.cli.streaming import run_stream
    from portfolio_platform.settings import Settings

    counted = run_stream(Settings(), seconds)
    print_json(counted)
    if not counted["connections"]:
        raise fail("no connection came about; see SOLANA_WS_URL")


@app.command("schemas")
def print_schemas(
    write: Annotated[bool, typer.Option("--write", help="Write the API's copies.")] = False,
) -> None:
    """Print (or write) the JSON Schemas of strategy and backtest specs."""
    from portfolio_platform.cli import schemas as documents

    if write:
        for path in documents.write():
            console.print(str(path))
    else:
        print_json(documents.schemas(), indent=1)


localnet = typer.Typer(help="The local chain (demo and tests only).", no_args_is_help=True)
app.add_typer(localnet, name="localnet")


@localnet.command("execute")
def localnet_execute(
    plan: Annotated[str, typer.Argument(help="Version of a stored plan.")],
) -> None:
    """Execute a plan's steps on the local chain as token transfers."""
    from portfolio_platform.cli.plans import execute_on_localnet
    from portfolio_platform.settings import Settings

    print_json(execute_on_localnet(Settings(), plan), indent=2)


@localnet.command("advance")
def localnet_advance(
    seconds: Annotated[float, typer.Argument(help="How far.", min=0)],
) -> None:
    """Move the local chain's clock and market forward."""
    from portfolio_platform.cli.plans import advance_localnet
    from portfolio_platform.settings import Settings

    print_json(advance_localnet(Settings(), seconds))


@app.command()
def listen() -> None:
    """Recompute at once what a change affects; the sensors are the safety net."""
    from portfolio_platform.cli.listen import run_listen
    from portfolio_platform.settings import Settings

    raise typer.Exit(run_listen(Settings(), lambda text: console.print(text, soft_wrap=True)))


@app.command("dead-letters")
def dead_letters(
    replay: Annotated[int | None, typer.Option(help="Put this one into the feed again.")] = None,
    consumer: Annotated[str | None, typer.Option(help="Only of this consumer.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """List events that were set aside with the reason, or give one another chance."""
    from portfolio_platform.cli.dead_letters import run_dead_letters
    from portfolio_platform.settings import Settings

    print_json(
        run_dead_letters(Settings(), replay=replay, consumer=consumer),
        indent=None if as_json else 2,
    )


@app.command()
def channels(
    user: Annotated[UUID | None, typer.Option(help="User id; default: the demo user.")] = None,
    add: Annotated[
        str | None, typer.Option(help="https:// (signed webhook) or apprise address.")
    ] = None,
    name: Annotated[str, typer.Option(help="Name of the new channel.")] = "notifications",
    min_severity: Annotated[str, typer.Option(help="info, warning or critical.")] = "info",
    remove: Annotated[str | None, typer.Option(help="Channel id to delete.")] = None,
) -> None:
    """List, add or remove where a user is notified of alerts."""
    from portfolio_platform.cli.channels import add_channel, list_channels, remove_channel
    from portfolio_platform.cli.embedded_database import DEMO_USER
    from portfolio_platform.settings import Settings

    owner = str(user or DEMO_USER)
    if add is not None:
        print_json(add_channel(Settings(), owner, name, add, min_severity), indent=2)
    elif remove is not None:
        if not remove_channel(Settings(), owner, remove):
            raise fail(f"no channel {remove} of user {owner}")
    else:
        print_json(list_channels(Settings(), owner), indent=2)


@app.command()
def doctor(as_json: JsonFlag = False) -> None:
    """Say what is configured and reachable, and what is not, in plain words."""
    from portfolio_platform.cli.doctor import examine
    from portfolio_platform.settings import Settings

    findings = examine(Settings())
    if as_json:
        print_json([finding.__dict__ for finding in findings])
    else:
        for finding in findings:
            mark = {"ok": "[green]ok[/green]   ", "off": "[dim]off[/dim]  "}.get(
                finding.state, "[red]wrong[/red]"
            )
            answers.print(f"{mark} {finding.subject}: {finding.detail}")
    raise typer.Exit(int(any(finding.state == "wrong" for finding in findings)))


def main() -> None:
    """Entry point: domain errors become one clear line and a non-zero exit."""
    from portfolio_platform.cli.errors import explained

    with explained():
        app()
