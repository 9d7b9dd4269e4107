// The live page: sections that changed are replaced, buttons ask before they change anything.
const byId = (id) => document.getElementById(id);
const main = byId("main"), dialog = byId("ask"), outcome = byId("outcome"), link = byId("link");
let stream = null;
let said = null;

// --- live

function listen() {
  stream = new EventSource("/events?of=" + encodeURIComponent(document.body.dataset.path));
  stream.addEventListener("open", () => tell("live", "live"));
  stream.addEventListener("page", (event) => show(JSON.parse(event.data)));
  stream.addEventListener("error", () => {
    const ended = stream.readyState === EventSource.CLOSED;
    tell("off", ended ? "ended: start bluetune ui again, or reload" : "connecting again…");
  });
}

function tell(state, text) {
  link.dataset.state = state;
  link.textContent = text;
}

function show(page) {
  const made = document.createElement("template");
  made.innerHTML = page.body; // of our own server, which escapes all that it is told
  merge(main, made.content);
  document.title = page.title + " · bluetune";
  if (said !== null && said !== page.said) byId("said").textContent = page.said;
  said = page.said;
}

// Sections, also within a plain <div>, keep their elements as long as they say the same.
function merge(old, fresh) {
  const known = new Map([...old.children].filter((child) => child.id).map((child) => [child.id, child]));
  const next = [...fresh.children].map((child) => {
    const before = child.id ? known.get(child.id) : null;
    if (before && text(before) === child.outerHTML) return before;
    if (child.matches("div.cards")) {
      const kept = old.querySelector(":scope > div.cards");
      if (kept) { merge(kept, child); return kept; }
    }
    remember(child);
    return child;
  });
  if (next.length === old.children.length && next.every((child, at) => child === old.children[at])) return;
  const focused = main.contains(document.activeElement) ? document.activeElement.id : "";
  next.forEach((child, at) => {
    if (old.children[at] !== child) {
      const place = old.children[at];
      if (place && place.id === child.id && !next.includes(place)) place.replaceWith(child);
      else old.insertBefore(child, place ?? null);
    }
  });
  while (old.children.length > next.length) old.lastElementChild.remove();
  if (focused && document.activeElement?.id !== focused) byId(focused)?.focus({ preventScroll: true });
}

const texts = new WeakMap();
function remember(element) { texts.set(element, element.outerHTML); }
function text(element) {
  if (!texts.has(element)) remember(element);
  return texts.get(element);
}

document.addEventListener("visibilitychange", () => {
  // a browser has few connections to a host, and a page that nobody sees needs none
  if (document.hidden) {
    stream?.close();
    tell("off", "paused");
  } else listen();
});
if (!document.hidden) listen();

// --- changes

const TITLES = {
  promote: ["Promote without the gate?", "Yes, promote"],
  rollback: ["Roll back, and stay there?", "Yes, roll back"],
  cancel: ["Cancel this run?", "Yes, cancel it"],
};
let answer = null;

main.addEventListener("click", async (event) => {
  const button = event.target.closest("button[data-do]");
  if (!button || dialog.open) return;
  const asked = { do: button.dataset.do, name: button.dataset.name, version: button.dataset.version ?? "" };
  const back = button.id;
  const question = await send("/ask", asked);
  if (question.error) return report(question.error, "bad");
  const yes = await ask(asked.do, question);
  byId(back)?.focus();
  if (!yes) return;
  const done = await send("/do", { ...asked, mark: question.mark });
  if (done.error) report(done.error, "bad");
  else report(done.done, "good", done.after);
});

function ask(what, question) {
  const [title, yes] = TITLES[what];
  byId("ask-title").textContent = title;
  byId("ask-text").textContent = question.question;
  byId("ask-warning").textContent = question.warning;
  byId("ask-warning").hidden = !question.warning;
  byId("ask-yes").textContent = yes;
  dialog.showModal();
  byId("ask-no").focus();
  return new Promise((resolve) => { answer = resolve; });
}

function close(yes) {
  answer?.(yes);
  answer = null;
  dialog.close();
}
byId("ask-no").addEventListener("click", () => close(false));
byId("ask-yes").addEventListener("click", () => close(true));
dialog.addEventListener("close", () => { answer?.(false); answer = null; }); // by Escape, too

async function send(path, body) {
  try {
    const answered = await fetch(path, {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-Bluetune": "page" },
      body: JSON.stringify(body),
    });
    if (answered.headers.get("Content-Type")?.startsWith("application/json")) return await answered.json();
    return { error: await answered.text() };
  } catch {
    return { error: "bluetune ui does not answer: is it still running? Look whether it has done what you asked before you ask again." };
  }
}

function report(message, tone, after = "") {
  const words = document.createElement("div");
  for (const said of [message, after].filter(Boolean)) {
    words.append(Object.assign(document.createElement("p"), { textContent: said }));
  }
  const away = document.createElement("button");
  away.type = "button";
  away.textContent = "Close";
  away.addEventListener("click", () => { outcome.hidden = true; main.focus(); });
  outcome.className = "outcome " + tone;
  outcome.replaceChildren(words, away);
  outcome.hidden = false;
}
