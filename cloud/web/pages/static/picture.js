// A picture's overlay: what is shown of it, names that keep their size, masks; zoom by wheel, pinch and double click.
import { Choice } from "./choice.js";
import { Masks } from "./masks.js";

const MOST_ZOOM = 16;

/** Makes a picture's stage live. Returns what of it is chosen. */
export function picture(stage, data) {
  const svg = document.getElementById("overlay");
  const fit = document.getElementById("fit");
  zoom(stage, fit);
  if (!svg) return null;
  const shapes = read(svg);
  const { width, height } = svg.viewBox.baseVal;
  const paint = document.getElementById("paint");
  const masks = data.document || data.maps?.length ? new Masks(paint, width, height) : null;
  const choice = new Choice(redraw);

  function redraw() {
    const counts = new Map();
    for (const each of shapes) {
      const shown = choice.shows(each.label, each.score, each.own);
      if (shown) counts.set(each.label, (counts.get(each.label) ?? 0) + 1);
      for (const part of [each.box, each.plate]) {
        part.classList.toggle("out", !shown);
        part.classList.toggle("lit", each.label === choice.lit);
      }
      each.shown = shown;
    }
    svg.classList.toggle("lighting", choice.lit !== null);
    svg.classList.toggle("off", choice.off);
    paint.classList.toggle("off", choice.off);
    choice.tell(counts);
    const painted = shapes.filter((each) => each.shown && (choice.lit === null || each.label === choice.lit));
    masks?.paint(painted.map((each) => [each.id, each.colour]), (label) => choice.shows(label, 1, 0));
  }

  function size() {
    const scale = 1 / (svg.getScreenCTM()?.a || 1);
    for (const each of shapes) {
      const { x, y, width: across, height: tall } = each.at;
      const high = 19 * scale;
      each.plate.setAttribute("transform", `translate(${x} ${y >= high ? y - high : y}) scale(${scale})`);
      each.plate.classList.toggle("small", across < each.wide * scale * 0.75 || tall < high);
    }
  }

  for (const each of shapes) {
    each.wide = Math.ceil(each.plate.querySelector("text").getComputedTextLength()) + 10;
    each.plate.querySelector("rect").setAttribute("width", each.wide);
    each.box.addEventListener("pointerenter", () => { each.plate.classList.add("lit"); choice.light(each.label); });
    each.box.addEventListener("pointerleave", () => choice.light(null));
  }
  new ResizeObserver(size).observe(svg);
  size();
  redraw();
  load(masks, data, redraw);
  return choice;
}

async function load(masks, data, redraw) {
  if (!masks) return;
  try {
    if (data.document) masks.read(await (await fetch(data.document)).json());
    for (const map of data.maps) await masks.readMap(map);
    redraw();
  } catch (error) {
    console.warn("masks cannot be had", error);
  }
}

function read(svg) {
  const plates = svg.querySelectorAll(".plate");
  return [...svg.querySelectorAll(".o")].map((box, i) => ({
    box,
    plate: plates[i],
    id: box.dataset.id,
    label: box.dataset.label,
    score: Number(box.dataset.score),
    own: Number(box.dataset.threshold),
    colour: box.getAttribute("stroke"),
    at: box.querySelector(".box").getBBox(),
  }));
}

// The stage's content is made larger and moved; what is drawn stays sharp, as nothing is scaled as pixels.
function zoom(stage, fit) {
  const at = { scale: 1, x: 0, y: 0 };
  const fingers = new Map();
  const apply = () => {
    const least = (size) => size * (1 - at.scale);
    at.x = Math.min(0, Math.max(least(stage.clientWidth), at.x));
    at.y = Math.min(0, Math.max(least(stage.clientHeight), at.y));
    fit.style.width = fit.style.height = `${100 * at.scale}%`;
    fit.style.left = `${at.x}px`;
    fit.style.top = `${at.y}px`;
    stage.classList.toggle("near", at.scale > 1);
  };
  const to = (scale, x, y) => {
    const next = Math.min(MOST_ZOOM, Math.max(1, scale));
    at.x = x - ((x - at.x) * next) / at.scale;
    at.y = y - ((y - at.y) * next) / at.scale;
    at.scale = next;
    apply();
  };
  const place = (event) => {
    const box = stage.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  stage.addEventListener("wheel", (event) => {
    event.preventDefault();
    to(at.scale * Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.002)), ...place(event));
  }, { passive: false });
  stage.addEventListener("dblclick", () => to(1, 0, 0));
  stage.addEventListener("pointerdown", (event) => fingers.set(event.pointerId, place(event)));
  for (const name of ["pointerup", "pointercancel", "pointerleave"]) {
    stage.addEventListener(name, (event) => fingers.delete(event.pointerId));
  }
  stage.addEventListener("pointermove", (event) => {
    const before = fingers.get(event.pointerId);
    if (!before) return;
    const now = place(event);
    const other = [...fingers].find(([id]) => id !== event.pointerId)?.[1];
    if (other) {
      const apart = (a, b) => Math.hypot(a[0] - b[0], a[1] - b[1]) || 1;
      to(at.scale * apart(now, other) / apart(before, other), (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
    } else if (at.scale > 1) {
      at.x += now[0] - before[0];
      at.y += now[1] - before[1];
      apply();
    }
    fingers.set(event.pointerId, now);
  });
  stage.addEventListener("dragstart", (event) => event.preventDefault());
}
