"use strict";

const byId = (id) => document.getElementById(id);
const form = byId("form"), query = byId("query"), results = byId("results"), status = byId("status");
let latest = 0;

function element(tag, className, text) {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  return made;
}

function host(url) {
  try {
    const parsed = new URL(url);
    return /^https?:$/.test(parsed.protocol) ? parsed.hostname.replace(/^www\./, "") : null;
  } catch {
    return null;
  }
}

function row(hit, session) {
  const item = element("li", "hit", "");
  const site = host(hit.url);
  const title = element(site ? "a" : "span", "title", hit.title);
  if (site) {
    title.href = hit.url;
    title.target = "_blank";
    title.rel = "noopener noreferrer";
  }
  const opened = () => {
    navigator.sendBeacon("/click", JSON.stringify({ session_id: session, object_id: hit.object_id }));
    item.classList.add("opened");
  };
  title.addEventListener("click", opened);
  title.addEventListener("auxclick", (event) => event.button === 1 && opened());
  item.append(title);
  const meta = element("div", "meta", "");
  if (site) meta.append(element("span", "site", site));
  const score = element("span", "score", hit.score.toFixed(2));
  score.title = "cosine of query and document";
  meta.append(score);
  item.append(meta);
  if (hit.description) item.append(element("p", "description", hit.description));
  return item;
}

async function search(text, push) {
  const mine = ++latest;
  query.value = text;
  document.title = text ? `${text} – Semanlink` : "Semanlink search";
  if (push) history.pushState(null, "", text ? `?q=${encodeURIComponent(text)}` : "/");
  byId("examples").hidden = Boolean(text);
  if (!text) {
    results.replaceChildren();
    status.textContent = "";
    return;
  }
  status.textContent = "Searching…";
  try {
    const response = await fetch(`/search?q=${encodeURIComponent(text)}`);
    const answer = await response.json();
    if (mine !== latest) return;
    if (!response.ok) throw new Error(answer.error);
    results.replaceChildren(...answer.results.map((hit) => row(hit, answer.session_id)));
    status.textContent = `${answer.results.length} results in ${answer.took_ms.toFixed(0)} ms`;
    byId("version").textContent = answer.version;
  } catch (error) {
    if (mine !== latest) return;
    results.replaceChildren();
    status.textContent = `No answer: ${error.message}`;
  }
}

async function about() {
  const response = await fetch("/version");
  const answer = await response.json();
  byId("version").textContent = response.ok ? answer.version : answer.error;
  byId("version").title = response.ok ? `${answer.digest} on ${answer.pod}` : "";
  if (!response.ok) setTimeout(about, 2000);
}

async function batch() {
  const answer = await (await fetch("/batch")).json();
  const written = answer.clicked ?? 0;
  byId("batch").textContent = `What you open teaches the model: ${written} of ${answer.needed} clicked searches logged`;
  byId("close").hidden = !(answer.sessions || answer.waiting);
}

byId("close").addEventListener("click", async () => {
  const response = await fetch("/admin/close-batch", { method: "POST" });
  const answer = await response.json();
  byId("batch").textContent = response.ok
    ? `Batch ${answer.batch_id} is complete with ${answer.clicked} clicked searches: create a FineTuningTask`
    : answer.error ?? `${answer.clicked} clicked searches so far; training needs ${answer.needed}`;
  byId("close").hidden = response.ok;
});

form.addEventListener("submit", (event) => {
  event.preventDefault();
  search(query.value.trim(), true);
  query.blur();
});
byId("examples").addEventListener("click", (event) => {
  if (event.target.tagName !== "A") return;
  event.preventDefault();
  search(new URL(event.target.href).searchParams.get("q"), true);
});
const fromAddress = () => search(new URLSearchParams(location.search).get("q") ?? "", false);
addEventListener("popstate", fromAddress);
about().catch(() => setTimeout(about, 2000));
batch().catch(() => {});
setInterval(() => batch().catch(() => {}), 15000);
fromAddress();
