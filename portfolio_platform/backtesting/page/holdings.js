"use strict";
// Portfolio: weights, turnover, costs, risk contributions, events, capacity.
function stacked(box, x, assets, rows, rest, format) {
  const order = assets.map((asset, column) => [asset, column,
    rows.reduce((total, row) => total + Math.abs(row[column]), 0)]).sort((a, b) => b[2] - a[2]);
  // Beyond twenty nobody tells the bands apart: the smallest are one band, and stay in the JSON.
  const shown = order.length > 20 ? order.slice(0, 19) : order;
  const small = order.slice(shown.length).map(([, column]) => column);
  const bands = shown.map(([asset, column]) => [label(asset), rows.map((row) => row[column])]);
  if (small.length) {
    bands.push([`${small.length} smaller`, rows.map((row) => small.reduce((sum, column) => sum + row[column], 0))]);
  }
  const traces = bands.map(([name, y], index) => ({type: "scatter", mode: "lines", x, y, name, stackgroup: "one",
    line: {width: 0.6, color: colour(index)},
    fillpattern: {shape: ["", "/", "\\", "x", "-", "|", "+", "."][Math.floor(index / 10) % 8], fgopacity: 0.6,
      ...(index > 9 ? {bgcolor: faded(colour(index), 0.3)} : {})},
    hovertemplate: `%{y:${format}}`}));
  if (rest) {
    traces.push({type: "scatter", mode: "lines", x, y: rest, name: "cash", stackgroup: "one",
      line: {width: 0.6, color: token("--quiet")}, fillcolor: faded(token("--quiet"), 0.25),
      hovertemplate: `%{y:${format}}`});
  }
  const many = traces.length > 12;
  plot(box, traces, {yaxis: {tickformat: ".0%"}, hovermode: many ? "closest" : "x unified",
    ...(many && window.innerWidth < 820 ? {showlegend: false} : {})});
}
function drawWeights(box, name) {
  const held = report.strategies[name].weights;
  stacked(box, held.times, held.assets, held.weights, held.cash, ".1%");
}
function drawRisk(box, name) {
  const risk = report.strategies[name].risk_contributions;
  if (!risk.times.length) return empty(box, "The period is too short for a covariance.");
  stacked(box, risk.times, risk.assets, risk.shares, null, ".1%");
}
function drawTurnover(box, name) {
  const trades = report.strategies[name].trading;
  if (!trades.times.length) return empty(box, "There was no trade.");
  plot(box, [{type: "bar", x: trades.times, y: trades.turnover, marker: {color: colour(tone(name))},
    hovertemplate: "%{x}: %{y:.1%}<extra></extra>"}], {yaxis: {tickformat: ".0%"}, hovermode: "closest"});
}
function drawCosts(box, name) {
  const trades = report.strategies[name].trading;
  const titles = {fee: "fee", slippage: "slippage", impact: "impact", fixed: "fixed fee", writeoff: "write-off"};
  const kinds = Object.keys(titles).filter((kind) => trades.costs[kind].at(-1) > 0);
  if (!kinds.length) return empty(box, "There was no cost.");
  plot(box, kinds.map((kind, index) => ({type: "scatter", mode: "lines", x: trades.cost_times, y: trades.costs[kind],
    name: titles[kind], stackgroup: "one", line: {width: 0.8, color: colour(index)}})),
  {yaxis: {title: {text: "cumulative"}}});
}
function eventText(e) {
  const name = label(e.asset);
  if (e.kind === "worthless_token") return `${name} went to zero`;
  if (e.kind === "delisted") return `${name} had no price any more; settled in cash after ${e.bars} bars`;
  return `${name} had no price for ${e.bars} bar(s); held and marked at the last one`;
}
function drawEvents(box, name) {
  const part = report.strategies[name];
  const rows = [
    ...part.unanswered.map((s) => [day(s.from), s.from === s.to ? "" : day(s.to),
      `${s.decisions} decision(s): ${s.status}${s.reason ? `, ${s.reason}` : ""}; ${s.action}`]),
    ...part.events.map((e) => [day(e.time), "", eventText(e)]),
  ].sort((a, b) => (a[0] < b[0] ? -1 : 1));
  if (!rows.length) return empty(box, "None: every decision had an answer and every held asset a price.");
  table(box, ["From", "To", "What happened"], rows.slice(0, 60), [0, 1, 2]);
  if (rows.length > 60) box.append(element("p", {class: "quiet"}, `${rows.length - 60} more in the JSON.`));
}
function drawCapacity(box, name) {
  const curve = report.strategies[name].capacity;
  if (!curve || !curve.capital) return empty(box, (curve && curve.reason) || "Not computed.");
  plot(box, [{type: "scatter", mode: "lines+markers", x: curve.capital, y: curve.cagr,
    line: {color: colour(tone(name))}, hovertemplate: "%{x:,.0f}: %{y:.1%}<extra></extra>"}],
  {hovermode: "closest", xaxis: {type: "log", title: {text: "capital"}}, yaxis: {tickformat: ".1%", title: {text: "CAGR"}}});
}
