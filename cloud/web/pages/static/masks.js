// Masks and maps of a picture on a canvas, in the colours of their labels.

const MOST = 1600; // pixels on the canvas's longer side
const STRENGTH = 0.45;

/** Runs of a mask in COCO's compressed form. */
export function runs(text) {
  const out = [];
  let value = 0, shift = 0;
  for (let i = 0; i < text.length; i += 1) {
    const group = text.charCodeAt(i) - 48;
    value |= (group & 31) << shift;
    shift += 5;
    if (group & 32) continue;
    if (group & 16) value |= -1 << shift;
    out.push(out.length > 2 ? value + out[out.length - 2] : value);
    value = shift = 0;
  }
  return out;
}

// A mask as [column, first row, last row + 1, ...] of the canvas, which has every `step`th pixel.
function columns({ size: [height], counts }, step) {
  const out = [];
  let at = 0;
  (typeof counts === "string" ? runs(counts) : counts).forEach((length, i) => {
    const end = at + length;
    for (let from = at; i % 2 && from < end;) {
      const x = Math.floor(from / height);
      const to = Math.min(end, (x + 1) * height);
      if (x % step === 0) {
        out.push(x / step, Math.ceil((from - x * height) / step), Math.ceil((to - x * height) / step));
      }
      from = to;
    }
    at = end;
  });
  return out;
}

// A colour as the canvas's pixels have it.
function packed(text) {
  const parts = [1, 3, 5].map((at) => parseInt(text.slice(at, at + 2), 16));
  return new Uint32Array(Uint8Array.of(...parts, STRENGTH * 255).buffer)[0];
}

/** What is painted below the boxes. */
export class Masks {
  constructor(canvas, width, height) {
    this.step = Math.max(1, Math.ceil(Math.max(width, height) / MOST));
    canvas.width = Math.ceil(width / this.step);
    canvas.height = Math.ceil(height / this.step);
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.masks = new Map(); // by the object's id
    this.maps = [];
  }

  /** Takes the masks of a document. */
  read(document) {
    for (const step of document.steps) {
      for (const item of step.predictions) {
        if (item.mask_rle) this.masks.set(item.id, columns(item.mask_rle, this.step));
      }
    }
  }

  /** Takes a map of label ids; colours: [label, colour] by id. */
  async readMap({ address, colours }) {
    const image = new Image();
    image.src = address;
    await image.decode();
    const { width, height } = this.canvas;
    const plain = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
    plain.imageSmoothingEnabled = false;
    plain.drawImage(image, 0, 0, width, height);
    const { data } = plain.getImageData(0, 0, width, height);
    const ids = Uint8Array.from({ length: width * height }, (_, i) => data[i * 4]);
    this.maps.push({ ids, table: Object.entries(colours).map(([id, [label, tint]]) => [id, { label, tint: packed(tint) }]) });
  }

  /** Paints what is shown. shown: [id, colour] of objects; keeps(label): of maps. */
  paint(shown, keeps) {
    const { width, height } = this.canvas;
    const image = this.context.createImageData(width, height);
    const pixels = new Uint32Array(image.data.buffer);
    for (const { ids, table } of this.maps) {
      const kept = new Uint32Array(256);
      for (const [id, { label, tint }] of table) if (keeps(label)) kept[id] = tint;
      for (let i = 0; i < pixels.length; i += 1) pixels[i] = kept[ids[i]];
    }
    for (const [id, colour] of shown) {
      const cells = this.masks.get(id) ?? [];
      const tint = packed(colour);
      for (let i = 0; i < cells.length; i += 3) {
        for (let y = cells[i + 1]; y < cells[i + 2]; y += 1) pixels[y * width + cells[i]] = tint;
      }
    }
    this.context.putImageData(image, 0, 0);
  }
}
