"use strict";

const element = (tag, attributes = {}, ...children) => {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "onclick") node.addEventListener("click", value);
    else if (value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
};

const typeName = (schema) => {
  if (!schema) return "";
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.anyOf) return schema.anyOf.map(typeName).join(" | ");
  if (schema.type === "array") return `${typeName(schema.items)}[]`;
  const format = schema.format ? ` (${schema.format})` : "";
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  return `${schema.type || "any"}${format}`;
};

const schemaDetails = (title, schema, schemas) => {
  const name = schema.$ref ? schema.$ref.split("/").pop() : null;
  const shown = name ? schemas[name] : schema;
  return element("details", {},
    element("summary", {}, `${title}: ${typeName(schema)}`),
    element("pre", {}, JSON.stringify(shown, null, 2)));
};

const parameterTable = (parameters) => {
  if (!parameters.length) return null;
  const rows = parameters.map((parameter) => {
    const input = element("input", { "data-in": parameter.in, "data-name": parameter.name });
    const label = element("code", { class: parameter.required ? "required" : "" }, parameter.name);
    return element("tr", {},
      element("td", {}, label),
      element("td", {}, `${parameter.in}, ${typeName(parameter.schema)}`),
      element("td", {}, parameter.description || ""),
      element("td", {}, input));
  });
  return element("table", {}, ...rows);
};

const send = async (method, path, form, output) => {
  let target = path;
  const query = new URLSearchParams();
  const headers = {};
  for (const input of form.querySelectorAll("input[data-name]")) {
    if (!input.value) continue;
    const name = input.dataset.name;
    if (input.dataset.in === "path") target = target.replace(`{${name}}`, encodeURIComponent(input.value));
    else if (input.dataset.in === "query") query.set(name, input.value);
    else headers[name] = input.value;
  }
  const token = document.getElementById("token").value.trim();
  if (token) headers.Authorization = `Bearer ${token}`;
  const body = form.querySelector("textarea");
  if (body) headers["Content-Type"] = "application/json";
  const url = query.size ? `${target}?${query}` : target;
  output.textContent = `${method} ${url} …`;
  try {
    const response = await fetch(url, { method, headers, body: body ? body.value : undefined });
    const text = await response.text();
    let shown = text;
    try { shown = JSON.stringify(JSON.parse(text), null, 2); } catch { shown = text; }
    const lines = [...response.headers].map(([name, value]) => `${name}: ${value}`).join("\n");
    output.textContent = `${response.status} ${response.statusText}\n${lines}\n\n${shown}`;
  } catch (error) {
    output.textContent = String(error);
  }
};

const operationDetails = (path, method, operation, schemas) => {
  const body = operation.requestBody && operation.requestBody.content["application/json"];
  const output = element("pre", {});
  const form = element("div", {},
    element("p", {}, operation.description || ""),
    parameterTable(operation.parameters || []),
    body ? schemaDetails("body", body.schema, schemas) : null,
    body ? element("textarea", { spellcheck: "false" }, "{}") : null);
  const streaming = path === "/v1/stream";
  form.append(streaming
    ? element("p", {}, "A stream does not end; read it with an event source or curl -N.")
    : element("button", { onclick: () => send(method.toUpperCase(), path, form, output) }, "Try it"));
  form.append(output);
  for (const [status, answer] of Object.entries(operation.responses)) {
    for (const [kind, content] of Object.entries(answer.content || {})) {
      form.append(schemaDetails(`${status} ${kind}`, content.schema || {}, schemas));
    }
  }
  return element("details", { "data-text": `${method} ${path} ${operation.description || ""}`.toLowerCase() },
    element("summary", {},
      element("span", { class: "method" }, method.toUpperCase()),
      element("code", {}, path), ` ${operation.summary || ""}`),
    form);
};

const show = async () => {
  const page = document.getElementById("operations");
  const description = await (await fetch("/openapi.json")).json();
  const schemas = description.components.schemas;
  const groups = new Map();
  for (const [path, operations] of Object.entries(description.paths)) {
    for (const [method, operation] of Object.entries(operations)) {
      const tag = (operation.tags || ["other"])[0];
      if (!groups.has(tag)) groups.set(tag, []);
      groups.get(tag).push(operationDetails(path, method, operation, schemas));
    }
  }
  page.replaceChildren(element("p", {}, `${description.info.description} Version ${description.info.version}.`));
  for (const [tag, entries] of groups) page.append(element("h2", {}, tag), ...entries);
  const problems = Object.entries(description["x-problems"]).map(([code, kind]) => element("tr", {},
    element("td", {}, String(kind.status)),
    element("td", {}, element("code", {}, code)),
    element("td", {}, kind.title),
    element("td", {}, kind.remedy)));
  page.append(element("h2", {}, "problems"), element("table", {}, ...problems));
};

document.getElementById("filter").addEventListener("input", (event) => {
  const wanted = event.target.value.toLowerCase();
  for (const entry of document.querySelectorAll("details[data-text]")) {
    entry.hidden = !entry.dataset.text.includes(wanted);
  }
});

show().catch((error) => { document.getElementById("operations").textContent = String(error); });
