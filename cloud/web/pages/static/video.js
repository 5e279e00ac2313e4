// A video with its overlay on a canvas, the lanes of its timeline, and counts that follow the playhead.
import { Choice } from "./choice.js";
import { Frames } from "./frames.js";

const GREY = ["#9aa6ae", "#000000"];

/** Makes a video's stage live. Returns what of it is chosen. */
export function video(stage, data) {
  const media = document.getElementById("media");
  const canvas = document.getElementById("paint");
  const frames = new Frames();
  const tracks = new Map(data.tracks.map((row) => [row[0], row]));
  const choice = new Choice(() => follow());
  const move = lanes(media, data);

  function follow() {
    const time = media.currentTime;
    if (canvas) draw(canvas, media, frames.at(time), choice, data, tracks);
    counts(time);
    move(time);
  }

  function counts(time) {
    if (media.currentTime || !media.paused) {
      const now = new Map();
      for (const [, label, start, end] of data.tracks) {
        if (start <= time && time <= end) now.set(label, (now.get(label) ?? 0) + 1);
      }
      choice.tell(now);
      zones(data, time);
      spans(data.spans, time);
    }
  }

  const each = () => {
    follow();
    if (media.requestVideoFrameCallback) media.requestVideoFrameCallback(each);
  };
  if (media.requestVideoFrameCallback) media.requestVideoFrameCallback(each);
  for (const name of ["timeupdate", "seeked", "loadeddata"]) media.addEventListener(name, follow);
  new ResizeObserver(follow).observe(stage);
  if (data.frames) frames.read(data.frames, follow).catch(() => tell("What was found in the frames cannot be had; the timeline can."));
  const failed = () => {
    if (!data.instead || media.src === new URL(data.instead, location.href).href) {
      tell("This browser does not play the video; it is among the files.");
      return;
    }
    tell("This browser does not play the original: this is the annotated video.");
    canvas?.remove();
    media.src = data.instead;
  };
  media.addEventListener("error", failed);
  if (media.error) failed(); // before this script was here
  return choice;
}

function tell(text) {
  const place = document.getElementById("trouble");
  place.textContent = text;
  place.hidden = false;
}

function draw(canvas, media, items, choice, data, tracks) {
  const [width, height] = [media.videoWidth || data.size[0], media.videoHeight || data.size[1]];
  const pen = canvas.getContext("2d");
  if (!width || choice.off) {
    pen.clearRect(0, 0, canvas.width, canvas.height);
    return;
  }
  const shown = Math.min(canvas.clientWidth / width, canvas.clientHeight / height) * devicePixelRatio;
  const [w, h] = [Math.round(width * shown), Math.round(height * shown)];
  if (canvas.width !== w || canvas.height !== h) [canvas.width, canvas.height] = [w, h];
  pen.clearRect(0, 0, w, h);
  const scale = w / (data.size[0] || width);
  const line = devicePixelRatio * 2;
  pen.font = `${13 * devicePixelRatio}px system-ui, sans-serif`;
  for (const item of items) {
    if (!choice.shows(item.label, item.score ?? 1, data.thresholds[item.step] ?? 0)) continue;
    const known = tracks.get(item.track);
    const [fill, ink] = known ? known.slice(4) : data.labels[item.label] ?? GREY;
    pen.globalAlpha = choice.lit === null || choice.lit === item.label ? 1 : 0.25;
    outline(pen, item, scale, fill, line);
    for (const [step, points] of item.poses) bones(pen, points, data.skeletons[step ?? item.step], scale, line);
    plate(pen, item, scale, fill, ink);
  }
  pen.globalAlpha = 1;
}

function outline(pen, { box, corners }, scale, fill, line) {
  const [x1, y1, x2, y2] = box;
  const ends = corners ?? [[x1, y1], [x2, y1], [x2, y2], [x1, y2]];
  pen.beginPath();
  ends.forEach(([x, y], i) => pen[i ? "lineTo" : "moveTo"](x * scale, y * scale));
  pen.closePath();
  for (const [style, wide] of [["#0009", line * 2], [fill, line]]) {
    pen.strokeStyle = style;
    pen.lineWidth = wide;
    pen.stroke();
  }
}

function bones(pen, points, skeleton, scale, line) {
  if (!skeleton) return;
  const seen = (k) => points[k] && points[k].at(-1) > 0.3;
  pen.lineWidth = line;
  for (const [a, b] of skeleton.edges.filter(([a, b]) => seen(a) && seen(b))) {
    pen.strokeStyle = skeleton.colours[b];
    pen.beginPath();
    pen.moveTo(points[a][0] * scale, points[a][1] * scale);
    pen.lineTo(points[b][0] * scale, points[b][1] * scale);
    pen.stroke();
  }
  points.forEach(([x, y], k) => {
    if (!seen(k)) return;
    pen.fillStyle = skeleton.colours[k];
    pen.beginPath();
    pen.arc(x * scale, y * scale, line * 1.4, 0, 7);
    pen.fill();
  });
}

function plate(pen, { label, track, box }, scale, fill, ink) {
  const name = label.slice(0, 60).replace(/[\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, "");
  const words = track === undefined ? name : `${name} ${track}`;
  const high = 19 * devicePixelRatio;
  const wide = pen.measureText(words).width + 10 * devicePixelRatio;
  if ((box[2] - box[0]) * scale < wide * 0.75) return;
  const y = box[1] * scale >= high ? box[1] * scale - high : box[1] * scale;
  pen.fillStyle = fill;
  pen.fillRect(box[0] * scale, y, wide, high);
  pen.fillStyle = ink;
  pen.fillText(words, box[0] * scale + 5 * devicePixelRatio, y + 14 * devicePixelRatio);
}

// What has happened at each zone up to a time, and who is inside.
function zones({ events, words: told }, time) {
  for (const place of document.querySelectorAll("[data-zone]")) {
    const counts = new Map();
    for (const [at, zone, kind, direction] of events) {
      if (zone !== place.dataset.zone || at > time + 0.001) continue;
      const what = direction ? `cross_${direction}` : kind;
      counts.set(what, (counts.get(what) ?? 0) + 1);
    }
    const inside = (counts.get("enter") ?? 0) - (counts.get("exit") ?? 0);
    const words = [...counts].map(([kind, count]) => `${count} ${told[kind] ?? kind}`);
    if (counts.has("enter")) words.unshift(`${Math.max(inside, 0)} inside`);
    place.textContent = words.join(", ") || "nothing so far";
  }
}

// Lights up the names of the scenes and actions that a time is in.
function spans(all, time) {
  const now = new Set(all.filter(([start, end]) => start <= time && time <= end).map(([, , label]) => label));
  for (const row of document.querySelectorAll("#labels [data-kind=scene], #labels [data-kind=action]")) {
    row.classList.toggle("lit", now.has(row.dataset.label));
  }
}

function lanes(media, data) {
  const root = document.getElementById("lanes");
  if (!root || !data.length) return () => {};
  const head = document.getElementById("head");
  const peek = document.getElementById("peek");
  const area = () => root.querySelector("svg").getBoundingClientRect();
  const timeAt = (event) => {
    const { left, width } = area();
    return Math.min(1, Math.max(0, (event.clientX - left) / width)) * data.length;
  };
  root.addEventListener("click", (event) => { media.currentTime = timeAt(event); });
  root.addEventListener("pointermove", (event) => {
    const poster = data.posters[Math.min(data.posters.length - 1, Math.floor((timeAt(event) / data.length) * data.posters.length))];
    if (!poster || event.pointerType === "touch") return;
    if (peek.getAttribute("src") !== poster) peek.src = poster;
    peek.hidden = false;
    peek.style.left = `${Math.min(innerWidth - 170, Math.max(8, event.clientX - 80))}px`;
    peek.style.bottom = `${innerHeight - root.getBoundingClientRect().top + 8}px`;
  });
  root.addEventListener("pointerleave", () => { peek.hidden = true; });
  head.hidden = false;
  return (time) => {
    const { left, width } = area();
    const box = root.getBoundingClientRect();
    head.style.left = `${left - box.left + (width * time) / data.length}px`;
    head.style.height = `${root.scrollHeight}px`;
  };
}
