// Routes: each page is a function that fills its element, and stops when its signal says that another page is shown.

import { h } from "./dom.js";
import { limitsPage } from "./limits.js";
import { letterPage, lettersPage } from "./letters.js";
import { runPage, runsPage } from "./runs.js";
import { agentsPage, eventsPage, schedulesPage, tablePage, tablesPage, topicsPage, workersPage } from "./pages.js";

const PAGES = [
  ["runs", "Runs", runsPage, runPage],
  ["agents", "Agents", agentsPage],
  ["workers", "Workers", workersPage],
  ["tables", "Tables", tablesPage, tablePage],
  ["topics", "Topics", topicsPage, eventsPage],
  ["schedules", "Schedules", schedulesPage],
  ["limits", "Limits", limitsPage],
  ["dead", "Dead letters", lettersPage, letterPage],
];

let showing = new AbortController();

async function show() {
  const [, name = "runs", ...rest] = location.hash.replace(/^#/, "").split("/");
  const known = PAGES.find(([page]) => page === name) ?? PAGES[0];
  const one = rest.length && known[3] ? decodeURIComponent(rest.join("/")) : null;
  showing.abort();
  showing = new AbortController();
  const { signal } = showing;
  for (const link of document.querySelectorAll("#nav a")) {
    if (link.getAttribute("href") === `#/${known[0]}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  for (const dialog of document.querySelectorAll("dialog[open]")) dialog.close();
  const page = document.getElementById("page");
  const root = h("div", {}, h("p", { class: "soft" }, "…"));
  page.replaceChildren(root);
  document.title = `${one ?? known[1]} · Streams`;
  try {
    await (one === null ? known[2](root, signal) : known[3](root, signal, one));
  } catch (error) {
    if (signal.aborted) return;
    const again = h("button", { onclick: show }, "Try again");
    root.replaceChildren(h("div", { class: "card empty" }, h("p", { class: "error" }, error.message), again));
  }
}

async function health() {
  const shown = document.getElementById("health");
  try {
    const response = await fetch("/readyz", { cache: "no-store" });
    const { checks = {} } = await response.json();
    const wrong = Object.entries(checks).filter(([, said]) => said !== "ok");
    shown.className = wrong.length ? "health bad" : "health good";
    shown.textContent = wrong.length ? wrong.map(([name]) => name).join(", ") + " not ready" : "ready";
    shown.title = wrong.map(([name, said]) => `${name}: ${said}`).join("\n");
  } catch {
    shown.className = "health bad";
    shown.textContent = "gateway gone";
  }
  setTimeout(health, 10000);
}

document.getElementById("nav").append(...PAGES.map(([name, title]) => h("a", { href: `#/${name}` }, title)));
window.addEventListener("hashchange", show);
show();
health();
