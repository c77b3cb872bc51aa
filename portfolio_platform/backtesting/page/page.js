"use strict";
// The page: header, controls, panels in order; redrawn when the theme or the strategy changes.
const byStrategy = [];
const always = [];

function header() {
  const title = element("h1", {}, report.spec.name);
  title.append(element("span", {class: `badge ${report.outcome}`}, report.outcome));
  const top = document.getElementById("top");
  top.append(title);
  if (report.spec.description) top.append(element("p", {}, report.spec.description));
  if (report.period) {
    const p = report.period;
    top.append(element("p", {class: "quiet"}, `${day(p.start)} to ${day(p.end)}, ${p.bars} bars of ${p.interval}, ` +
      `${p.assets.length} assets (${p.assets_priced_at_start} priced at the start, ${p.assets_priced_at_end} at the end). ` +
      `Annualised over ${p.bars_per_year} bars. Returns are net of costs.`));
  }
  const verdict = element("div", {class: "verdict", id: "panel-verdict"}, report.verdict.sentence);
  const lists = [["Supported", report.verdict.supports, "yes"], ["Not supported", report.verdict.does_not_support, "no"]];
  const filled = lists.filter(([, items]) => items.length).map(([word, items, style]) =>
    element("ul", {}, ...items.map((item) => element("li", {}, element("strong", {class: style}, `${word}: `), item))));
  const count = lists.reduce((total, [, items]) => total + items.length, 0);
  const reasons = element("details", {}, element("summary", {class: "quiet"}, "Strategy by strategy"), ...filled);
  reasons.open = count <= 3;
  if (count) verdict.append(reasons);
  verdict.dataset.drawn = "text";
  top.append(verdict);
  if (report.reasons.length) {
    top.append(element("div", {class: "notes"}, element("strong", {}, "Read this first"),
      element("ul", {}, ...report.reasons.map((r) => element("li", {}, r.message)))));
  }
}
function controls() {
  const bar = element("div", {class: "controls"});
  const choice = element("select", {id: "strategy", "aria-label": "Strategy"},
    ...names.map((name) => element("option", {value: name}, label(name))));
  choice.addEventListener("change", () => redraw(byStrategy));
  const scale = element("input", {type: "checkbox", id: "log"});
  scale.addEventListener("change", () => redraw(always.slice(0, 1)));
  bar.append(element("label", {}, "Strategy ", choice), element("label", {}, scale, " logarithmic equity"));
  document.getElementById("body").append(bar);
}
function chosen() { return document.getElementById("strategy").value; }
function redraw(jobs) {
  for (const [box, draw] of jobs) {
    if (box.dataset.drawn && box.dataset.drawn !== "plot") {
      while (box.children.length > Number(box.dataset.fixed)) box.lastChild.remove();
    }
    const host = box.querySelector(".plot");
    draw(box);
    if (host && box.dataset.drawn !== "plot") { Plotly.purge(host); host.remove(); }
  }
}
function add(list, grid, id, title, note, wide, draw) {
  const box = panel(grid, id, title, note, wide);
  box.dataset.fixed = box.children.length;
  list.push([box, draw]);
}
function build() {
  const first = report.spec.benchmarks.length && rivals.length ? label(rivals[0]) : "none";
  let grid = section("Performance");
  add(always, grid, "equity", "Equity", "Shaded: decisions without an answer, weights held.", true,
    (box) => drawEquity(box, document.getElementById("log").checked));
  add(byStrategy, grid, "underwater", "Underwater", "Loss from the last high; the others by choice of strategy above.", true, (b) => drawUnderwater(b, chosen()));
  add(always, grid, "metrics", "Metrics", `Beta, alpha and information ratio against: ${first}.`, true, drawMetrics);
  const any = names.map((n) => report.strategies[n].rolling).find(Boolean);
  const window_ = any ? `Over ${any.window} bars.` : "";
  add(always, grid, "rolling-sharpe", "Rolling Sharpe", window_, false, (b) => drawRolling(b, "sharpe", ".1f"));
  add(always, grid, "rolling-volatility", "Rolling volatility", window_, false, (b) => drawRolling(b, "volatility", ".0%"));
  add(always, grid, "rolling-beta", "Rolling beta", `${window_} Against ${first}.`, false, (b) => drawRolling(b, "beta", ".1f"));
  add(byStrategy, grid, "months", "Monthly returns, %", "", false, (b) => drawMonths(b, chosen()));
  add(byStrategy, grid, "histogram", "Distribution of returns", "", false, (b) => drawHistogram(b, chosen()));
  add(byStrategy, grid, "quantiles", "Quantiles against a normal", "", false, (b) => drawQuantiles(b, chosen()));
  add(byStrategy, grid, "drawdowns", "Worst drawdowns", "", true, (b) => drawDrawdowns(b, chosen()));

  grid = section("Portfolio");
  add(byStrategy, grid, "weights", "Weights", "After trading.", true, (b) => drawWeights(b, chosen()));
  add(byStrategy, grid, "risk-contributions", "Risk contributions", "Share of portfolio variance.", true, (b) => drawRisk(b, chosen()));
  add(byStrategy, grid, "turnover", "Turnover", "Traded value over equity, both sides.", false, (b) => drawTurnover(b, chosen()));
  add(byStrategy, grid, "costs", "Costs", "Cumulative, by kind.", false, (b) => drawCosts(b, chosen()));
  add(byStrategy, grid, "capacity", "Capacity", "Net growth against capital.", false, (b) => drawCapacity(b, chosen()));
  add(byStrategy, grid, "events", "What did not go as planned", "", false, (b) => drawEvents(b, chosen()));

  grid = section("Validation", "Is it skill, or the best of many lucky attempts?");
  add(always, grid, "evidence", "Each strategy", "", true, drawEvidence);
  add(always, grid, "set", "The set of strategies", "", true, drawSet);
  add(always, grid, "intervals", "Sharpe, bootstrap intervals", "", false, drawIntervals);
  add(always, grid, "logits", "Overfitting: rank of the in-sample winner", "", false, drawLogits);
  add(always, grid, "degradation", "Overfitting: in and out of sample", "", false, drawDegradation);
  add(byStrategy, grid, "cpcv", "Combinatorial cross-validation paths", "Trained on the groups not shown, past and future.", false, (b) => drawPaths(b, chosen()));

  grid = section("Simulated risk");
  add(byStrategy, grid, "bootstrap", "Futures, stationary bootstrap", "", false, (b) => drawFuture(b, chosen(), "bootstrap"));
  add(byStrategy, grid, "filtered", "Futures, filtered historical simulation", "From today's volatility.", false, (b) => drawFuture(b, chosen(), "filtered"));
  add(byStrategy, grid, "risk", "At the horizon", "", true, (b) => drawRiskTable(b, chosen()));
  add(byStrategy, grid, "stress", "Real crashes", "What the strategy, as it was invested then, went through.", true, (b) => drawStress(b, chosen()));

  grid = section("Provenance");
  add(always, grid, "provenance", "Where these numbers come from", "", true, drawProvenance);
}
// What is on the first screen comes first; the page stays responsive while the rest is drawn.
function drawInTurn(jobs) {
  if (!jobs.length) { document.documentElement.dataset.ready = "true"; return; }
  redraw(jobs.slice(0, 2));
  setTimeout(() => drawInTurn(jobs.slice(2)), 0);
}
header();
if (names.length) {
  controls();
  build();
  drawInTurn([...always, ...byStrategy]);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { redraw(always); redraw(byStrategy); });
} else {
  drawProvenance(panel(section("Provenance"), "provenance", "Where this comes from", "", true));
  document.documentElement.dataset.ready = "true";
}
