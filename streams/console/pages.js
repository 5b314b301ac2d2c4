// The smaller pages: who is there to do the work, what they know, and the log itself.

import { follow, get, path, post, query } from "./api.js";
import { ago, ask, badge, h, json, row, table, tags, toast, took } from "./dom.js";

function title(text, ...more) {
  return h("div", { class: "head" }, h("h1", {}, text), h("span", { class: "space" }), more);
}

const AGENTS = [
  { title: "Agent", cell: (agent) => h("b", {}, agent.name) },
  { title: "What it does", class: "wrap", cell: (agent) => (agent.doc ?? "").split("\n")[0] },
  { title: "Pool", cell: (agent) => agent.pool },
  { title: "Tools", cell: (agent) => tags(agent.tools) },
  { title: "Version", class: "num", cell: (agent) => agent.version },
  { title: "Queue", cell: (agent) => (agent.paused === null ? h("span", { class: "soft" }, "no worker") : agent.paused ? badge("paused") : "open") },
  { title: "Queued", class: "num", cell: (agent) => agent.stats?.queued ?? "" },
  { title: "Running", class: "num", cell: (agent) => agent.stats?.running ?? "" },
  { title: "Waiting", class: "num", cell: (agent) => agent.stats?.waiting ?? "" },
  { title: "Failed", class: "num", cell: (agent) => agent.stats?.failed ?? "" },
  { title: "Half / 99 % took", class: "num", cell: (agent) => [agent.stats?.latency_ms.p50, agent.stats?.latency_ms.p99].filter(Number.isFinite).map(took).join(" / ") },
  { title: "", class: "still", cell: (agent) => h("span", { class: "tags" }, h("button", { onclick: () => start(agent) }, "Run"), turn(agent)) },
];

function turn(agent) {
  const verb = agent.paused ? "resume" : "pause";
  return h("button", { onclick: () => order("agents", agent, verb) }, verb);
}

export async function agentsPage(root, signal) {
  const list = h("div");
  root.replaceChildren(title("Agents"), list);
  while (!signal.aborted) {
    const [{ agents }, counted] = await Promise.all([get("/agents", signal), get("/tables/agent_stats" + query({ limit: 1000 }), signal).catch(() => ({ rows: [] }))]);
    const stats = new Map(counted.rows.map((one) => [one.key, one.value]));
    for (const agent of agents) agent.stats = stats.get(agent.name);
    list.replaceChildren(table(AGENTS, agents.map((agent) => row(AGENTS, agent)), "No agents: streams new agent NAME writes one."));
    await new Promise((go) => { setTimeout(go, 2000); signal.addEventListener("abort", go, { once: true }); });
  }
}

function start(agent) {
  ask({
    title: `Run ${agent.name}`, label: "Input, as JSON", text: JSON.stringify(example(agent.input, agent.input), null, 2), verb: "Run",
    act: async (text) => {
      const { run_id: id } = await post("/runs", { agent: agent.name, input: JSON.parse(text) });
      location.hash = `#/runs/${encodeURIComponent(id)}`;
    },
  });
}

// Something of the right shape to begin editing from.
function example(schema, whole, depth = 0) {
  if (!schema || depth > 5) return null;
  if (schema.$ref) return example(whole.$defs?.[schema.$ref.split("/").pop()], whole, depth + 1);
  if (schema.default !== undefined) return schema.default;
  if (schema.examples?.length) return schema.examples[0];
  if (schema.enum) return schema.enum[0];
  if (schema.anyOf) return example(schema.anyOf[0], whole, depth + 1);
  if (schema.type === "object") return Object.fromEntries(Object.entries(schema.properties ?? {}).map(([name, part]) => [name, example(part, whole, depth + 1)]));
  return { string: "", integer: 0, number: 0, boolean: false, array: [] }[schema.type] ?? null;
}

const WORKERS = [
  { title: "State", cell: (worker) => badge(worker.alive ? worker.state : "gone") },
  { title: "Worker", class: "mono", cell: (worker) => worker.worker_id },
  { title: "Pool", cell: (worker) => worker.pool },
  { title: "Runs in memory", class: "num", cell: (worker) => worker.running },
  { title: "Partitions", cell: (worker) => tags(worker.partitions ?? []) },
  { title: "Process", class: "mono", cell: (worker) => `${worker.host}:${worker.pid}` },
  { title: "Started", cell: (worker) => ago(worker.started_ms) },
  { title: "Heard", cell: (worker) => ago(worker.at_ms) },
];

export async function workersPage(root, signal) {
  const list = h("div");
  root.replaceChildren(title("Workers"), list);
  while (!signal.aborted) {
    const { workers } = await get("/workers", signal);
    workers.sort((a, b) => b.alive - a.alive || b.at_ms - a.at_ms);
    list.replaceChildren(table(WORKERS, workers.map((worker) => row(WORKERS, worker)), "No worker has been heard of: streams worker starts one."));
    await new Promise((go) => { setTimeout(go, 2000); signal.addEventListener("abort", go, { once: true }); });
  }
}

const TABLES = [
  { title: "Table", cell: (one) => h("a", { href: `#/tables/${encodeURIComponent(one.name)}` }, one.name) },
  { title: "What it holds", class: "wrap", cell: (one) => (one.doc ?? "").split("\n")[0] },
  { title: "Made of", cell: (one) => tags(one.of ?? []) },
  { title: "Pool", cell: (one) => one.pool },
  { title: "Version", class: "num", cell: (one) => one.version },
];

export async function tablesPage(root, signal) {
  const { tables } = await get("/tables", signal);
  root.replaceChildren(title("Tables"), table(TABLES, tables.map((one) => row(TABLES, one, `#/tables/${encodeURIComponent(one.name)}`)), "No tables: streams new table NAME writes one."));
}

const ROWS = [
  { title: "Key", class: "mono", cell: (one) => one.key },
  { title: "Row", class: "mono wrap", cell: (one) => JSON.stringify(one.value) },
  { title: "As of", class: "mono", cell: (one) => `${one.partition}@${one.offset}` },
];

export async function tablePage(root, signal, name) {
  const prefix = h("input", { type: "search", placeholder: "Keys that begin with …", "aria-label": "Keys that begin with" });
  const list = h("div"), more = h("button", { hidden: true }, "More rows");
  let rows = [], next = null;
  async function load(fresh) {
    const found = await get(path("tables", name) + query({ prefix: prefix.value, limit: 50, cursor: fresh ? null : next }), signal);
    rows = fresh ? found.rows : [...rows, ...found.rows];
    next = found.next;
    more.hidden = !next;
    list.replaceChildren(table(ROWS, rows.map((one) => row(ROWS, one)), "No rows."));
  }
  const said = (error) => toast(error.message, true);
  prefix.addEventListener("change", () => load(true).catch(said));
  more.addEventListener("click", () => load(false).catch(said));
  root.replaceChildren(title(name, prefix), list, h("p", {}, more));
  await load(true);
}

const TOPICS = [
  { title: "Topic", cell: (topic) => h("a", { href: `#/topics/${encodeURIComponent(topic.name)}` }, topic.name) },
  { title: "What it holds", class: "wrap", cell: (topic) => topic.description },
  { title: "Key", cell: (topic) => topic.key },
  { title: "Partitions", class: "num", cell: (topic) => topic.partitions },
  { title: "Kept", cell: (topic) => (topic.cleanup === "compact" ? "the last of each key" : topic.retention_ms ? `${topic.retention_ms / 3600000} h` : "") },
];

export async function topicsPage(root, signal) {
  const { topics } = await get("/topics", signal);
  root.replaceChildren(title("Topics"), table(TOPICS, topics.map((topic) => row(TOPICS, topic, `#/topics/${encodeURIComponent(topic.name)}`)), "No topics."));
}

const MOST = 200;

export async function eventsPage(root, signal, name) {
  const list = h("div", { class: "card" }), pause = h("button", {}, "Pause"), empty = h("div", { class: "empty" }, "Waiting for events …");
  let paused = false;
  pause.addEventListener("click", () => { paused = !paused; pause.textContent = paused ? "Go on" : "Pause"; });
  list.append(empty);
  root.replaceChildren(title(name, h("span", { class: "soft" }, "as they come"), pause), list);
  await follow(path("topics", name, "events"), signal, (_, event) => {
    if (paused) return;
    empty.remove();
    const place = `${event.partition}@${event.offset}`;
    list.prepend(h("details", { class: "step" },
      h("summary", {}, h("b", { class: "name" }, event.type ?? "no event"), h("span", { class: "mono soft" }, place), h("span", { class: "mono name" }, event.key ?? ""), h("span", { class: "took" }, ago(event.time))),
      h("div", { class: "inside" }, json(event.undecodable ?? event.data))));
    while (list.children.length > MOST) list.lastChild.remove();
  });
}

const SCHEDULES = [
  { title: "Schedule", cell: (one) => h("b", {}, one.name) },
  { title: "What it does", class: "wrap", cell: (one) => (one.doc ?? "").split("\n")[0] },
  { title: "When", class: "mono still", cell: (one) => one.cron ?? (one.every_s ? `every ${one.every_s} s` : "") },
  { title: "Zone", cell: (one) => one.tz },
  { title: "Next", cell: (one) => (one.paused ? badge("paused") : moment(one.next_slot)) },
  { title: "Last", cell: (one) => ago(one.last_slot) },
  { title: "Missed", class: "num", cell: (one) => one.missed ?? "" },
  { title: "Skipped", class: "num", cell: (one) => one.skipped ?? "" },
  { title: "", class: "still", cell: (one) => h("span", { class: "tags" }, (one.paused ? ["resume", "trigger"] : ["pause", "trigger"]).map((verb) => h("button", { onclick: () => order("schedules", one, verb) }, verb))) },
];

function moment(text) {
  const at = new Date(text ?? NaN);
  return Number.isNaN(at.getTime()) ? "" : h("time", { datetime: at.toISOString() }, at.toLocaleString());
}

function order(kind, one, verb) {
  post(path(kind, one.name, verb)).then(
    () => { toast(`${one.name}: ${verb}`); setTimeout(() => window.dispatchEvent(new Event("hashchange")), 600); },
    (error) => toast(error.message, true));
}

export async function schedulesPage(root, signal) {
  const { schedules } = await get("/schedules", signal);
  root.replaceChildren(title("Schedules"), table(SCHEDULES, schedules.map((one) => row(SCHEDULES, one)), "No schedules."));
}
