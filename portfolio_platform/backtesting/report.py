"""The report page: one self-contained HTML file that draws the JSON it carries."""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape
from importlib.resources import files
from typing import Any

_SCRIPTS = ("draw.js", "performance.js", "holdings.js", "evidence.js", "page.js")
#: Nothing may be loaded: the page draws what it carries, and says so to the browser.
_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data: blob:; font-src data:; worker-src blob:; base-uri 'none'; form-action 'none'"
)


def render_html(result_json: Mapping[str, Any]) -> str:
    """Render the page of a result.

    Parameters
    ----------
    result_json
        ``BacktestResult.to_json()``. The page embeds it unchanged and draws every number from it,
        so page and JSON cannot differ.

    Returns
    -------
    str
        A complete document: plotly.js once, no network access, light and dark.
    """
    page = files("portfolio_platform.backtesting") / "page"
    plotly = (files("plotly") / "package_data" / "plotly.min.js").read_text("utf-8")
    # In a script element only "<" can end the data or open a comment.
    data = json.dumps(result_json, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    scripts = "\n".join((page / name).read_text("utf-8") for name in _SCRIPTS)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<link rel="icon" href="data:,">\n'
        f"<title>{escape(str(result_json['spec']['name']))}</title>\n"
        f"<style>\n{(page / 'report.css').read_text('utf-8')}</style>\n</head>\n<body>\n"
        '<main><div id="top"></div><div id="body"></div></main>\n'
        f'<script type="application/json" id="report">{data}</script>\n'
        f"<script>{plotly}</script>\n<script>\n{scripts}</script>\n</body>\n</html>\n"
    )
