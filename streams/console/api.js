// Talks to the gateway. There are no cookies: a key, if one is needed, is kept for this tab and sent as a header.

import { ask } from "./dom.js";

const KEY = "streams-api-key";

export class Refused extends Error {
  constructor(status, problem) {
    const first = problem.errors?.[0];
    const detail = problem.detail || problem.title || `HTTP ${status}`;
    super(first && !detail.includes(first.field) ? `${detail} ${first.field}: ${first.message}` : detail);
    this.status = status;
  }
}

function headers(more) {
  const key = sessionStorage.getItem(KEY);
  return { ...(key ? { authorization: `Bearer ${key}` } : {}), ...more };
}

async function send(path, options) {
  const response = await fetch(path, { credentials: "omit", cache: "no-store", ...options });
  if (response.ok) return response;
  const problem = await response.json().catch(() => ({}));
  if (response.status === 401) askForKey();
  throw new Refused(response.status, problem);
}

let asking = false;

function askForKey() {
  if (asking) return;
  asking = true;
  ask({
    title: "This gateway needs a key", label: "API key (kept in this tab only)", secret: true, verb: "Use it",
    act: async (key) => { sessionStorage.setItem(KEY, key.trim()); location.reload(); },
  });
}

export function path(...parts) {
  return "/" + parts.map((part) => encodeURIComponent(part)).join("/");
}

export function query(values) {
  const given = Object.entries(values).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  return given.length ? "?" + new URLSearchParams(given) : "";
}

export async function get(path, signal) {
  return (await send(path, { signal, headers: headers({ accept: "application/json" }) })).json();
}

export async function post(path, body) {
  const more = { "content-type": "application/json", "x-streams-console": "1", "idempotency-key": crypto.randomUUID?.() ?? String(Math.random()) };
  return (await send(path, { method: "POST", headers: headers(more), body: JSON.stringify(body ?? {}) })).json();
}

// Follows server-sent events with the same headers as everything else, and goes on after the last one when it breaks.
export async function follow(path, signal, take, ended) {
  let last = "";
  while (!signal.aborted) {
    try {
      const more = { accept: "text/event-stream", ...(last ? { "last-event-id": last } : {}) };
      const response = await send(path, { signal, headers: headers(more) });
      for await (const event of events(response.body)) {
        if (event.id) last = event.id;
        if (event.data) take(event.name, JSON.parse(event.data));
        if (event.name === ended) return;
      }
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof Refused && error.status < 500 && error.status !== 429) throw error;
    }
    await new Promise((go) => { setTimeout(go, 2000); signal.addEventListener("abort", go, { once: true }); });
  }
}

async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) yield parsed(block);
  }
}

function parsed(block) {
  const event = { id: "", name: "message", data: "" };
  for (const line of block.split("\n")) {
    const at = line.indexOf(": ");
    const name = line.slice(0, at), value = line.slice(at + 2);
    if (name === "id") event.id = value;
    else if (name === "event") event.name = value;
    else if (name === "data") event.data += value;
  }
  return event;
}
