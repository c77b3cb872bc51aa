"use strict";
// Small drawing vocabulary shared by all panels. Everything shown comes from `report`.
const report = JSON.parse(document.getElementById("report").textContent);
const drawn = {};
const dashes = ["solid", "dash", "dot", "dashdot", "longdash", "longdashdot"];

function token(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}
function colour(index) { return token(`--c${index % 10}`); }
function faded(hex, alpha) {
  const value = parseInt(hex.slice(1), 16);
  return `rgba(${value >> 16},${(value >> 8) & 255},${value & 255},${alpha})`;
}
function shortName(mint) {
  return mint.length > 20 ? `${mint.slice(0, 4)}…${mint.slice(-4)}` : mint;
}
function label(name) {
  const symbols = report.provenance.symbols || {};
  return symbols[name] || shortName(name);
}
function number(value, digits = 2) {
  if (value === null || value === undefined) return "–";
  const fixed = Math.abs(value) >= 1e15 ? value.toExponential(3)
    : value.toLocaleString("en-GB", {minimumFractionDigits: digits, maximumFractionDigits: digits});
  return fixed.replace("-", "−");
}
function percent(value, digits = 1) {
  if (value === null || value === undefined) return "–";
  return Math.abs(value) > 1e6 ? `${(100 * value).toExponential(2)} %` : `${number(100 * value, digits)} %`;
}
function day(text) {
  if (!text) return "–";
  return report.spec.interval === "1d" ? text.slice(0, 10) : text.slice(0, 16).replace("T", " ");
}

function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "class") node.className = value; else node.setAttribute(key, value);
  }
  for (const child of children) node.append(child);
  return node;
}
function section(title, note) {
  const grid = element("div", {class: "grid"});
  const parts = [element("h2", {}, title)];
  if (note) parts.push(element("p", {class: "quiet"}, note));
  document.getElementById("body").append(...parts, grid);
  return grid;
}
function panel(grid, id, title, note, wide = false) {
  const box = element("section", {class: wide ? "panel wide" : "panel", id: `panel-${id}`});
  box.append(element("h3", {}, title));
  if (note) box.append(element("p", {class: "quiet"}, note));
  grid.append(box);
  return box;
}
function empty(box, why) {
  box.append(element("p", {class: "empty"}, why));
  box.dataset.drawn = "empty";
}
function table(box, head, rows, textColumns = [0]) {
  const body = rows.map((row) => element("tr", {}, ...row.map((cell, column) => {
    const kind = typeof cell === "string" && /^\d{4}-\d\d-\d\d/.test(cell) ? "day" : column ? "text" : "name";
    const node = element("td", textColumns.includes(column) ? {class: kind} : {});
    node.append(cell === null || cell === undefined ? "–" : cell);
    return node;
  })));
  const header = element("tr", {}, ...head.map((text, column) =>
    element("th", textColumns.includes(column) ? {class: "text"} : {}, text)));
  box.append(element("div", {class: "scroll"},
    element("table", {}, element("thead", {}, header), element("tbody", {}, ...body))));
  box.dataset.drawn = "table";
}

function axis(extra = {}) {
  return {gridcolor: token("--grid"), zerolinecolor: token("--rule"), linecolor: token("--rule"),
    automargin: true, ...extra};
}
function legendRows(traces, width) {
  const shown = traces.filter((trace) => trace.showlegend !== false && trace.name);
  const longest = Math.max(0, ...shown.map((trace) => trace.name.length));
  const perRow = Math.max(1, Math.floor(width / (longest * 5.6 + 44)));
  return shown.length > 1 ? Math.ceil(shown.length / perRow) : 0;
}
function plot(box, traces, layout = {}) {
  let host = box.querySelector(".plot");
  if (!host) {
    host = element("div", {class: "plot"});
    box.append(host);
    new ResizeObserver(() => { if (host.data) Plotly.Plots.resize(host); }).observe(box);
  }
  const narrow = window.innerWidth < 820;
  const {xaxis, yaxis, showlegend, ...others} = layout;
  const rows = showlegend === false ? 0 : legendRows(traces, host.clientWidth - 60);
  const bottom = 30 + (xaxis && xaxis.title ? 20 : 0) + rows * 19;
  host.style.height = `${(box.classList.contains("wide") ? (narrow ? 270 : 340) : (narrow ? 240 : 290)) + rows * 19}px`;
  Plotly.react(host, traces, {
    margin: {l: 48, r: 12, t: 8, b: bottom}, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: {color: token("--ink"), size: narrow ? 11 : 12}, showlegend: rows > 0,
    legend: {orientation: "h", yref: "container", y: 0, yanchor: "bottom", x: 0, bgcolor: "rgba(0,0,0,0)"},
    hovermode: "x unified", modebar: {bgcolor: "rgba(0,0,0,0)", color: token("--rule"), activecolor: token("--accent")},
    hoverlabel: {bgcolor: token("--card"), bordercolor: token("--rule"), font: {color: token("--ink")}},
    xaxis: axis(xaxis), yaxis: axis(yaxis), ...others,
  }, {responsive: true, displaylogo: false, displayModeBar: narrow ? false : "hover",
    modeBarButtonsToRemove: ["lasso2d", "select2d"]});
  box.dataset.drawn = "plot";
}
function line(x, y, name, index, extra = {}) {
  return {type: "scatter", mode: "lines", x, y, name: label(name),
    line: {color: colour(index), width: 1.7, dash: dashes[Math.floor(index / 3) % dashes.length]}, ...extra};
}
