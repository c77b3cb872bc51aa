"use strict";
// Validation, simulated risk, stress, provenance.
function drawEvidence(box) {
  const rows = [];
  const add = (title, pick, form = (v) => number(v, 3)) => rows.push([title, ...names.map((name) => {
    const v = report.strategies[name].validation;
    const value = pick(v);
    return value === null || value === undefined ? "not defined" : form(value);
  })]);
  const interval = (v) => v && v.low !== null ? `${number(v.low, 2)} … ${number(v.high, 2)}` : null;
  add("Sharpe, annual", (v) => v.sharpe_annual, (v) => number(v, 2));
  add("Sharpe, Lo-corrected", (v) => v.lo_sharpe, (v) => number(v, 2));
  add("Sharpe, bootstrap interval", (v) => interval(v.bootstrap && v.bootstrap.sharpe), String);
  add("CAGR, bootstrap interval", (v) => v.bootstrap && v.bootstrap.cagr && v.bootstrap.cagr.low !== null
    ? `${percent(v.bootstrap.cagr.low)} … ${percent(v.bootstrap.cagr.high)}` : null, String);
  add("PSR, probability that Sharpe > 0", (v) => v.probabilistic_sharpe);
  add("DSR, deflated by effective trials", (v) => v.deflated_sharpe);
  add("DSR, deflated by all trials", (v) => v.deflated_sharpe_all);
  add("Sharpe the best of N lucky trials shows", (v) => v.deflated_threshold_annual, (v) => number(v, 2));
  add("Observations", (v) => v.observations, (v) => number(v, 0));
  add("Minimum track record, bars", (v) => v.minimum_track_record, (v) => number(v, 0));
  add("Minimum track record, deflated, bars", (v) => v.minimum_track_record_deflated, (v) => number(v, 0));
  add(`Minimum backtest for Sharpe ${report.spec.validation.sharpe_target}, years`,
    (v) => v.minimum_backtest_years, (v) => number(v, 2));
  rows.push(["Trial", ...names.map((name) => {
    const t = report.strategies[name].trial;
    return `${t.number} of ${t.of}`;
  })]);
  table(box, ["", ...names.map(label)], rows);
}
function drawSet(box) {
  const v = report.validation;
  const family = v.family;
  const rows = [["Trials in the family", `${family.count} (M), effective ${number(family.effective, 1)} (N), average correlation ${number(family.average_correlation, 2)}`]];
  if (v.pbo) rows.push(["Probability of backtest overfitting", v.pbo.pbo === null ? `not defined: ${v.pbo.reason}`
    : `${number(v.pbo.pbo, 3)} over ${v.pbo.strategies} configurations and ${v.pbo.blocks} blocks; slope ${number(v.pbo.slope, 2)}, probability of loss ${number(v.pbo.loss_probability, 2)}`]);
  if (v.spa) rows.push(["Superior predictive ability, p", v.spa.consistent === null ? `not defined: ${v.spa.reason}`
    : `${number(v.spa.consistent, 3)} consistent, ${number(v.spa.upper, 3)} conservative, against ${label(v.spa.benchmark)}`]);
  if (v.stepm) rows.push(["Better than the benchmark (StepM)", v.stepm.better === null ? `not defined: ${v.stepm.reason}` : v.stepm.better.map(label).join(", ") || "none"]);
  if (v.mcs) rows.push(["Model confidence set", v.mcs.included === null ? `not defined: ${v.mcs.reason}` : v.mcs.included.map(label).join(", ")]);
  table(box, ["", ""], rows, [0, 1]);
}
function drawLogits(box) {
  const pbo = report.validation.pbo;
  if (!pbo || pbo.pbo === null) return empty(box, (pbo && pbo.reason) || "Not computed.");
  const centres = pbo.logits.counts.map((_, i) => (pbo.logits.edges[i] + pbo.logits.edges[i + 1]) / 2);
  plot(box, [{type: "bar", x: centres, y: pbo.logits.counts,
    marker: {color: centres.map((c) => (c <= 0 ? token("--bad") : token("--good")))},
    hovertemplate: "logit %{x:.2f}: %{y} splits<extra></extra>"}],
  {bargap: 0.03, hovermode: "closest", xaxis: {title: {text: "logit of the out-of-sample rank (≤ 0: overfitted)"}}});
}
function drawDegradation(box) {
  const pbo = report.validation.pbo;
  if (!pbo || pbo.pbo === null) return empty(box, (pbo && pbo.reason) || "Not computed.");
  plot(box, [{type: "scatter", mode: "markers", x: pbo.scatter.map((p) => p[0]), y: pbo.scatter.map((p) => p[1]),
    marker: {size: 4, opacity: 0.5, color: colour(0)}, hovertemplate: "in %{x:.2f}, out %{y:.2f}<extra></extra>"}],
  {hovermode: "closest", xaxis: {title: {text: "Sharpe in sample, annual"}}, yaxis: {title: {text: "out of sample"}}});
}
function drawIntervals(box) {
  const shown = names.filter((n) => report.strategies[n].validation.bootstrap
    && report.strategies[n].validation.bootstrap.sharpe.low !== null);
  if (!shown.length) return empty(box, "No interval is defined for this period.");
  const part = (n) => report.strategies[n].validation.bootstrap.sharpe;
  plot(box, [{type: "scatter", mode: "markers", y: shown.map(label), x: shown.map((n) => part(n).point),
    error_x: {type: "data", symmetric: false, array: shown.map((n) => part(n).high - part(n).point),
      arrayminus: shown.map((n) => part(n).point - part(n).low), color: token("--quiet")},
    marker: {size: 9, color: shown.map((n) => colour(tone(n)))}, hovertemplate: "%{y}: %{x:.2f}<extra></extra>"}],
  {hovermode: "closest", xaxis: {title: {text: "annual Sharpe"}, zeroline: true, zerolinewidth: 2,
    zerolinecolor: token("--quiet")}, yaxis: {type: "category", autorange: "reversed"}});
}
function fan(box, x, quantiles, index, title) {
  const levels = Object.keys(quantiles).sort((a, b) => a - b);
  const middle = levels[Math.floor(levels.length / 2)];
  const traces = [];
  for (let i = 0; i < Math.floor(levels.length / 2); i += 1) {
    const [low, high] = [levels[i], levels[levels.length - 1 - i]];
    traces.push({type: "scatter", mode: "lines", x, y: quantiles[low], line: {width: 0}, showlegend: false, hoverinfo: "skip"});
    traces.push({type: "scatter", mode: "lines", x, y: quantiles[high], line: {width: 0}, fill: "tonexty",
      fillcolor: faded(colour(index), 0.14 + 0.1 * i), name: `${Math.round(100 * low)}–${Math.round(100 * high)} %`, hoverinfo: "skip"});
  }
  traces.push({type: "scatter", mode: "lines", x, y: quantiles[middle], name: "median", line: {color: colour(index), width: 2}});
  plot(box, traces, {yaxis: {type: "log", title: {text: title}}, xaxis: {title: {text: "bars ahead"}}});
}
function drawPaths(box, name) {
  const cpcv = report.strategies[name].cpcv;
  if (!cpcv || !cpcv.paths) return empty(box, (cpcv && cpcv.reason) || "Not computed.");
  plot(box, cpcv.paths.map((path, index) => ({type: "scatter", mode: "lines", x: cpcv.times, y: path.equity,
    name: `path ${index + 1}, Sharpe ${number(path.sharpe, 2)}`,
    line: {width: 1.3, color: colour(index), dash: dashes[Math.floor(index / 5) % 6]}})),
  {yaxis: {type: "log", title: {text: "growth of 1"}}, ...(window.innerWidth < 820 ? {showlegend: false} : {})});
}
function drawFuture(box, name, key) {
  const risk = report.strategies[name].risk;
  if (!risk || !risk[key] || !risk[key].quantiles) return empty(box, (risk && risk[key] && risk[key].reason) || "Not computed.");
  fan(box, risk[key].bars, risk[key].quantiles, tone(name), "growth of 1");
}
function drawRiskTable(box, name) {
  const risk = report.strategies[name].risk;
  const kinds = [["bootstrap", "Stationary bootstrap"], ["filtered", "Filtered historical simulation"]]
    .filter(([key]) => risk && risk[key] && risk[key].quantiles);
  if (!kinds.length) return empty(box, "The period is too short to simulate from.");
  const row = (title, pick, form = percent) => [title, ...kinds.map(([key]) => form(pick(risk[key])))];
  table(box, ["", ...kinds.map(([, title]) => title)], [
    row("Horizon, bars", (r) => r.horizon, (v) => number(v, 0)),
    row("Paths", (r) => r.paths, (v) => number(v, 0)),
    row("Value at risk", (r) => r.value_at_risk), row("Expected shortfall", (r) => r.expected_shortfall),
    row("Probability of loss", (r) => r.probability_of_loss), row("Probability of ruin", (r) => r.probability_of_ruin),
    row("Median deepest drawdown", (r) => r.drawdown.median), row("Deepest drawdown, worst 5 %", (r) => r.drawdown.worst),
  ]);
}
function drawStress(box, name) {
  const stress = report.strategies[name].stress;
  if (!stress || !stress.length) return empty(box, "No stress window was asked for.");
  const now = (s) => (s.latest ? `${percent(s.latest.return)}${s.latest.weight_without_price > 0.005
    ? ` (${percent(s.latest.weight_without_price, 0)} had no price)` : ""}` : "no prices");
  table(box, ["Crash", "From", "To", "Strategy", "Deepest", ...rivals.map(label), "Today's weights"], stress.map((s) => s.covered
    ? [s.name, s.start, s.end, percent(s.return), percent(s.max_drawdown), ...rivals.map((r) => percent(s.benchmarks[r])), now(s)]
    : [s.name, s.start, s.end, s.reason, "", ...rivals.map(() => ""), now(s)]), [0, 1, 2]);
}
function drawProvenance(box) {
  const p = report.provenance;
  const flat = (value) => (value !== null && typeof value === "object"
    ? Object.entries(value).map(([k, v]) => `${k} ${v}`).join(", ") : String(value));
  const rows = Object.entries(p).filter(([key, value]) => value !== null && !["symbols", "command"].includes(key) && typeof value !== "object")
    .map(([key, value]) => [key.replaceAll("_", " "), flat(value)]);
  rows.push(["content hash", report.content_hash || "–"]);
  rows.push(["libraries", flat(p.libraries)]);
  rows.push(["accounting error", names.map((n) => report.strategies[n].accounting_error.toExponential(1)).join(", ")]);
  table(box, ["", ""], rows, [0, 1]);
  const command = element("pre", {id: "command"}, p.command);
  box.append(element("details", {}, element("summary", {}, "Command that reproduces them"), command));
  const rest = Object.fromEntries(Object.entries(p).filter(([key, v]) => v !== null && typeof v === "object" && !["libraries", "symbols"].includes(key)));
  if (Object.keys(rest).length) {
    box.append(element("details", {}, element("summary", {}, "Data versions"), element("pre", {}, JSON.stringify(rest, null, 1))));
  }
  box.append(element("details", {}, element("summary", {}, "Spec"), element("pre", {}, JSON.stringify(report.spec, null, 1))));
}
