// The page of one upload.
import { follow, keys } from "./keys.js";
import { local } from "./times.js";

const MOST_SHOWN = 400_000;
const stage = document.getElementById("stage");
const data = JSON.parse(document.getElementById("data")?.textContent || "{}");
const kind = stage?.dataset.kind;
const media = document.getElementById("media");
let choice = null;

if (kind === "compare") {
  const handle = document.getElementById("handle");
  stage.classList.add("live");
  handle.hidden = false;
  handle.addEventListener("input", () => stage.style.setProperty("--at", `${handle.value}%`));
}

const raw = document.getElementById("raw");
let text = "";
async function openRaw() {
  if (text || !raw.open) return;
  const shown = raw.querySelector("pre");
  shown.hidden = false;
  try {
    text = JSON.stringify(await (await fetch(raw.dataset.address)).json(), null, 2);
    shown.textContent = text.length > MOST_SHOWN ? `${text.slice(0, MOST_SHOWN)}\n… the rest is in the file` : text;
    document.getElementById("copy").hidden = false;
  } catch {
    shown.textContent = "The document cannot be had; try again.";
  }
}
raw?.addEventListener("toggle", openRaw);
document.getElementById("copy")?.addEventListener("click", async () => {
  await navigator.clipboard.writeText(text);
  document.getElementById("copied").textContent = "Copied";
});

// Looked for when the page itself is there; without an answer the link to it stays.
const similar = document.getElementById("similar");
async function showSimilar() {
  try {
    const answer = await fetch(similar.dataset.address);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const found = page.getElementById("near");
    if (found) similar.querySelector("p").replaceWith(found);
  } catch {
    similar.classList.add("quiet");
  }
}
if (similar) showSimilar();

keys({
  ArrowLeft: follow("newer"),
  ArrowRight: follow("older"),
  Escape: follow("list"),
  "[": () => choice?.move(-5),
  "]": () => choice?.move(5),
  o: () => choice?.toggle(),
  j: () => {
    if (!raw) return;
    raw.open = !raw.open;
    raw.scrollIntoView({ block: "nearest" });
  },
  " ": () => {
    if (kind !== "video") return false;
    if (media.paused) media.play();
    else media.pause();
    return true;
  },
});

// What waits or is at work is looked at again, until it is something else.
const pending = document.getElementById("pending");
if (pending?.dataset.live) {
  const lost = document.getElementById("lost");
  setInterval(async () => {
    if (document.hidden) return;
    try {
      const answer = await fetch(location.href, { cache: "no-store" });
      lost.textContent = "";
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const now = page.getElementById("pending");
      if (now?.dataset.state !== pending.dataset.state) location.reload();
      else document.getElementById("said").replaceWith(now.querySelector("#said"));
      local(pending);
    } catch {
      lost.textContent = "No connection; trying again.";
    }
  }, 3000);
}

if (kind === "picture") choice = (await import("./picture.js")).picture(stage, data);
if (kind === "video") choice = (await import("./video.js")).video(stage, data);
document.documentElement.dataset.ready = "1";
