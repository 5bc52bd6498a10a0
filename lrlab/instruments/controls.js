// What the instruments' pages share besides the drawing core: controls that keep Jupyter's shortcuts away from their
// keys, the line styles of the curves, and the bytes of a message.

import { short } from "./canvas.js";

/** One dash for each colour of the theme: the curves differ in grey as well. */
export const DASHES = [[], [9, 3], [4, 2], [9, 3, 2, 3], [14, 3], [2, 2], [2, 4]];

/** An element with attributes and children. */
export function h(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children);
  return node;
}

/** The number in a typed text; NaN if there is none. Commas part thousands only: 1,000 is a number, and 0,05 is not 5. */
export function numberIn(typed) {
  if (typed === "") return NaN;
  return Number(/^[1-9]\d{0,2}(,\d{3})+$/.test(typed) ? typed.replace(/,/g, "") : typed);
}

// Jupyter's own shortcuts must leave the keys of a control alone; it looks for this on the control itself.
export const KEYS = { "data-lm-suppress-shortcuts": "true" };

// Icons on a 16 x 16 grid.
const ICONS = {
  play: "M4 2.5v11l9.5-5.5z",
  pause: "M3.5 2.5h3v11h-3zM9.5 2.5h3v11h-3z",
  step: "M3 2.5v11L10 8zM11 2.5h2.5v11H11z",
  rewind: "M8 2.5v11L1.5 8zM14.5 2.5v11L8 8z",
  branch: "M3.5 1.5h2v5.2c1-1 2.4-1.5 5-1.9V2L15 6l-4.5 4V7.200C7 7.700 5.500 8.600 5.500 11v3.500h-2z",
  reset: "M8 2.500a5.500 5.500 0 1 0 5.400 6.500h-2.100A3.500 3.500 0 1 1 8 4.500c1 0 1.800.4 2.500 1L8.500 7.500H14V2l-2 2A5.500 5.500 0 0 0 8 2.500z",
  stop: "M3 3h10v10H3z",
  draw: "M2 14l1-4 8-8 3 3-8 8zM3.600 12.400l1.400-.4-1-1z",
};

export function icon(name) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  const path = document.createElementNS(space, "path");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("aria-hidden", "true");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

export function button(name, title, onclick) {
  const face = ICONS[name] ? [icon(name)] : [];
  return h("button", { type: "button", title, onclick, ...KEYS }, ...face, h("span", {}, name));
}

/** Give a button another icon and name; one that has them is left alone. */
export function face(node, name, image = name) {
  if (node.dataset.face === name) return;
  node.dataset.face = name;
  node.replaceChildren(icon(image), h("span", {}, name));
}

export function select(label, onchange) {
  const node = h("select", { "aria-label": label, onchange, ...KEYS });
  return { node, box: h("label", { class: "choice" }, h("span", { "aria-hidden": "true" }, label), node) };
}

/** One of several curves to choose from: a radio button that looks like a sample of its line and its name. */
export function chip(name, slot, group, onchange) {
  const input = h("input", { type: "radio", name: group, "aria-label": name, onchange, ...KEYS });
  const space = "http://www.w3.org/2000/svg";
  const sample = document.createElementNS(space, "svg");
  const stroke = document.createElementNS(space, "line");
  const set = (node, values) => Object.entries(values).forEach(([key, value]) => node.setAttribute(key, value));
  set(sample, { viewBox: "0 0 34 10", "aria-hidden": "true" });
  set(stroke, { x1: 1, y1: 5, x2: 33, y2: 5, "stroke-width": 2.25, "stroke-dasharray": DASHES[slot].join(" ") });
  sample.append(stroke);
  const node = h("label", { class: "chip" }, input, sample, h("span", { "aria-hidden": "true" }, name), h("em", {}));
  node.style.setProperty("--own", `var(--lrlab-series-${slot})`);
  return node;
}

/** Make a select offer `options` ([value, words] each) and show `value`; it is rebuilt only when they change. */
export function offer(node, options, value) {
  const key = JSON.stringify(options);
  if (node.dataset.options !== key) {
    node.replaceChildren(...options.map(([value, words]) => h("option", { value }, words)));
    node.dataset.options = key;
  }
  if (document.activeElement !== node) node.value = value;
}

// How a slider's position becomes a value. `zero` marks scales whose lowest position means exactly 0.
const KNOB_SCALES = {
  log: { position: Math.log10, value: (p) => Number((10 ** p).toPrecision(3)), step: 0.05 },
  zero: { position: Math.log10, value: (p) => Number((10 ** p).toPrecision(3)), step: 0.05, zero: true },
  fraction: { position: (v) => -Math.log10(1 - v), value: (p) => 1 - Number((10 ** -p).toPrecision(3)), step: 0.05 },
  power: { position: Math.log2, value: (p) => Math.round(2 ** p), step: 1 },
  share: { position: (v) => v, value: (p) => Number(p.toFixed(2)), step: 0.01 },
  whole: { position: (v) => v, value: Math.round, step: 1 },
};

/** One knob: its name, a slider and a field for the exact number. `turn(value)` is called with what was chosen. */
export class Knob {
  constructor({ name, label, scale, low, high }, turn) {
    this.scale = KNOB_SCALES[scale];
    this.low = this.scale && this.scale.zero ? this.scale.position(low) - this.scale.step : this.scale?.position(low);
    this.turn = turn;
    this.field = h("input", {
      type: "text", inputmode: "decimal", size: 8, "aria-label": `${label}, number`, autocomplete: "off", spellcheck: "false",
      onchange: () => this.commit(), onkeydown: (event) => this.onKey(event), ...KEYS,
    });
    this.slider = this.scale && h("input", {
      type: "range", "aria-label": label, min: this.low, max: this.scale.position(high), step: this.scale.step,
      oninput: () => this.slide(), ...KEYS,
    });
    const parts = this.slider ? [this.slider, this.field] : [this.field];
    this.node = h("div", { class: `knob ${name === "lr" ? "wide" : ""}`, "data-knob": name }, h("span", { "aria-hidden": "true" }, label), ...parts);
  }

  get value() {
    const position = Number(this.slider.value);
    if (this.scale.zero && position <= this.low + 1e-9) return 0;
    return this.scale.value(position);
  }

  slide() {
    const value = this.value;
    this.write(value);
    this.turn(value, true);
  }

  commit() {
    const typed = this.field.value.trim();
    const number = numberIn(typed);
    // What is no number goes to the kernel as it is: its error says what is allowed.
    this.turn(Number.isNaN(number) ? typed : number, false);
  }

  onKey(event) {
    if (event.key === "Enter") event.preventDefault(), this.commit();
    if (event.key === "Escape") this.write(this.shown), this.field.blur();
  }

  /** Show a value that came from the kernel, unless the learner is typing here. */
  show(value) {
    this.shown = value;
    if (this.slider) {
      const position = this.scale.position(value);
      this.slider.value = Number.isFinite(position) ? position : this.low; // the logarithm of 0
    }
    this.write(value, document.activeElement === this.field && this.field.value !== this.field.dataset.shown);
  }

  write(value, typing = false) {
    const words = short(value, 4);
    this.slider?.setAttribute("aria-valuetext", short(value));
    if (typing) return;
    this.field.value = this.field.dataset.shown = words;
  }
}

/** A row of knobs, made anew only when others are wanted. `turn(name, value)` is called with what was chosen. */
export class Knobs {
  constructor(turn) {
    this.turn = turn;
    this.node = h("div", { class: "knobs" });
  }

  make(knob) {
    return new Knob(knob, (value) => this.turn(knob.name, value));
  }

  /** Show these knobs, and their values unless the kernel is `behind`: an old one must not pull a slider from the hand. */
  show(knobs, behind, key = "") {
    const layout = JSON.stringify([key, knobs.map(({ value, ...rest }) => rest)]);
    if (this.layout !== layout) {
      this.layout = layout;
      const held = this.held;
      this.controls = knobs.map((knob) => this.make(knob));
      this.node.replaceChildren(...this.controls.map((control) => control.node));
      if (held) (this.node.querySelector(held) ?? this.instead)?.focus(); // who was turning a knob goes on turning it
    }
    if (!behind) knobs.forEach(({ value }, i) => this.controls[i].show(value));
  }

  /** What is focused now, as a selector; null if it is none of the knobs. */
  get held() {
    const { activeElement } = document;
    if (!this.node.contains(activeElement)) return null;
    return `[data-knob="${activeElement.closest("[data-knob]").dataset.knob}"] input[type="${activeElement.type}"]`;
  }
}

/** The bytes of a message as numbers; they may start anywhere in a larger buffer, which Float32Array does not allow. */
export const floats = (view) => new Float32Array(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength));

/** Change an element's words only when they differ, so that a selection in them survives. */
export function write(node, words) {
  if (node.textContent !== words) node.textContent = words;
}

/** The line below an instrument: what has gone wrong, read aloud at once, or else a hint. */
export function tell(node, { error = "", problem = "" }, hint) {
  const trouble = error || problem;
  node.className = `note ${error ? "error" : problem ? "problem" : ""}`;
  if (trouble) node.setAttribute("role", "alert");
  else node.removeAttribute("role");
  write(node, trouble || hint);
}
