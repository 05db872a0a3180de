#include "rpc/status_page.h"

namespace rutile::rpc {

const char kStatusPage[] = R"html(<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Rutile</title>
<link rel="icon" href="data:,">
<style>
:root { color-scheme: light dark; --text: #1d2330; --dim: #667085; --line: #e2e5eb; --page: #f7f8fa;
  --card: #fff; --good: #2e9e6b; --bad: #cf4436; --wait: #d99a1c; --bar: #4b7bec; --bar2: #b8cbf7; }
@media (prefers-color-scheme: dark) { :root { --text: #e4e7ee; --dim: #98a2b3; --line: #2c3340;
  --page: #12151b; --card: #1a1f28; --good: #4cc38a; --bad: #ef6a5c; --wait: #e8b64c;
  --bar: #6d95f2; --bar2: #34466f; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--text);
  font: 14px/1.45 system-ui, -apple-system, "Segoe UI", sans-serif; }
main { max-width: 1100px; margin: 0 auto; padding: 24px 20px 48px; }
header { display: flex; flex-wrap: wrap; align-items: baseline; gap: 4px 14px; }
h1 { font-size: 20px; margin: 0; }
h2 { font-size: 13px; margin: 28px 0 8px; color: var(--dim); font-weight: 600;
  text-transform: uppercase; letter-spacing: .05em; }
.dim { color: var(--dim); }
.mono, td.n { font-family: ui-monospace, "SF Mono", Menlo, Consolas, monospace; font-size: 12.5px; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 8px;
  overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: 7px 12px; border-top: 1px solid var(--line);
  white-space: nowrap; }
tr:first-child > th { border-top: 0; color: var(--dim); font-weight: 500; font-size: 12px; }
td.n, th.n { text-align: right; }
.tag { display: inline-block; padding: 0 8px; border-radius: 9px; font-size: 12px;
  border: 1px solid currentColor; }
.good { color: var(--good); } .bad { color: var(--bad); } .wait { color: var(--wait); }
.log { position: relative; width: 150px; height: 8px; border-radius: 4px; background: var(--line);
  overflow: hidden; }
.log i { position: absolute; inset: 0 auto 0 0; }
#error { display: none; margin-top: 14px; padding: 8px 12px; border-radius: 8px;
  border: 1px solid var(--bad); color: var(--bad); }
details { margin-top: 28px; } summary { cursor: pointer; color: var(--dim); }
</style>
</head>
<body>
<main>
<header><h1 id="name">Rutile</h1><span id="facts" class="dim"></span></header>
<div id="error"></div>
<h2>Members</h2><div class="card"><table id="members"></table></div>
<h2>Replicas on this node</h2><div class="card"><table id="replicas"></table></div>
<h2>Followers of the regions it leads</h2><div class="card"><table id="peers"></table></div>
<details><summary>Key-value engine</summary><div class="card"><table id="engine"></table></div>
</details>
<p class="dim">As this node sees it; renewed every two seconds.
<a href="/status">JSON</a> &middot; <a href="/metrics">metrics</a></p>
</main>
<script>
"use strict";
const $ = (id) => document.getElementById(id);
const make = (tag, props = {}, children = []) => {
  const node = Object.assign(document.createElement(tag), props);
  node.append(...children);
  return node;
};
const cell = (content, className = "") => make("td", { className }, [content]);
const number = (n) => cell(Number(n).toLocaleString("en-US"), "n");
const tag = (text, kind) => make("span", { className: "tag " + kind, textContent: text });
const fill = (id, heads, rows, none) => {
  const head = make("tr", {}, heads.map(
      (h) => make("th", { textContent: h.replace("#", ""), className: h[0] === "#" ? "n" : "" })));
  if (rows.length === 0) rows = [make("tr", {}, [make("td", {
    textContent: none, className: "dim", colSpan: heads.length })])];
  $(id).replaceChildren(head, ...rows);
};
const span = (seconds) => {
  const s = Math.floor(seconds), d = Math.floor(s / 86400), h = Math.floor(s / 3600) % 24;
  const m = Math.floor(s / 60) % 60;
  return d ? `${d} d ${h} h` : h ? `${h} h ${m} min` : m ? `${m} min ${s % 60} s` : `${s} s`;
};
const bytes = (n) => n < 1024 ? n + " B" : n < 1048576 ? (n / 1024).toFixed(1) + " KiB"
    : (n / 1048576).toFixed(1) + " MiB";

// The part of the log that is kept, and how far it is committed and applied.
const logBar = (r) => {
  const width = Math.max(1, r.last - r.base);
  const part = (index, color) => {
    const bar = make("i");
    bar.style.width = Math.max(0, Math.min(100, 100 * (index - r.base) / width)) + "%";
    bar.style.background = `var(${color})`;
    return bar;
  };
  return make("div", { className: "log",
    title: `kept from ${r.base + 1} to ${r.last}, committed to ${r.committed}, ` +
           `applied to ${r.applied}` }, [part(r.committed, "--bar2"), part(r.applied, "--bar")]);
};
const range = (r) => r.kind === "placement" ? "" :
    (r.start_key || "first") + " … " + (r.end_key || "last");
const roleTag = (r) => r.poisoned ? tag("stopped", "bad")
    : r.impaired_until ? tag("being repaired", "wait")
    : r.role === "leader" ? tag("leader", "good") : r.leader ? tag(r.role, "dim")
    : tag(r.role + ", no leader", "wait");

const memberRow = (m, leader) => make("tr", {}, [
  cell(m.name), cell(m.address, "mono"), number(m.store_id), cell(m.version, "dim"),
  cell(m.name === leader ? tag("leads placement", "good") : ""),
  cell(m.silent_seconds === null ? tag("not heard of yet", "wait")
      : m.silent_seconds > 5 ? tag("silent for " + span(m.silent_seconds), "bad")
      : tag("alive", "good"))]);
const replicaRow = (r) => make("tr", { title: r.poisoned || "" }, [
  cell(r.kind === "placement" ? "placement" : String(r.region)), cell(range(r), "mono"),
  cell(roleTag(r)), number(r.term), cell(logBar(r)), number(r.applied), number(r.committed),
  number(r.durable), number(r.last), cell(bytes(r.log_bytes_in_memory), "n")]);
const peerRow = (r, p) => make("tr", {}, [
  cell(r.kind === "placement" ? "placement" : String(r.region)), number(p.store),
  cell(p.active ? tag(p.state, "good") : tag(p.state + ", silent", "bad")),
  number(p.match), number(p.lag), number(p.inflight)]);

const show = (text) => {
  const s = JSON.parse(text);
  // Larger than what a number of JavaScript holds.
  const cluster = /"cluster_id":\s*(\d+)/.exec(text)[1];
  document.title = s.name + " · Rutile";
  $("name").textContent = s.name;
  $("facts").textContent = `store ${s.store_id} of cluster ${cluster} · up ` +
      span(s.uptime_seconds) + (s.placement_leader ? "" : " · placement has no leader");
  fill("members", ["Name", "Address", "#Store", "Version", "", "State"],
       s.members.map((m) => memberRow(m, s.placement_leader)), "none");
  fill("replicas", ["Region", "Keys", "Role", "#Term", "Log", "#Applied", "#Committed", "#Durable",
       "#Last", "#In memory"], s.replicas.map(replicaRow), "none");
  fill("peers", ["Region", "#Store", "State", "#Match", "#Lag", "#In flight"],
       s.replicas.filter((r) => r.role === "leader").flatMap(
           (r) => r.peers.filter((p) => p.peer !== r.peer).map((p) => peerRow(r, p))),
       "it leads no region that has followers");
  fill("engine", ["Name", "#Value"], Object.entries(s.engine).map(
       ([name, value]) => make("tr", {}, [cell(name, "mono"), number(value)])), "none");
};
const renew = async () => {
  let problem = "";
  try {
    const answer = await fetch("/status", { signal: AbortSignal.timeout(5000) });
    const text = await answer.text();
    if (answer.ok) show(text); else problem = text;
  } catch (error) {
    problem = "The node does not answer. What is below is old.";
  }
  $("error").textContent = problem;
  $("error").style.display = problem ? "block" : "none";
  setTimeout(renew, document.hidden ? 10000 : 2000);
};
renew();
</script>
</body>
</html>
)html";

}  // namespace rutile::rpc
