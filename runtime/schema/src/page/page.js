// The page: shows the document, sends what is in the editor, shows what comes back.

const SHOWN_BYTES_MAX = 1 << 20;

const by = (id) => document.getElementById(id);
const methods = ["post", "get", "put", "patch", "delete"];
const state = { document: null, path: "", base: null, isJson: false, sending: null, saved: "" };

function chosenMethod() {
  return by("free").hidden ? by("verb").textContent : by("method").value;
}

// The request as the fields say it.
function request() {
  const rest = by("path").value.replace(/^\/+/, "");
  const path = state.path.replace("{path}", () => rest);
  const method = chosenMethod();
  const file = by("kind-row").hidden ? null : by("file").files[0] ?? null;
  const hasBody = method !== "GET" && (file || by("body").value !== "");
  const headers = headersOf(by("headers").value);
  if (hasBody && !headers.some(([name]) => name.toLowerCase() === "content-type")) {
    const kind = file?.type || by("kind").value.trim();
    if (kind) headers.push(["content-type", kind]);
  }
  const url = new URL(state.base.pathname.replace(/\/+$/, "") + path, state.base).href;
  return { method, url, headers, file, body: hasBody && !file ? by("body").value : undefined };
}

function showRequest() {
  const fault = state.isJson && !by("file").files.length ? syntaxFault(by("body").value) : "";
  by("syntax").textContent = fault;
  by("syntax").classList.toggle("bad", fault !== "");
  by("body").setAttribute("aria-invalid", String(fault !== "" || !by("faults").hidden));
  try {
    by("curl").textContent = command(request());
  } catch (error) {
    by("curl").textContent = String(error.message);
  }
}

function showFaults(faults) {
  const entries = faults.filter(isObject).map((fault) => {
    const pointer = String(fault.pointer ?? "");
    const place = make("code", "", pointer || "body");
    const button = make("button", "", place, ` ${fault.reason ?? ""}`);
    button.type = "button";
    button.addEventListener("click", () => select(by("body"), pointer));
    return make("li", "", button);
  });
  by("faults").replaceChildren(...entries);
  by("faults").hidden = entries.length === 0;
}

function showOutcome(isGood, ...texts) {
  const [first, ...others] = texts;
  const spans = others.map((text) => make("span", "", text));
  by("outcome").replaceChildren(make("span", isGood ? "good" : "bad", first), ...spans);
}

function size(bytes) {
  if (bytes < 1024) return `${bytes} bytes`;
  const kibibytes = bytes / 1024;
  if (kibibytes < 1024) return `${kibibytes.toFixed(1)} KiB`;
  return `${(kibibytes / 1024).toFixed(1)} MiB`;
}

function rows(pairs) {
  return pairs.map(([name, value]) => {
    const head = make("th", "", name);
    head.scope = "row";
    return make("tr", "", head, make("td", "", value));
  });
}

// The body: a picture, JSON in a readable form, text, or its size only.
async function bodyView(blob, kind) {
  if (/^image\/(png|jpeg|gif|webp|avif|bmp)\b/.test(kind)) {
    const image = make("img", "");
    image.alt = "The picture that came back";
    image.src = state.saved;
    return image;
  }
  const isText = /^text\/|json|xml|javascript|x-www-form-urlencoded/.test(kind) || kind === "";
  if (!isText) return make("p", "", `${kind}, ${size(blob.size)}, is not shown.`);
  let text = await blob.slice(0, SHOWN_BYTES_MAX).text();
  if (blob.size > SHOWN_BYTES_MAX) return make("pre", "", `${text}\n… ${size(blob.size)} in all`);
  if (/json/.test(kind)) {
    try {
      text = JSON.stringify(JSON.parse(text), null, 2);
    } catch {
      // It says that it is JSON and is not; then it is shown as it came.
    }
  }
  const view = make("pre", "", text === "" ? "(empty)" : text);
  view.tabIndex = 0;
  return view;
}

async function faultsOf(response, blob) {
  if (response.status !== 422 || blob.size > SHOWN_BYTES_MAX) return [];
  try {
    const faults = JSON.parse(await blob.text())?.error?.faults;
    return Array.isArray(faults) ? faults : [];
  } catch {
    return [];
  }
}

async function showResponse(response, took) {
  const blob = await response.blob();
  URL.revokeObjectURL(state.saved);
  state.saved = URL.createObjectURL(new Blob([blob], { type: "application/octet-stream" }));
  const kind = (response.headers.get("content-type") ?? "").toLowerCase();
  const all = performance.now() - took.start;
  const times = `${took.head.toFixed(0)} ms, ${all.toFixed(0)} ms with the body`;
  const status = `${response.status} ${response.statusText}`.trim();
  showOutcome(response.ok, status, times, size(blob.size));
  if (kind.startsWith("image/")) {
    URL.revokeObjectURL(state.saved);
    state.saved = URL.createObjectURL(blob);
  }
  by("shown").replaceChildren(await bodyView(blob, kind));
  by("save").href = state.saved;
  by("received").replaceChildren(...rows([...response.headers]));
  by("response").hidden = false;
  showFaults(await faultsOf(response, blob));
}

async function send() {
  if (state.sending) {
    state.sending.abort();
    return;
  }
  const stop = new AbortController();
  state.sending = stop;
  by("send").textContent = "Cancel";
  by("response").hidden = true;
  showFaults([]);
  showOutcome(true, "Sending…");
  try {
    const { method, url, headers, body, file } = request();
    const start = performance.now();
    const options = { method, headers, body: file ?? body, signal: stop.signal, cache: "no-store" };
    const response = await fetch(url, options);
    await showResponse(response, { start, head: performance.now() - start });
  } catch (error) {
    showOutcome(false, error.name === "AbortError" ? "Cancelled" : `Failed: ${error.message}`);
  } finally {
    state.sending = null;
    by("send").textContent = "Send";
    showRequest();
  }
}

function setExample(operation) {
  const example = operation.requestBody?.content?.["application/json"]?.example;
  by("body").value = example === undefined ? "" : JSON.stringify(example, null, 2);
  by("example").hidden = example === undefined;
  showFaults([]);
  showRequest();
}

function showDocument(openapi) {
  const [path, item] = Object.entries(openapi.paths)[0];
  const known = methods.filter((method) => method in item);
  const operation = item[known[0]];
  const isFree = path.endsWith("{path}");
  Object.assign(state, { document: openapi, path });
  state.base = new URL(openapi.servers[0].url, location.href);
  state.isJson = Boolean(operation.requestBody?.content?.["application/json"]);
  by("title").textContent = openapi.info.title;
  document.title = openapi.info.title;
  const about = [openapi.info.description, operation.description].filter(Boolean);
  by("about").textContent = about.join("\n\n");
  by("version").textContent = `version ${openapi.info.version}`;
  by("verb").textContent = isFree ? "ANY" : known[0].toUpperCase();
  by("url").textContent = state.base.origin + path;
  by("free").hidden = !isFree;
  by("kind-row").hidden = state.isJson;
  const options = methods.map((method) => make("option", "", method.toUpperCase()));
  by("method").replaceChildren(...options);
  const answers = Object.entries(operation.responses);
  by("statuses").replaceChildren(
    ...rows(answers.map(([status, answer]) => [status, answer.description ?? ""])));
  for (const [name, id] of [["Input", "input"], ["Output", "output"]]) {
    const schema = openapi.components?.schemas?.[name];
    by(`${id}-box`).hidden = schema === undefined;
    if (schema !== undefined) by(id).replaceChildren(schemaView(openapi, schema));
  }
  setExample(operation);
  by("example").addEventListener("click", () => setExample(operation));
  by("main").hidden = false;
}

function format() {
  try {
    by("body").value = JSON.stringify(JSON.parse(by("body").value), null, 2);
  } catch {
    by("body").focus();
  }
  showRequest();
}

async function copy() {
  try {
    await navigator.clipboard.writeText(by("curl").textContent);
    by("copy").textContent = "Copied";
  } catch {
    // Pages without a secure connection may not write; then the text is selected to be copied.
    getSelection().selectAllChildren(by("curl"));
    by("copy").textContent = "Selected";
  }
  setTimeout(() => { by("copy").textContent = "Copy"; }, 1500);
}

function connect() {
  by("send").addEventListener("click", send);
  by("format").addEventListener("click", format);
  by("copy").addEventListener("click", copy);
  for (const id of ["body", "headers", "path", "kind", "method", "file"]) {
    by(id).addEventListener("input", showRequest);
  }
  document.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      if (!state.sending) send();
    }
  });
}

async function start() {
  const address = `${location.pathname.replace(/\/+$/, "")}/openapi.json`;
  by("document").href = address;
  connect();
  try {
    const response = await fetch(address, { headers: { accept: "application/json" } });
    if (!response.ok) throw new Error(`openapi.json: status ${response.status}`);
    showDocument(await response.json());
  } catch (error) {
    by("title").textContent = "Not available";
    by("trouble").textContent = `The description cannot be loaded: ${error.message}`;
    by("trouble").hidden = false;
  }
}

start();
