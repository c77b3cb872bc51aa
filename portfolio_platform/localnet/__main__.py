"""Command line of the local chain: ``python -m portfolio_platform.localnet``."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from portfolio_platform.localnet.dumps import DumpError
from portfolio_platform.localnet.node import Node
from portfolio_platform.localnet.server import LocalnetOptions, serve


def _instant(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m portfolio_platform.localnet",
        description="A local Solana chain: LiteSVM behind JSON-RPC, WebSocket and UDF.",
    )
    parser.add_argument("--port", type=int, default=0, help="0 takes a free port")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--days", type=int, default=730, help="daily history of the market")
    parser.add_argument("--now", type=_instant, help="ISO time at which the clock starts")
    parser.add_argument("--slot", type=int, help="first slot of a chain of dumps")
    parser.add_argument(
        "--accounts",
        type=Path,
        action="append",
        default=[],
        metavar="DIR",
        help="serve the account dumps below DIR; alone, nothing else is served",
    )
    parser.add_argument("--market", action="store_true", help="the demo market beside --accounts")
    parser.add_argument(
        "--tick", type=float, metavar="SECONDS", help="advance with real time, every SECONDS"
    )
    parser.add_argument("--ready-file", type=Path, help="where to write the URLs as JSON")
    parser.add_argument("--exit-with-parent", action="store_true")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Serve until told to stop; the exit code."""
    given = _parser().parse_args(arguments)
    options = LocalnetOptions(
        seed=given.seed,
        market=given.market or not given.accounts,
        accounts=tuple(given.accounts),
        now=given.now,
        slot=given.slot,
        days=given.days,
        tick_seconds=given.tick,
        exit_with_parent=given.exit_with_parent,
        port=given.port,
    )

    def ready(address: str, node: Node) -> None:
        text = json.dumps(
            {
                "rpc_url": f"http://{address}",
                "ws_url": f"ws://{address}",
                "udf_url": f"http://{address}",
                "universe": f"http://{address}/universe.json",
                "slot": node.chain.slot,
                "pid": os.getpid(),
            }
        )
        if given.ready_file is not None:
            # Readers wait for the name, so it must appear with its contents.
            part = given.ready_file.with_name(f"{given.ready_file.name}.{os.getpid()}")
            part.write_text(text)
            part.replace(given.ready_file)
        print(text, flush=True)

    try:
        asyncio.run(serve(options, ready))
    except DumpError as error:
        print(f"localnet: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"localnet: cannot listen on port {given.port}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
