// Runs: the list with its filters, and one run with its timeline, both as they change.

import { follow, get, path, post, query } from "./api.js";
import { ago, ask, badge, facts, h, json, row, table, toast, took } from "./dom.js";

const ENDED = ["succeeded", "failed", "cancelled", "expired"];
const STATUSES = ["queued", "running", "waiting", "succeeded", "failed", "cancelled"];

const COLUMNS = [
  { title: "Status", cell: (run) => badge(run.status) },
  { title: "Agent", cell: (run) => run.agent },
  { title: "Run", class: "mono", cell: (run) => h("a", { href: link(run.run_id) }, run.run_id) },
  { title: "Stage", cell: (run) => run.stage ?? "" },
  { title: "Progress", class: "num", cell: (run) => `${run.progress ?? 0} %` },
  { title: "Started", cell: (run) => ago(run.created_at) },
  { title: "Changed", cell: (run) => ago(run.updated_at) },
];

function link(id) {
  return `#/runs/${encodeURIComponent(id)}`;
}

export async function runsPage(root, signal) {
  const status = choice("Any status", STATUSES), agent = choice("Any agent", []);
  const list = h("div"), more = h("button", { hidden: true }, "Older runs");
  let pages = 1;

  async function load() {
    const asked = { status: status.value, agent: agent.value, limit: 50 };
    const runs = [];
    let next = null;
    for (let page = 0; page < pages; page += 1) {
      const found = await get("/runs" + query({ ...asked, cursor: next }), signal);
      runs.push(...found.runs);
      next = found.next;
      if (!next) break;
    }
    more.hidden = !next;
    list.replaceChildren(table(COLUMNS, runs.map((run) => row(COLUMNS, run, link(run.run_id))), "No runs. An agent's page starts one."));
  }

  const again = throttled(load, signal);
  status.addEventListener("change", again);
  agent.addEventListener("change", again);
  more.addEventListener("click", () => { pages += 1; again(); });
  root.replaceChildren(h("div", { class: "head" }, h("h1", {}, "Runs"), h("span", { class: "space" }), status, agent), list, h("p", {}, more));
  const { agents } = await get("/agents", signal);
  agent.append(...agents.map((one) => h("option", { value: one.name }, one.name)));
  await load();
  follow("/topics/runs/events", signal, again).catch((error) => toast(error.message, true));
}

function choice(all, values) {
  return h("select", { "aria-label": all }, h("option", { value: "" }, all), values.map((value) => h("option", { value }, value)));
}

// At most one load a second, and one more after the last call.
function throttled(load, signal) {
  let busy = false, wanted = false;
  return async function again() {
    wanted = true;
    if (busy) return;
    busy = true;
    while (wanted && !signal.aborted) {
      wanted = false;
      await load().catch(() => { });
      await new Promise((go) => setTimeout(go, 1000));
    }
    busy = false;
  };
}

export async function runPage(root, signal, id) {
  const top = h("div"), below = h("div"), timeline = h("div", { class: "card" }), entries = new Map(), opened = new Set();
  let run = await get(path("runs", id), signal), planned = false;
  root.replaceChildren(top, h("h2", {}, "Timeline"), timeline, below);

  function draw() {
    planned = false;
    top.replaceChildren(...head(run));
    timeline.replaceChildren(...steps([...entries.values()], opened, ENDED.includes(run.status)));
    below.replaceChildren(h("div", { class: "columns" }, h("div", {}, h("h2", {}, "Input"), json(run.input)), result(run)));
  }
  function plan() {
    if (!planned) requestAnimationFrame(draw);
    planned = true;
  }

  draw();
  await follow(path("runs", id, "events"), signal, (name, data) => {
    if (name === "status" || name === "done") run = data;
    else if (data.path !== undefined) entries.set(data.path, { ...entries.get(data.path), ...data });
    plan();
  }, "done");
}

function head(run) {
  const usage = run.usage ?? {};
  const bar = h("i");
  bar.style.width = `${Math.max(0, Math.min(100, Number(run.progress) || 0))}%`;
  const linked = (id) => h("a", { class: "mono", href: link(id) }, id);
  return [
    h("div", { class: "head" }, h("h1", {}, run.agent), badge(run.status), h("span", { class: "mono soft" }, run.run_id), h("span", { class: "space" }), orders(run)),
    h("div", { class: "card pad" },
      facts([
        ["Stage", run.stage], ["Step", run.step], ["Attempt", run.attempt > 1 ? run.attempt : null], ["Started", ago(run.created_at)], ["Changed", ago(run.updated_at)],
        ["Tokens", usage.input_tokens || usage.output_tokens ? `${usage.input_tokens ?? 0} in, ${usage.output_tokens ?? 0} out` : null],
        ["Cost", usage.cost_usd ? `$${Number(usage.cost_usd).toFixed(4)}` : null],
        ["Calls", said([[usage.llm_calls, "model"], [usage.tool_calls, "tool"], [usage.recorded_hits, "from the record"]])],
        ["Parent", run.parent && linked(run.parent)], ["Fork of", run.forked_from && linked(run.forked_from)],
        ["Children", run.children?.length ? h("span", { class: "tags" }, run.children.map((child) => linked(child.run_id ?? child))) : null],
      ]),
      h("div", { class: "bar" }, bar)),
    run.error && failure(run.error),
  ].filter(Boolean);
}

function said(counts) {
  return counts.filter(([count]) => count).map(([count, name]) => `${count} ${name}`).join(", ");
}

function failure(error) {
  if (typeof error !== "object") return h("div", { class: "error" }, h("h2", {}, "Error"), json(error));
  const { type, message, traceback, ...rest } = error;
  const more = h("details", {}, h("summary", { class: "soft" }, "Traceback and place"), json(rest), traceback && json(traceback));
  return h("div", {}, h("h2", {}, "Error"), h("div", { class: "card pad" }, h("p", { class: "error" }, h("b", {}, type), " ", message), more));
}

const results = new Map();

function result(run) {
  const place = h("div");
  const fill = (value) => place.replaceChildren(h("h2", {}, "Result"), json(value));
  const id = `${run.run_id}/${run.updated_at}`;
  if (run.status !== "succeeded") return place;
  if (results.has(id)) fill(results.get(id));
  else get(path("runs", run.run_id, "result")).then((found) => { results.set(id, found.result); fill(found.result); }).catch(() => { });
  return place;
}

function orders(run) {
  const order = (verb) => post(path("runs", run.run_id, verb)).then(() => {
    toast(`${verb}: on its way`);
    if (verb === "resume") setTimeout(() => window.dispatchEvent(new Event("hashchange")), 600); // the stream of its last ending is over
  });
  const ended = ENDED.includes(run.status);
  return h("span", { class: "tags" },
    run.status === "failed" && h("button", { class: "main", onclick: () => order("resume").catch((error) => toast(error.message, true)) }, "Resume"),
    run.status === "waiting" && h("button", { onclick: () => signal(run.run_id) }, "Send a signal"),
    !ended && h("button", { class: "danger", onclick: () => ask({ title: "Cancel this run?", verb: "Cancel the run", danger: true, act: () => order("cancel") }) }, "Cancel"));
}

function signal(id) {
  ask({
    title: "Send a signal", label: "Event type on the first line, its data as JSON below", text: "type.of_event\n{}", verb: "Send",
    act: async (text) => {
      const [name, ...data] = text.split("\n");
      await post(path("runs", id, "signals", name.trim()), JSON.parse(data.join("\n") || "{}"));
      toast("Sent");
    },
  });
}

function steps(entries, opened, ended) {
  if (!entries.length) return [h("div", { class: "empty" }, "Nothing recorded yet.")];
  const begun = entries.map((entry) => Date.parse(entry.started_at)).filter(Number.isFinite);
  const done = entries.map((entry) => Date.parse(entry.finished_at)).filter(Number.isFinite);
  const open = (entry) => entry.status === "scheduled" && !ended;
  const first = Math.min(...begun), last = Math.max(...begun, ...done, entries.some(open) ? Date.now() : 0);
  return entries.sort((a, b) => a.seq - b.seq).map((entry) => step(entry, open(entry), first, Math.max(last - first, 1), opened));
}

function step(entry, open, first, whole, opened) {
  const start = Date.parse(entry.started_at), end = open ? first + whole : Date.parse(entry.finished_at ?? entry.started_at);
  const tone = /^[a-z_]{1,20}$/.test(entry.status) ? entry.status : "";
  const mark = h("i", { class: tone });
  mark.style.left = `${Math.min(99, ((start - first) / whole) * 100)}%`;
  mark.style.width = `${Math.max(0, (Math.max(end - start, 0) / whole) * 100)}%`;
  const details = h("details", { class: "step" },
    h("summary", {},
      h("span", { class: "name" }, h("b", {}, entry.name || entry.path), " ", h("span", { class: "soft" }, entry.kind), entry.attempt > 1 && h("span", { class: "soft" }, ` · attempt ${entry.attempt}`)),
      badge(entry.status), h("span", { class: "lane" }, mark), h("span", { class: "took" }, entry.finished_at && end > start ? took(end - start) : "")));
  const inside = () => h("div", { class: "inside columns" },
    ...[["Input", entry.input], ["Output", entry.output], ["Error", entry.error], ["Usage", entry.usage]]
      .filter(([, value]) => value !== null && value !== undefined)
      .map(([title, value]) => h("div", {}, h("h2", {}, title), json(value))));
  const fill = () => { if (details.children.length === 1) details.append(inside()); };
  details.open = opened.has(entry.path);
  if (details.open) fill();
  details.addEventListener("toggle", () => { if (details.open) { opened.add(entry.path); fill(); } else opened.delete(entry.path); });
  return details;
}
