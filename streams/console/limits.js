// What is held back: circuit breakers of tools, and budgets with what is left of them.

import { get, path, post } from "./api.js";
import { ago, ask, badge, h, row, table, toast } from "./dom.js";

const again = () => setTimeout(() => window.dispatchEvent(new Event("hashchange")), 600);

function order(where, body, said) {
  return post(where, body).then(() => { toast(said); again(); }, (error) => toast(error.message, true));
}

const BREAKERS = [
  { title: "Tool", cell: (one) => h("b", {}, one.tool) },
  { title: "Breaker", cell: (one) => badge(one.state ?? "unknown") },
  { title: "Since", cell: (one) => (one.since ? ago(one.since) : "") },
  { title: "By hand", cell: (one) => (one.forced ? "yes" : "") },
  { title: "Tries again in", class: "num", cell: (one) => (one.retry_after ? `${one.retry_after} s` : "") },
  { title: "", class: "still", cell: (one) => {
    const state = one.state === "closed" ? "open" : "closed";
    return h("button", { onclick: () => order(path("breakers", one.tool), { state }, `${one.tool}: ${state}`) }, state === "open" ? "open" : "close");
  } },
];

function said(amount) {
  const parts = Object.entries(amount ?? {}).filter(([, value]) => value !== null);
  return parts.map(([name, value]) => (name === "usd" ? `$${value}` : `${value} ${name}`)).join(", ");
}

const BUDGETS = [
  { title: "Of", cell: (one) => h("b", {}, one.scope) },
  { title: "Day", cell: (one) => one.day ?? "" },
  { title: "May use", cell: (one) => said(one.given ?? one.declared) },
  { title: "Used", cell: (one) => said(one.used) },
  { title: "", cell: (one) => (one.spent ? badge("waiting") : "") },
  { title: "", class: "still", cell: (one) => h("button", { onclick: () => change(one) }, "change") },
];

function change(one) {
  ask({
    title: `Budget of ${one.scope}`, label: "usd, tokens, calls; {} is what the code says", verb: "Set",
    text: JSON.stringify(one.given ?? one.declared ?? {}),
    act: (text) => order(`/budgets/${one.scope.split("/").map(encodeURIComponent).join("/")}`, JSON.parse(text), `${one.scope} has another budget`),
  });
}

export async function limitsPage(root, signal) {
  const [{ breakers }, { budgets }] = await Promise.all([get("/breakers", signal), get("/budgets", signal)]);
  const head = (text) => h("div", { class: "head" }, h("h1", {}, text));
  root.replaceChildren(
    head("Circuit breakers"), table(BREAKERS, breakers.map((one) => row(BREAKERS, one)), "No tool has a breaker."),
    head("Budgets"), table(BUDGETS, budgets.map((one) => row(BUDGETS, one)), "No budgets: @agent(budget=Budget(usd=5)) gives one."),
  );
}
