"use strict";

/* Shows the OpenAPI and AsyncAPI documents of this server. Texts enter the page as text only. */

const METHODS = ["get", "post", "put", "patch", "delete"];

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children.filter((child) => child !== null));
  return made;
}

function referenced(reference) {
  return reference.slice(reference.lastIndexOf("/") + 1);
}

function schemaLink(name, prefix) {
  return element("a", { href: `#${prefix}-${name}` }, name);
}

/* What a value looks like, in words and links. */
function kind(schema, prefix) {
  if (schema.$ref) return [schemaLink(referenced(schema.$ref), prefix)];
  if (schema.anyOf) return joined(schema.anyOf.map((option) => kind(option, prefix)), " or ");
  if (schema.const !== undefined) return [element("code", {}, JSON.stringify(schema.const))];
  if (schema.enum) return [schema.enum.map((value) => JSON.stringify(value)).join(", ")];
  if (schema.type === "array") return ["list of ", ...kind(schema.items ?? {}, prefix)];
  return [[schema.format ?? schema.type ?? "anything", ...limits(schema)].join(", ")];
}

function joined(lists, separator) {
  return lists.flatMap((list, index) => (index ? [separator, ...list] : list));
}

function limits(schema) {
  const words = {
    minLength: (n) => `at least ${n} characters`,
    maxLength: (n) => `at most ${n} characters`,
    minimum: (n) => `at least ${n}`,
    maximum: (n) => `at most ${n}`,
    default: (value) => `default ${JSON.stringify(value)}`,
  };
  return Object.keys(words)
    .filter((key) => schema[key] !== undefined)
    .map((key) => words[key](schema[key]));
}

function row(name, schema, required, description, prefix) {
  const label = element("code", required ? { class: "required" } : {}, name);
  return element(
    "tr",
    {},
    element("td", {}, label),
    element("td", {}, ...kind(schema, prefix)),
    element("td", {}, description ?? ""),
  );
}

function fieldTable(schema, prefix) {
  const required = new Set(schema.required ?? []);
  const rows = Object.entries(schema.properties ?? {}).map(([name, field]) =>
    row(name, field, required.has(name), field.description, prefix),
  );
  return rows.length ? element("table", {}, ...rows) : null;
}

function bodySchema(content) {
  return content?.["application/json"]?.schema;
}

function responseTable(responses, components) {
  const rows = Object.entries(responses).map(([status, given]) => {
    const response = given.$ref ? components.responses[referenced(given.$ref)] : given;
    const schema = bodySchema(response.content);
    return element(
      "tr",
      {},
      element("td", {}, status),
      element("td", {}, ...(schema ? kind(schema, "rest") : ["no body"])),
      element("td", {}, response.description),
    );
  });
  return element("table", {}, ...rows);
}

function example(schema, schemas) {
  if (schema.$ref) return example(schemas[referenced(schema.$ref)], schemas);
  if (schema.anyOf) return example(schema.anyOf[0], schemas);
  if (schema.enum) return schema.enum[0];
  if (schema.type === "object") {
    const required = new Set(schema.required ?? []);
    const fields = Object.entries(schema.properties ?? {}).filter(([name]) => required.has(name));
    return Object.fromEntries(fields.map(([name, field]) => [name, example(field, schemas)]));
  }
  return { array: [], boolean: false, integer: schema.minimum ?? 0 }[schema.type] ?? "";
}

/* A form that sends the request to this server. */
function tryOut(method, path, operation, schemas) {
  const inputs = (operation.parameters ?? []).map((parameter) => ({
    parameter,
    input: element("input", { type: "text", "aria-label": parameter.name }),
  }));
  const schema = bodySchema(operation.requestBody?.content);
  const body = schema ? element("textarea", { rows: "5", "aria-label": "body" }) : null;
  if (body) body.value = JSON.stringify(example(schema, schemas), null, 2);
  const output = element("pre", { hidden: "" });
  const form = element(
    "form",
    {},
    ...inputs.map(({ parameter, input }) => element("label", {}, parameter.name, input)),
    body,
    element("button", { type: "submit" }, "Send"),
  );
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    output.hidden = false;
    output.textContent = await send(method, path, inputs, body);
  });
  return element("details", {}, element("summary", {}, "Try it out"), form, output);
}

async function send(method, path, inputs, body) {
  const query = new URLSearchParams();
  let target = path;
  for (const { parameter, input } of inputs) {
    if (parameter.in === "path") {
      target = target.replace(`{${parameter.name}}`, encodeURIComponent(input.value));
    } else if (input.value) {
      query.set(parameter.name, input.value);
    }
  }
  const token = document.getElementById("token").value;
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  if (body) headers["Content-Type"] = "application/json";
  const address = new URL(`..${target}${query.size ? `?${query}` : ""}`, document.baseURI);
  try {
    const options = { method: method.toUpperCase(), headers, body: body?.value };
    const response = await fetch(address, options);
    return `${response.status} ${response.statusText}\n\n${pretty(await response.text())}`;
  } catch (error) {
    return String(error);
  }
}

function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

function operationEntry(method, path, operation, components) {
  const { schemas } = components;
  const parameters = (operation.parameters ?? []).map((parameter) =>
    row(parameter.name, parameter.schema, parameter.required, parameter.description, "rest"),
  );
  const schema = bodySchema(operation.requestBody?.content);
  return element(
    "details",
    { id: operation.operationId },
    element(
      "summary",
      {},
      element("span", { class: "method" }, method.toUpperCase()),
      element("code", {}, path),
      ` — ${operation.summary}`,
    ),
    parameters.length ? element("h3", {}, "Parameters") : null,
    parameters.length ? element("table", {}, ...parameters) : null,
    schema ? element("h3", {}, "Body: ", ...kind(schema, "rest")) : null,
    schema ? fieldTable(schemas[referenced(schema.$ref)], "rest") : null,
    element("h3", {}, "Answers"),
    responseTable(operation.responses, components),
    tryOut(method, path, operation, schemas),
  );
}

function restSections(api) {
  const sections = new Map(api.tags.map((tag) => [tag.name, []]));
  for (const [path, methods] of Object.entries(api.paths)) {
    for (const method of METHODS.filter((each) => methods[each])) {
      const operation = methods[method];
      const entry = operationEntry(method, path, operation, api.components);
      const label = `${method.toUpperCase()} ${path}`;
      sections.get(operation.tags[0]).push({ id: operation.operationId, label, entry });
    }
  }
  return [...sections, ["REST objects", objectEntries(api, "rest")]];
}

function frameEntries(api, references) {
  return references.map(({ $ref }) => {
    const name = referenced($ref);
    const message = api.components.messages[name];
    const entry = element(
      "details",
      { id: `frame-${name}` },
      element("summary", {}, element("code", {}, message.name), ` — ${message.summary}`),
      fieldTable(api.components.schemas[name], "ws"),
    );
    return { id: `frame-${name}`, label: message.name, entry };
  });
}

function socketSections(api) {
  const received = Object.values(api.operations).filter(({ action }) => action === "receive");
  return [
    ["Frames of clients", frameEntries(api, received.flatMap(({ messages }) => messages))],
    ["Frames of the server", frameEntries(api, api.operations.hear.messages)],
    ["WebSocket objects", objectEntries(api, "ws")],
  ];
}

function objectEntries(api, prefix) {
  const messages = api.components.messages ?? {};
  return Object.entries(api.components.schemas)
    .filter(([name]) => !(name in messages))
    .map(([name, schema]) => {
      const id = `${prefix}-${name}`;
      const content = schema.enum
        ? element("p", {}, schema.enum.join(", "))
        : fieldTable(schema, prefix);
      const summary = element("summary", {}, element("code", {}, name));
      if (schema.description) summary.append(` — ${schema.description}`);
      return { id, label: name, entry: element("details", { id }, summary, content) };
    });
}

function show(sections) {
  const contents = document.getElementById("contents");
  const reference = document.getElementById("reference");
  reference.replaceChildren();
  for (const [title, entries] of sections) {
    const links = entries.map(({ id, label }) =>
      element("li", {}, element("a", { href: `#${id}` }, label)),
    );
    contents.append(element("h2", {}, title), element("ul", {}, ...links));
    const section = element("section", {}, element("h2", {}, title));
    section.append(...entries.map(({ entry }) => entry));
    reference.append(section);
  }
}

function openTarget() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target instanceof HTMLDetailsElement) {
    target.open = true;
    target.scrollIntoView();
  }
}

function filter(words) {
  const wanted = words.toLowerCase();
  for (const section of document.querySelectorAll("main section")) {
    const entries = [...section.querySelectorAll(":scope > details")];
    for (const entry of entries) {
      const summary = entry.querySelector("summary").textContent.toLowerCase();
      entry.hidden = !summary.includes(wanted);
    }
    section.hidden = entries.every((entry) => entry.hidden);
  }
}

async function load(name) {
  const response = await fetch(new URL(`docs/${name}`, document.baseURI));
  return response.json();
}

async function main() {
  const [openapi, asyncapi] = await Promise.all([load("openapi.json"), load("asyncapi.json")]);
  show([...restSections(openapi), ...socketSections(asyncapi)]);
  const field = document.getElementById("filter");
  field.addEventListener("input", () => filter(field.value));
  document.getElementById("controls").addEventListener("submit", (event) => event.preventDefault());
  window.addEventListener("hashchange", openTarget);
  openTarget();
}

main();
