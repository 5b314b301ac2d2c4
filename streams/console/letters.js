// Dead letters: what failed for good, by kind and one by one, and what can be done about it.

import { follow, get, path, post, query } from "./api.js";
import { ago, ask, badge, facts, h, json, row, table, toast } from "./dom.js";

const link = (id) => `#/dead/${encodeURIComponent(id)}`;

const GROUPS = [
  { title: "Open", class: "num", cell: (kind) => kind.open },
  { title: "All", class: "num", cell: (kind) => kind.count },
  { title: "Consumer", cell: (kind) => kind.consumer },
  { title: "Error", class: "wrap", cell: (kind) => h("span", {}, h("b", {}, kind.error_type), " ", kind.error) },
  { title: "Last", cell: (kind) => ago(kind.last) },
  { title: "", cell: (kind) => kind.open > 0 && h("button", { onclick: () => redriveAll(kind) }, "Redrive all") },
];

const LETTERS = [
  { title: "State", cell: (letter) => badge(letter.state) },
  { title: "Consumer", cell: (letter) => letter.consumer },
  { title: "Key", class: "mono cut", cell: (letter) => letter.key ?? "" },
  { title: "Error", class: "cut", cell: (letter) => h("span", {}, h("b", {}, letter.error_type), " ", letter.error) },
  { title: "Attempts", class: "num", cell: (letter) => letter.attempts },
  { title: "When", cell: (letter) => ago(letter.time) },
];

export async function lettersPage(root, signal) {
  const state = h("select", { "aria-label": "State" }, [["open", "Open"], ["", "Any state"], ["redriven", "Redriven"], ["discarded", "Discarded"]]
    .map(([value, title]) => h("option", { value }, title)));
  const kinds = h("div"), list = h("div");
  root.replaceChildren(h("div", { class: "head" }, h("h1", {}, "Dead letters"), h("span", { class: "space" }), state), kinds, list);
  async function load() {
    const [groups, letters] = await Promise.all([
      get("/dead-letters?group=true", signal),
      get("/dead-letters" + query({ state: state.value, limit: 100 }), signal),
    ]);
    const open = groups.groups.filter((kind) => kind.open > 0 || state.value !== "open");
    kinds.replaceChildren(...(open.length ? [h("h2", {}, "By kind of failure"), table(GROUPS, open.map((kind) => row(GROUPS, kind)), "")] : []));
    list.replaceChildren(h("h2", {}, "One by one"), table(LETTERS, letters.letters.map((letter) => row(LETTERS, letter, link(letter.dead_id))), "Nothing here: all is well."));
  }
  state.addEventListener("change", () => load().catch((error) => toast(error.message, true)));
  await load();
  follow("/topics/dead-letters/events", signal, () => load().catch(() => { })).catch((error) => toast(error.message, true));
}

function redriveAll(kind) {
  ask({
    title: `Redrive ${kind.open} dead letters of ${kind.consumer}?`, verb: "Redrive all",
    act: async () => {
      let done = 0;
      for (;;) {
        const said = await post("/dead-letters/redrive", { fingerprint: kind.fingerprint });
        done += said.redriven.length;
        if (!said.left || !said.redriven.length) break;
      }
      toast(`${done} redriven`);
    },
  });
}

export async function letterPage(root, signal, id) {
  const letter = await get(path("dead-letters", id), signal);
  const again = () => letterPage(root, signal, id);
  const open = letter.state === "open";
  const order = (verb, body) => post(path("dead-letters", id, verb), body).then(() => { toast(verb === "redrive" ? "Redriven" : "Discarded"); again(); });
  const edit = () => ask({
    title: "Redrive with another value", label: "The record's value, as JSON by its event's schema", verb: "Redrive",
    text: JSON.stringify(letter.data ?? {}, null, 2), act: (text) => order("redrive", { edit: JSON.parse(text) }),
  });
  root.replaceChildren(
    h("div", { class: "head" }, h("h1", {}, letter.consumer), badge(letter.state), h("span", { class: "mono soft" }, letter.dead_id), h("span", { class: "space" }),
      open && h("button", { class: "main", onclick: () => order("redrive").catch((error) => toast(error.message, true)) }, "Redrive"),
      open && !letter.run_id && h("button", { onclick: edit }, "Edit and redrive"),
      open && h("button", { class: "danger", onclick: () => ask({ title: "Discard this dead letter?", verb: "Discard", danger: true, act: () => order("discard") }) }, "Discard")),
    h("div", { class: "card pad" }, facts([
      ["Type", letter.type], ["Key", letter.key], ["Source", `${letter.source_topic} ${letter.source_offset >= 0 ? `${letter.source_partition}@${letter.source_offset}` : ""}`],
      ["Attempts", letter.attempts], ["Redrives", letter.redrives], ["When", ago(letter.time)], ["Fingerprint", h("span", { class: "mono" }, letter.fingerprint)],
      ["Run", letter.run_id && h("a", { class: "mono", href: `#/runs/${encodeURIComponent(letter.run_id)}` }, letter.run_id)],
    ])),
    h("h2", {}, "Error"), h("div", { class: "card pad error" }, h("b", {}, letter.error_type), " ", letter.error),
    letter.traceback ? h("div", {}, h("h2", {}, "Traceback"), json(letter.traceback)) : "",
    h("div", { class: "columns" },
      h("div", {}, h("h2", {}, letter.undecodable ? "Value (cannot be decoded)" : "Value"), json(letter.undecodable ? `${letter.undecodable}\n\n${letter.value}` : letter.data)),
      h("div", {}, h("h2", {}, "Headers"), json(letter.headers))));
}
