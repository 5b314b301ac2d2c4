// Makes elements. Whatever comes from the log is only ever a text node: nothing here parses HTML.

export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "class") element.className = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false).map(node));
  return element;
}

function node(child) {
  return child instanceof Node ? child : document.createTextNode(String(child));
}

const KNOWN = /^[a-z_]{1,20}$/; // a status is also a class: nothing else may become one

export function badge(status) {
  const text = String(status ?? "unknown");
  return h("span", { class: KNOWN.test(text) ? `badge ${text}` : "badge" }, text);
}

export function tags(items) {
  return h("span", { class: "tags" }, items.map((item) => h("span", { class: "tag" }, item)));
}

export function json(value) {
  return h("pre", {}, typeof value === "string" ? value : JSON.stringify(value, null, 2) ?? "");
}

export function facts(pairs) {
  const shown = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return h("dl", { class: "facts" }, shown.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
}

export function table(columns, rows, empty) {
  if (!rows.length) return h("div", { class: "card empty" }, empty);
  const head = columns.map((column) => h("th", { class: column.class, scope: "col" }, column.title));
  return h("div", { class: "card" }, h("table", {}, h("thead", {}, h("tr", {}, head)), h("tbody", {}, rows)));
}

export function row(columns, item, href) {
  const cells = columns.map((column) => h("td", { class: column.class }, column.cell(item)));
  if (!href) return h("tr", {}, cells);
  const go = (event) => { if (!event.target.closest("a, button")) location.hash = href; };
  return h("tr", { class: "link", onclick: go }, cells);
}

export function ago(text) {
  const moment = new Date(text);
  if (!text || Number.isNaN(moment.getTime())) return "";
  const seconds = Math.round((Date.now() - moment) / 1000);
  const units = [[86400, "d"], [3600, "h"], [60, "min"]];
  const unit = units.find(([length]) => seconds >= length);
  const said = unit ? `${Math.floor(seconds / unit[0])} ${unit[1]} ago` : seconds > 2 ? `${seconds} s ago` : "now";
  return h("time", { datetime: moment.toISOString(), title: moment.toLocaleString() }, said);
}

export function took(milliseconds) {
  if (!Number.isFinite(milliseconds) || milliseconds < 0) return "";
  if (milliseconds < 1000) return `${Math.round(milliseconds)} ms`;
  if (milliseconds < 60000) return `${(milliseconds / 1000).toFixed(1)} s`;
  return milliseconds < 3600000 ? `${(milliseconds / 60000).toFixed(1)} min` : `${(milliseconds / 3600000).toFixed(1)} h`;
}

export function toast(text, bad = false) {
  const shown = h("div", { class: bad ? "toast bad" : "toast" }, text);
  document.getElementById("toasts").append(shown);
  setTimeout(() => shown.remove(), bad ? 9000 : 4000);
}

// Asks for a text (or, without a label, for a yes) and does what was ordered; what is refused is said in place.
export function ask({ title, label, text = "", secret = false, verb, danger = false, act }) {
  const wrong = h("p", { class: "wrong", role: "alert" });
  const field = !label ? null : secret ? h("input", { type: "password", id: "asked", autocomplete: "off" }) : h("textarea", { id: "asked", spellcheck: "false" });
  if (field) field.value = text;
  const go = h("button", { class: danger ? "danger" : "main" }, verb);
  const form = h("form", { method: "dialog" },
    h("h1", {}, title), label && h("label", { for: "asked" }, label), field, wrong,
    h("footer", {}, h("button", { type: "button", onclick: () => dialog.close() }, "Close"), go));
  const dialog = h("dialog", { onclose: () => dialog.remove() }, form);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    go.disabled = true;
    try { await act(field ? field.value : null); dialog.close(); }
    catch (error) { wrong.textContent = error.message; }
    finally { go.disabled = false; }
  });
  document.body.append(dialog);
  dialog.showModal();
}
