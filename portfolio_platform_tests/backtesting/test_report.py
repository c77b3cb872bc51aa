"""The page: it carries the JSON, draws every panel of it, and asks nobody for anything."""

import json
import re

import numpy as np
import pytest

from portfolio_platform.backtesting import BacktestSpec, render_html, run_backtest
from portfolio_platform_tests.backtesting.browser import Chromium, find_chromium
from portfolio_platform_tests.backtesting.conftest import price_panel

PANELS = (
    "equity underwater metrics rolling-sharpe rolling-volatility rolling-beta months histogram "
    "quantiles drawdowns weights risk-contributions turnover costs capacity events evidence set "
    "intervals logits degradation cpcv bootstrap filtered risk stress provenance"
)
READY = "document.documentElement.dataset.ready === 'true'"


@pytest.fixture(scope="module")
def report() -> dict:
    """A result in which every panel has something to draw, and names to break a careless page."""
    generator = np.random.default_rng(21)
    market = generator.standard_t(4, (700, 1)) * 0.012
    panel = price_panel(market + generator.standard_t(4, (700, 5)) * 0.02 + 0.0006)
    close = panel.close.copy()
    close[500:, 4] = np.nan
    object.__setattr__(panel, "close", close)
    spec = BacktestSpec.model_validate(
        {
            "name": "</script><img src=x onerror=alert(1)>",
            "strategies": [
                {"name": "calm", "spec": {"lookback": 60}},
                {"name": "<b>even</b>", "spec": {"lookback": 60, "model": "equal_weight"}},
            ],
            "costs": {"fee_bps": 20, "slippage_bps": 5, "impact": "sqrt", "fixed_fee": 0.01},
            "benchmarks": [{"kind": "equal_weight"}, {"kind": "hold", "mint": "A00"}],
            "validation": {
                "bootstraps": 200,
                "cscv_blocks": 8,
                "variants": {"lookback": [40, 50, 60, 70, 80]},
            },
            "risk_simulation": {"paths": 200, "horizon": 60},
        }
    )
    volumes = np.full(panel.close.shape, 1e6)
    return run_backtest(spec, panel, volumes=volumes, code_version="test").to_json()


@pytest.fixture(scope="module")
def page(report, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(render_html(report), "utf-8")
    return path


@pytest.fixture(scope="module")
def browser():
    executable = find_chromium()
    if executable is None:
        pytest.skip("no Chromium on this machine: the report page was not opened")
    with Chromium(executable) as chromium:
        yield chromium


def test_the_page_carries_the_json_unchanged(report, page):
    text = page.read_text("utf-8")
    carried = re.search(r'id="report">(.*?)</script>', text, re.DOTALL).group(1)
    assert json.loads(carried) == report
    assert text.count("<script") == 3
    assert not re.search(r'(src|href)="(?!data:)', text.split('<script type="application/json"')[0])
    assert "&lt;/script&gt;" in text.split("<style>")[0]


def test_a_failed_result_has_a_page(tmp_path, browser):
    spec = BacktestSpec.model_validate({"strategies": ["gone"]})
    failed = run_backtest(spec, price_panel(np.zeros((5, 2))))
    path = tmp_path / "failed.html"
    path.write_text(render_html(failed.to_json()), "utf-8")
    visit = browser.visit(
        path, width=1400, ready=READY, ask={"text": "document.body.innerText.slice(0, 400)"}
    )
    assert visit.problems == []
    assert "there is no strategy 'gone'" in visit.values["text"]


DRAWN = "Object.fromEntries([...document.querySelectorAll('.panel')].map(p => [p.id, {kind: \
p.dataset.drawn, wide: p.scrollWidth > p.clientWidth + 1, marks: p.querySelectorAll(\
'.trace, .scatterlayer path, .barlayer path, .heatmaplayer image, td').length}]))"


@pytest.mark.parametrize(("width", "dark"), [(1400, False), (400, True)])
def test_every_panel_is_drawn_without_a_request(browser, page, report, width, dark):
    visit = browser.visit(
        page,
        width=width,
        dark=dark,
        ready=READY,
        ask={
            "panels": DRAWN,
            "page": "document.documentElement.scrollWidth",
            "equity": "[...document.querySelector('#panel-equity .plot').data[0].y]",
            "weights": "document.querySelector('#panel-weights .plot').data.map(t => [...t.y])",
            "alerts": "document.querySelectorAll('img').length",
            "background": "getComputedStyle(document.body).backgroundColor",
        },
    )
    assert visit.problems == []
    assert [url for url in visit.requests if not url.startswith(("file:", "data:", "blob:"))] == []
    panels = visit.values["panels"]
    assert set(panels) == {f"panel-{name}" for name in PANELS.split()}
    for name, drawn in panels.items():
        assert drawn["kind"] in {"plot", "table"}, name
        assert drawn["marks"] > 0, name
        assert not drawn["wide"], name
    assert visit.values["page"] <= width
    assert visit.values["alerts"] == 0
    assert visit.values["equity"] == report["strategies"]["calm"]["equity"]
    total = np.sum(visit.values["weights"], axis=0)
    np.testing.assert_allclose(total, 1.0, atol=1e-4)
    shade = int(re.search(r"\d+", visit.values["background"]).group())
    assert (shade < 60) == dark


def test_choosing_another_strategy_redraws_its_panels(browser, page, report):
    change = """(() => { const s = document.getElementById('strategy'); s.value = '<b>even</b>';
    s.dispatchEvent(new Event('change'));
    return document.querySelector('#panel-drawdowns td').innerText; })()"""
    visit = browser.visit(page, width=1400, ready=READY, ask={"first": change})
    expected = report["strategies"]["<b>even</b>"]["drawdowns"][0]["peak"][:10]
    assert visit.values["first"] == expected
    assert visit.problems == []
