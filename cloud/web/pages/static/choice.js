// What of a result is shown: the threshold, the labels that are kept, what is pointed at. The panel's list says it.

/** Tells `redraw` when something of it changes. count(label, shown): how many of a label are there now, or null. */
export class Choice {
  constructor(redraw) {
    this.redraw = redraw;
    this.threshold = null; // each step's own
    this.only = null;
    this.lit = null;
    this.off = false;
    this.rows = [...document.querySelectorAll("#labels li[data-kind=object], #labels li[data-kind=area]")];
    this.slider = document.getElementById("threshold");
    this.at = document.getElementById("threshold-at");
    this.back = document.getElementById("analysed");
    for (const row of this.rows) this.#bind(row);
    if (this.slider) {
      document.getElementById("slide").hidden = false;
      this.start = this.slider.value;
      this.slider.addEventListener("input", () => this.#slid());
      this.back.addEventListener("click", () => this.#reset());
    }
  }

  #bind(row) {
    const link = row.querySelector("a");
    const label = row.dataset.label;
    link.setAttribute("role", "button");
    link.setAttribute("aria-pressed", "false");
    link.title = `Show only ${label}`;
    const toggle = (event) => {
      event.preventDefault();
      this.only = this.only === label ? null : label;
      for (const each of this.rows) {
        each.querySelector("a").setAttribute("aria-pressed", String(each.dataset.label === this.only));
      }
      this.redraw();
    };
    link.addEventListener("click", toggle);
    link.addEventListener("keydown", (event) => { if (event.key === " ") toggle(event); });
    for (const [name, value] of [["pointerenter", label], ["pointerleave", null], ["focus", label], ["blur", null]]) {
      link.addEventListener(name, () => this.light(value));
    }
  }

  /** Lights up a label's rows and shapes; null: none. */
  light(label) {
    if (label === this.lit) return;
    this.lit = label;
    for (const row of this.rows) row.classList.toggle("lit", row.dataset.label === label);
    this.redraw();
  }

  #slid() {
    this.threshold = Number(this.slider.value) / 100;
    this.at.value = `${this.slider.value}%`;
    this.back.hidden = false;
    this.redraw();
  }

  // Back to what each step's own threshold shows.
  #reset() {
    this.threshold = null;
    this.slider.value = this.start;
    this.at.value = `${this.start}%`;
    this.slider.focus();
    this.back.hidden = true;
    this.redraw();
  }

  /** Moves the threshold by hundredths. */
  move(by) {
    if (!this.slider) return;
    this.slider.value = Number(this.slider.value) + by;
    this.#slid();
  }

  /** Turns overlays on and off. */
  toggle() {
    this.off = !this.off;
    this.redraw();
  }

  /** Whether something is shown. own: its step's threshold. */
  shows(label, score, own) {
    return score >= (this.threshold ?? own) && (this.only === null || this.only === label);
  }

  /** Writes how many of each label are shown. */
  tell(counts) {
    for (const row of this.rows) {
      const place = row.querySelector(".count");
      const count = counts.get(row.dataset.label) ?? 0;
      if (!place.textContent && !count) continue; // an area has no count
      place.textContent = count;
      row.classList.toggle("none", !count);
    }
  }
}
