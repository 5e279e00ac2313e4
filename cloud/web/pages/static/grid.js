// The grid: what changes while it is looked at, older ones at the end, uploads, keys.
import { keys } from "./keys.js";
import { local } from "./times.js";
import { uploads } from "./upload.js";

// Where nothing changes it is looked at less and less often: a tab that is left open keeps no app awake.
const EVERY_MS = 4000;
const MOST_MS = 60000;
const MOST_LOST_MS = 15000; // where the app does not answer
const MOST_LOOKS = 30; // for something that was sent from here: a filter may leave it out
const SOON_MS = 1000; // while something that was sent from here is on its way into the list
const days = document.getElementById("days");
const news = document.getElementById("news");
const mine = new Map(); // lines of what was sent from here, by name
let version = days.dataset.version;
let arrived = null; // the page that has what is new
let timer = 0;
let every = EVERY_MS;

const tilesOf = (root) => [...root.querySelectorAll(".tile")];
const tileOf = (name) => days.querySelector(`.tile[data-name="${CSS.escape(name)}"]`);
const links = () => [...days.querySelectorAll(".tile > a")];

async function load(address, headers = {}) {
  const answer = await fetch(address, { headers, cache: "no-store" });
  if (answer.status === 304) return null;
  if (answer.status === 401) location.reload();
  if (!answer.ok) throw new Error(String(answer.status));
  return new DOMParser().parseFromString(await answer.text(), "text/html");
}

async function look() {
  clearTimeout(timer);
  if (!document.hidden) {
    try {
      const page = await load(location.href, { "If-None-Match": version });
      if (news.dataset.lost) {
        say("");
        every = EVERY_MS;
      }
      every = page || mine.size ? EVERY_MS : Math.min(every * 1.25, MOST_MS);
      if (page) merge(page);
      for (const [name, sent] of mine) if ((sent.looks += 1) > MOST_LOOKS) forget(name);
    } catch {
      // Browsers write a line into their console for each try that fails.
      every = news.dataset.lost ? Math.min(every * 1.5, MOST_LOST_MS) : EVERY_MS;
      if (!news.dataset.lost) say("No connection; trying again.");
      news.dataset.lost = "1";
    }
  }
  timer = setTimeout(look, mine.size ? SOON_MS : every);
}

function merge(page) {
  const found = page.getElementById("days");
  version = found.dataset.version;
  local(found);
  for (const tile of tilesOf(found)) arrive(tile);
  if (!links().length && found.querySelector(".tile")) {
    days.replaceChildren(...found.childNodes);
    return;
  }
  const fresh = [];
  const left = new Set(tilesOf(found).map((tile) => tile.dataset.name));
  for (const tile of tilesOf(found)) {
    const old = tileOf(tile.dataset.name);
    if (!old) fresh.push(tile);
    else if (old.dataset.version !== tile.dataset.version) replace(old, tile);
  }
  if (!page.getElementById("older")) {
    for (const tile of tilesOf(days)) if (!left.has(tile.dataset.name)) tile.remove();
  }
  arrived = fresh.length ? page : null;
  if (fresh.some((tile) => tile.dataset.mine)) show();
  else if (fresh.length) offer(fresh.length);
  else say("");
}

// What was sent from here is in the list: its line goes.
function arrive(tile) {
  if (forget(tile.dataset.name)) tile.dataset.mine = "1";
}

function forget(name) {
  mine.get(name)?.line.remove();
  return mine.delete(name);
}

function replace(old, tile) {
  const focused = old.contains(document.activeElement);
  old.replaceWith(tile);
  if (focused) tile.querySelector("a").focus();
}

function say(text) {
  delete news.dataset.lost;
  const line = document.createElement("span");
  line.textContent = text;
  news.replaceChildren(...(text ? [line] : []));
}

function offer(count) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = `${count} new`;
  button.onclick = () => {
    show();
    scrollTo({ top: 0 });
    links()[0]?.focus({ preventScroll: true });
  };
  say("");
  news.replaceChildren(button);
}

function show() {
  if (arrived) {
    place(arrived.getElementById("days"), true);
    arrived = null;
  }
  say("");
}

// Days of another page into this one: new ones before, older ones behind what is there.
function place(found, before) {
  const sections = [...found.querySelectorAll(".day")];
  for (const section of before ? sections.reverse() : sections) {
    const own = days.querySelector(`.day[data-day="${section.dataset.day}"] .tiles`);
    const fresh = tilesOf(section).filter((tile) => !tileOf(tile.dataset.name));
    if (own && before) own.prepend(...fresh);
    else if (own) own.querySelector(".rest").before(...fresh);
    else if (fresh.length) days[before ? "prepend" : "append"](section);
  }
}

async function older(link) {
  try {
    const page = await load(link.href);
    place(page.getElementById("days"), false);
    const next = page.getElementById("older");
    if (next) link.href = next.href;
    else link.parentNode.remove();
  } catch {
    link.dataset.failed = "1"; // it is still a link
  }
}

const link = document.getElementById("older");
if (link) {
  const end = new IntersectionObserver(async (seen) => {
    if (!seen.some((entry) => entry.isIntersecting) || link.dataset.failed) return;
    end.unobserve(link); // else nothing is told where the end is still in sight after a page has come
    await older(link);
    if (link.isConnected) end.observe(link);
  }, { rootMargin: "800px" });
  end.observe(link);
}

const form = document.getElementById("upload");
if (form) {
  uploads(form, document.getElementById("sending"), document.getElementById("drop"), (name, line) => {
    mine.set(name, { line, looks: 0 });
    every = EVERY_MS;
    look();
  });
  const choose = document.getElementById("choose");
  if (choose) {
    choose.hidden = false;
    choose.onclick = () => form.elements.file.click();
    form.elements.file.addEventListener("change", () => { if (choose.isConnected) form.requestSubmit(); });
  }
}

// Arrows go from tile to tile, those up and down to the nearest of the next row.
function step(by) {
  return () => {
    const all = links();
    const at = all.indexOf(document.activeElement);
    all[at < 0 ? 0 : Math.min(Math.max(at + by, 0), all.length - 1)]?.focus();
  };
}

function row(down) {
  return () => {
    const all = links();
    const here = all.indexOf(document.activeElement);
    if (here < 0) return false;
    const middle = (box) => box.left + box.width / 2;
    const from = all[here].getBoundingClientRect();
    const beyond = all.map((each) => [each, each.getBoundingClientRect()])
      .filter(([, box]) => (down ? box.top > from.top + 40 : box.top < from.top - 40));
    const edge = down ? Math.min(...beyond.map(([, box]) => box.top)) : Math.max(...beyond.map(([, box]) => box.top));
    const next = beyond.filter(([, box]) => Math.abs(box.top - edge) < 40)
      .sort((a, b) => Math.abs(middle(a[1]) - middle(from)) - Math.abs(middle(b[1]) - middle(from)))[0];
    next?.[0].focus();
  };
}

keys({ ArrowRight: step(1), ArrowLeft: step(-1), ArrowDown: row(true), ArrowUp: row(false) });
// A picture that cannot be shown leaves its place and its words.
days.addEventListener("error", (event) => { if (event.target.tagName === "IMG") event.target.hidden = true; }, true);
for (const image of days.querySelectorAll("img")) if (image.complete && !image.naturalWidth && image.currentSrc) image.hidden = true;
for (const box of document.querySelectorAll(".filter")) {
  box.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    box.open = false;
    box.querySelector("summary").focus();
  });
}
document.addEventListener("visibilitychange", () => {
  every = EVERY_MS;
  if (!document.hidden) look();
});
if (!new URL(location.href).searchParams.has("cursor")) timer = setTimeout(look, EVERY_MS);
document.documentElement.dataset.ready = "1";
