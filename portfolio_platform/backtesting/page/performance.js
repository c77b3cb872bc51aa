"use strict";
// Performance: equity, drawdown, metrics, rolling figures, months, distribution.
const names = Object.keys(report.strategies);
const rivals = Object.keys(report.benchmarks);
const everyone = [...names, ...rivals];
function sectionOf(name) { return report.strategies[name] || report.benchmarks[name]; }
function tone(name) { return everyone.indexOf(name); }
function styled(name, extra = {}) {
  const isRival = rivals.includes(name);
  const index = tone(name);
  return {...extra, line: {color: colour(index), width: isRival ? 1.2 : 2,
    dash: isRival ? dashes[1 + rivals.indexOf(name) % 5] : dashes[Math.floor(names.indexOf(name) / 5) % 6]}};
}

const metricRows = [
  ["total_return", "Total return", percent], ["cagr", "CAGR", percent],
  ["volatility", "Volatility, annual", percent], ["sharpe", "Sharpe, annual", number],
  ["sortino", "Sortino", number], ["calmar", "Calmar", number], ["omega", "Omega", number],
  ["max_drawdown", "Deepest drawdown", percent],
  ["max_drawdown_bars", "Longest drawdown, bars", (v) => number(v, 0)],
  ["value_at_risk", "VaR per bar", (v) => percent(v, 2)],
  ["expected_shortfall", "CVaR per bar", (v) => percent(v, 2)],
  ["tail_ratio", "Tail ratio", number], ["skewness", "Skewness", number],
  ["kurtosis", "Kurtosis (normal 3)", number], ["hit_rate", "Hit rate", percent],
  ["best_bar", "Best bar", percent], ["worst_bar", "Worst bar", percent],
  ["beta", "Beta", number], ["alpha", "Alpha, annual", percent],
  ["information_ratio", "Information ratio", number],
  ["turnover_per_year", "Turnover per year, two-sided", (v) => number(v, 1)],
  ["costs_share_of_capital", "Costs paid / initial capital", percent],
  ["income", "Yield and interest earned", (v) => number(v, 2)],
  ["final_equity", "Final equity", (v) => number(v, 2)],
  ["capacity", "Capacity: capital that keeps half of the growth", (v) => number(v, 0)],
];

function drawEquity(box, logarithmic) {
  const traces = everyone.map((name) => ({...line(report.times, sectionOf(name).equity, name, 0), ...styled(name)}));
  plot(box, traces, {yaxis: {type: logarithmic ? "log" : "linear", title: {text: "equity"}},
    shapes: missingBands()});
}
function missingBands() {
  const shapes = [];
  for (const name of names) {
    for (const stretch of report.strategies[name].unanswered) {
      shapes.push({type: "rect", xref: "x", yref: "paper", x0: stretch.from, x1: stretch.to, y0: 0, y1: 1,
        fillcolor: faded(token("--warn"), 0.12), line: {width: 1, color: faded(token("--warn"), 0.4)}});
    }
  }
  return shapes.slice(0, 200);
}
function drawUnderwater(box, name) {
  const traces = [name, ...rivals.slice(0, 1)].map((one, index) => ({...line(report.times, sectionOf(one).drawdown, one, 0),
    ...styled(one), ...(index === 0 ? {fill: "tozeroy", fillcolor: faded(colour(tone(one)), 0.15)} : {})}));
  plot(box, traces, {yaxis: {tickformat: ".0%"}});
}
function drawMetrics(box) {
  const rows = metricRows.map(([key, title, form]) => [title, ...everyone.map((name) => {
    const part = sectionOf(name);
    const text = form(part.metrics[key]);
    if (part.metrics[key] === null && part.undefined[key]) {
      return element("span", {title: part.undefined[key]}, "not defined");
    }
    return text;
  })]);
  table(box, ["", ...everyone.map(label)], rows);
}
function drawRolling(box, key, format) {
  const shown = everyone.filter((name) => sectionOf(name).rolling && sectionOf(name).rolling[key]);
  if (!shown.length) return empty(box, "The period is too short for a rolling figure.");
  const x = report.times.slice(1);
  plot(box, shown.map((name) => ({...line(x, sectionOf(name).rolling[key], name, 0), ...styled(name)})),
    {yaxis: {tickformat: format}});
}
function drawMonths(box, name) {
  const months = report.strategies[name].monthly;
  if (!months.length) return empty(box, "No month in the period.");
  const years = [...new Set(months.map((row) => row.year))].sort();
  const grid = years.map(() => Array(12).fill(null));
  for (const row of months) grid[years.indexOf(row.year)][row.month - 1] = row.return;
  const largest = Math.max(0.01, ...months.map((row) => Math.abs(row.return)));
  plot(box, [{type: "heatmap", z: grid, y: years.map(String),
    x: ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"],
    zmin: -largest, zmax: largest, showscale: false, xgap: 2, ygap: 2, hoverongaps: false,
    colorscale: [[0, token("--bad")], [0.5, token("--card")], [1, token("--good")]],
    text: grid.map((row) => row.map((v) => (v === null ? "" : number(100 * v, 1)))),
    texttemplate: "%{text}", textfont: {color: token("--ink"), size: window.innerWidth < 820 ? 9 : 12},
    hovertemplate: "%{x} %{y}: %{text} %<extra></extra>"}],
  {hovermode: "closest", yaxis: {type: "category", autorange: "reversed"}, xaxis: {tickangle: 0}});
}
function drawHistogram(box, name) {
  const shape = report.strategies[name].distribution;
  if (!shape) return empty(box, "The returns do not vary.");
  const centres = shape.counts.map((_, i) => (shape.edges[i] + shape.edges[i + 1]) / 2);
  plot(box, [{type: "bar", x: centres, y: shape.counts, marker: {color: colour(tone(name))},
    hovertemplate: "%{x:.2%}: %{y} bars<extra></extra>"}],
  {bargap: 0.03, hovermode: "closest", xaxis: {tickformat: ".1%"}, yaxis: {title: {text: "bars"}}});
}
function drawQuantiles(box, name) {
  const shape = report.strategies[name].distribution;
  if (!shape) return empty(box, "The returns do not vary.");
  const ends = [shape.normal_quantiles[0], shape.normal_quantiles.at(-1)];
  plot(box, [{type: "scatter", mode: "markers", x: shape.normal_quantiles, y: shape.sample_quantiles,
    marker: {size: 5, color: colour(tone(name))}, name: "returns",
    hovertemplate: "normal %{x:.2f}σ, observed %{y:.2f}σ<extra></extra>"},
  {type: "scatter", mode: "lines", x: ends, y: ends, name: "normal", line: {color: token("--quiet"), dash: "dash"}}],
  {hovermode: "closest", xaxis: {title: {text: "normal, σ"}}, yaxis: {title: {text: "observed, σ"}}});
}
function drawDrawdowns(box, name) {
  const rows = report.strategies[name].drawdowns;
  if (!rows.length) return empty(box, "There was no drawdown.");
  table(box, ["Peak", "Trough", "Recovered", "Depth", "Bars"],
    rows.map((row) => [day(row.peak), day(row.trough), row.recovery ? day(row.recovery) : "not yet",
      percent(row.depth), number(row.bars, 0)]), [0, 1, 2]);
}
