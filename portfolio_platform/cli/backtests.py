"""`portfolio-platform backtest`: store a request, materialise it, wait, print the report."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from rich.table import Table

from portfolio_platform.cli.progress import answers, console
from portfolio_platform.settings import Settings
from portfolio_platform.store.database import connect
from portfolio_platform.store.requests import open_request, request


class UnreadableSpec(ValueError):
    """The file of a backtest spec cannot be read or holds no JSON."""


def read_spec(file: Path) -> dict[str, Any]:
    """The JSON object in a file; ``-`` is standard input.

    Raises
    ------
    UnreadableSpec
        No such file, not JSON, or no object; the message says where it stops being JSON.
    """
    name = "standard input" if str(file) == "-" else str(file)
    try:
        document = json.loads(sys.stdin.read() if str(file) == "-" else file.read_text("utf-8"))
    except OSError as error:
        raise UnreadableSpec(
            f"{name}: {error.strerror}; see examples/backtest.json for one that runs"
        ) from error
    except ValueError as error:
        raise UnreadableSpec(f"{name} is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise UnreadableSpec(f"{name} holds {type(document).__name__}, not an object")
    return document


def metrics_table(report: dict[str, Any]) -> Table:
    """Strategies, then benchmarks, with the figures that are read first."""
    figures = (
        ("CAGR", "cagr", "{:.1%}"),
        ("vol", "volatility", "{:.1%}"),
        ("Sharpe", "sharpe", "{:.2f}"),
        ("drawdown", "max_drawdown", "{:.1%}"),
        ("turnover/y", "turnover_per_year", "{:.2f}"),
        ("costs", "costs_paid", "{:,.0f}"),
        ("equity", "final_equity", "{:,.0f}"),
    )
    table = Table(box=None, pad_edge=False)
    table.add_column(f"{report['outcome']}", no_wrap=True)
    for title, _, _ in figures:
        table.add_column(title, justify="right")
    for name, section in {**report["strategies"], **report["benchmarks"]}.items():
        metrics = section["metrics"]
        table.add_row(
            name,
            *(
                "–" if metrics.get(key) is None else form.format(metrics[key])
                for _, key, form in figures
            ),
        )
    return table


def run_backtest_command(
    settings: Settings,
    spec_file: Path,
    *,
    as_json: bool,
    check_lookahead: bool,
    step: str | None,
    html: Path | None,
) -> int:
    """Run a spec through the whole path; returns the exit code.

    Raises
    ------
    UnreadableSpec
        The file holds no JSON object.
    ValidationError
        The spec is refused; the message carries the path of the field. Nothing is stored.
    """
    from portfolio_platform.backtesting import BacktestSpec
    from portfolio_platform.cli import print_json

    document = read_spec(spec_file)
    spec = BacktestSpec.model_validate(document)
    url = settings.resolve_database_url()
    if check_lookahead:
        from portfolio_platform.cli.lookahead import report_lookahead

        return report_lookahead(settings, spec, as_json=as_json, step=step)
    with connect(url) as conn:
        request_id = open_request(conn, "backtest_requests", document)
    console.print(f"request {request_id}")
    _materialise(settings, str(request_id))
    with connect(url) as conn:
        answered = request(conn, "backtest_requests", request_id)
        found = conn.execute(
            "select report, html from public.backtest_reports where version = %s",
            (answered.version,),
        ).fetchone()
    if found is None:
        if as_json:
            print_json(
                {
                    "request_id": str(request_id),
                    "outcome": answered.state,
                    "reason": answered.reason,
                }
            )
        console.print(f"[red]{answered.state}[/red] {answered.reason}", soft_wrap=True)
        return 1
    report, page = found
    if html is not None:
        html.write_text(page)
        console.print(f"report page {html}")
    if as_json:
        print_json({"request_id": str(request_id), "version": str(answered.version), **report})
    else:
        answers.print(metrics_table(report))
        answers.print(report["verdict"]["sentence"])
    return 0 if answered.state == "done" else 1


def _materialise(settings: Settings, request_id: str) -> None:
    """Answer the request as a Dagster run of this process, visible in the UI."""
    import os

    from dagster import DagsterInstance

    from portfolio_platform.cli.services import dagster_home
    from portfolio_platform.definitions import defs

    os.environ.setdefault("DAGSTER_HOME", str(dagster_home(settings)))
    job = defs.resolve_job_def("answer_backtests")
    with DagsterInstance.get() as instance:
        job.execute_in_process(
            instance=instance,
            raise_on_error=True,
            run_config={"loggers": {"console": {"config": {"log_level": "ERROR"}}}},
            tags={"portfolio_platform/request": request_id},
        )
