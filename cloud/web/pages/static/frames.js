// What the analysed frames of a video show, from frames.jsonl, read in ranges.

const CHUNK = 1 << 20;

/** Frames in the order of their times. */
export class Frames {
  constructor() {
    this.times = [];
    this.items = [];
  }

  /** Reads them all; `grown` is called after each range. */
  async read(address, grown) {
    const decoder = new TextDecoder();
    let rest = "";
    for (let at = 0, total = Infinity; at < total;) {
      const answer = await fetch(address, { headers: { Range: `bytes=${at}-${at + CHUNK - 1}` } });
      if (answer.status === 416) break;
      if (!answer.ok) throw new Error(String(answer.status));
      const bytes = await answer.arrayBuffer();
      total = answer.status === 206 ? Number(answer.headers.get("Content-Range").split("/")[1]) : bytes.byteLength;
      at += bytes.byteLength;
      const lines = (rest + decoder.decode(bytes, { stream: true })).split("\n");
      rest = lines.pop();
      lines.forEach((line) => this.#add(line));
      grown();
    }
    this.#add(rest);
    grown();
  }

  #add(line) {
    if (!line.trim()) return;
    const { t_s, predictions } = JSON.parse(line);
    const items = [];
    for (const [step, found] of Object.entries(predictions)) {
      for (const item of found) if (item.box) items.push({ ...flat(item), step });
    }
    this.times.push(t_s);
    this.items.push(items);
  }

  /** What the last analysed frame at or before a time shows; nothing is made up in between. */
  at(time) {
    let low = 0, high = this.times.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.times[middle] <= time + 0.001) low = middle + 1;
      else high = middle;
    }
    return low ? this.items[low - 1] : [];
  }
}

function flat({ label, score, box, track, corners, keypoints, attributes }) {
  const poses = keypoints ? [[null, keypoints]] : [];
  for (const [step, rows] of Object.entries(attributes ?? {})) {
    for (const row of Array.isArray(rows) ? rows : []) if (row.keypoints) poses.push([step, row.keypoints]);
  }
  return { label, score, box, track, corners, poses };
}
