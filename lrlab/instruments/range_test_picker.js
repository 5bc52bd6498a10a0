// The range-test picker's page: the loss over the learning rate, the advice of every rule on it, and the rate that is
// chosen. It shows what the kernel sends and sends what the learner does. range_test_picker.py describes it.

import {
  Surface, count, dot, line, linear, linearTicks, logTicks, logarithmic, short, text, upright, within, xAxis, yAxis,
} from "./canvas.js";
import { button, chip, DASHES, face, floats, h, KEYS, numberIn, tell, write } from "./controls.js";
import { drag } from "./hand.js";
import { Link, widget } from "./link.js";

// The columns of a row, one row for each rate that was tested (range_test_picker.py).
const [RATE, LOSS, SMOOTHED, WIDE] = [0, 1, 2, 3];
const FINE = 10 ** 0.02; // what one press of an arrow key multiplies the rate by: fifty to a decade
const COARSE = 10 ** 0.25; // and with Shift

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
const three = (x) => Number(x.toPrecision(3));

// ---- The picture -------------------------------------------------------------------------------------------------------

const MARGIN = { left: 52, right: 18, top: 26, bottom: 40 };

class CurvePicture {
  rows = new Float32Array(0);
  hover = null; // the rate under the pointer
  held = null; // the rate the hand has chosen, until the kernel has answered

  constructor(canvas) {
    this.canvas = canvas;
    this.surface = new Surface(canvas, (...args) => this.paint(...args));
  }

  get n() {
    return this.rows.length / WIDE;
  }

  get(row, column) {
    return this.rows[row * WIDE + column];
  }

  get frame() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    return {
      x: MARGIN.left, y: MARGIN.top, width: width - MARGIN.left - MARGIN.right, height: height - MARGIN.top - MARGIN.bottom,
    };
  }

  get x() {
    const { x, width } = this.frame;
    return logarithmic(this.state.range, [x, x + width]);
  }

  get y() {
    const { y, height } = this.frame;
    return linear(this.state.window, [y + height, y]);
  }

  get chosen() {
    return this.held ?? this.state.lr;
  }

  /** The rate under a pixel, inside the range. */
  rate(px) {
    return three(clamp(this.x.value(px), ...this.state.range));
  }

  /** The smoothed loss at a rate, between the two that were tested beside it; NaN outside. */
  lossAt(rate, column = SMOOTHED) {
    let right = 0;
    while (right < this.n && this.get(right, RATE) < rate) right++;
    if (right === this.n || (right === 0 && this.get(0, RATE) > rate * (1 + 1e-6))) return NaN;
    const left = Math.max(0, right - 1);
    const [from, to] = [this.get(left, RATE), this.get(right, RATE)];
    const share = to > from ? Math.log(rate / from) / Math.log(to / from) : 0;
    return this.get(left, column) + share * (this.get(right, column) - this.get(left, column));
  }

  paint(ctx, width, height, colour) {
    if (!this.state) return;
    const { frame, x, y } = this;
    this.axes(ctx, frame, x, y, colour);
    const at = (column) => (i) => [x(this.get(i, RATE)), y(this.get(i, column))];
    within(ctx, { clip: frame, lineJoin: "round" }, () => {
      within(ctx, { strokeStyle: colour("ghost"), lineWidth: 1 }, () => line(ctx, this.n, at(LOSS)));
      within(ctx, { strokeStyle: colour("series-0"), lineWidth: 2.25 }, () => line(ctx, this.n, at(SMOOTHED)));
    });
    this.names(ctx, frame, x, y, colour);
    const marks = this.state.suggestions.map(([rule, lr], i) => ({ rule, lr, slot: i + 1, fill: colour(`series-${i + 1}`) }));
    const labels = this.advice(ctx, frame, marks.filter(({ lr }) => lr !== null), colour);
    if (this.hover !== null && this.held === null) this.pointer(ctx, frame, colour);
    if (this.chosen !== null) this.choice(ctx, frame, colour);
    this.captions(ctx, frame, labels, colour);
  }

  axes(ctx, frame, x, y, colour) {
    const bottom = frame.y + frame.height;
    yAxis(ctx, frame, y, linearTicks(this.state.window, Math.max(2, Math.floor(frame.height / 50))), short, colour);
    xAxis(ctx, bottom + 6, x, logTicks(this.state.range, frame.width / 80), short, colour);
    within(ctx, { textAlign: "left", fillStyle: colour("muted") }, () => ctx.fillText("loss", frame.x, frame.y - 13));
    within(ctx, { textAlign: "center", textBaseline: "bottom", fillStyle: colour("muted") }, () =>
      ctx.fillText("learning rate α (log)", frame.x + frame.width / 2, bottom + MARGIN.bottom - 2));
  }

  /** What the two lines are, where they begin: there they lie apart from all advice. */
  names(ctx, frame, x, y, colour) {
    if (this.n < 8) return;
    const top = Math.max(...[0, 1, 2, 3, 4, 5, 6, 7].map((i) => this.get(i, LOSS)));
    const label = (words, fill, up) => text(ctx, words, frame.x + 6, clamp(y(top) - up, frame.y + 8, frame.y + frame.height), fill, colour("paper"));
    within(ctx, { textAlign: "left" }, () => {
      label("smoothed", colour("series-0"), 14);
      label("loss of the mini-batch", colour("muted"), 30);
    });
  }

  /** A stem from the axis to the curve for each suggestion; returns what is to be written beside it. */
  advice(ctx, frame, marks, colour) {
    const { x, y } = this;
    const bottom = frame.y + frame.height;
    const labels = marks.map(({ rule, lr, slot, fill }) => {
      const px = x(clamp(lr, ...this.state.range));
      const loss = this.lossAt(lr);
      const py = clamp(Number.isFinite(loss) ? y(loss) : frame.y, frame.y, bottom);
      within(ctx, { strokeStyle: fill, lineWidth: 1.5, dash: DASHES[slot] }, () => line(ctx, 2, (i) => [px, i ? bottom : py]));
      return { words: `${rule} ${short(lr, 2)}`, px, py, fill };
    });
    for (const { px, py, fill } of labels) dot(ctx, px, py, 4, fill, colour("paper"));
    return labels;
  }

  /** The names below the curve, where it is still high: left of their stems, one under the other. */
  captions(ctx, frame, labels, colour) {
    const bottom = frame.y + frame.height;
    labels.sort((a, b) => a.px - b.px).forEach((label, i) => (label.py = bottom - 14 - 17 * (labels.length - 1 - i)));
    for (const { words, px, py, fill } of labels) {
      const left = px - ctx.measureText(words).width - 9 > 0;
      within(ctx, { textAlign: left ? "right" : "left" }, () => text(ctx, words, px + (left ? -7 : 7), py, fill, colour("paper")));
    }
  }

  pointer(ctx, frame, colour) {
    const [px, loss] = [this.x(this.hover), this.lossAt(this.hover)];
    upright(ctx, px, frame.y, frame.y + frame.height, { strokeStyle: colour("muted") });
    const words = Number.isFinite(loss) ? `α ${short(this.hover)}, loss ${short(loss)}` : `α ${short(this.hover)}`;
    this.label(ctx, frame, px, frame.y + 9, words, colour("muted"), colour);
  }

  /** The chosen rate: a line through the picture with a handle at the axis. */
  choice(ctx, frame, colour) {
    const px = this.x(clamp(this.chosen, ...this.state.range));
    const bottom = frame.y + frame.height;
    const focused = document.activeElement === this.canvas;
    within(ctx, { strokeStyle: colour(focused ? "accent" : "ink"), lineWidth: 2 }, () => line(ctx, 2, (i) => [px, i ? bottom : frame.y]));
    within(ctx, { fillStyle: colour(focused ? "accent" : "ink"), strokeStyle: colour("paper"), lineWidth: 1.5 }, () => {
      const size = focused ? 9 : 7;
      ctx.beginPath();
      ctx.moveTo(px, bottom - size);
      ctx.lineTo(px + size, bottom + size * 0.7);
      ctx.lineTo(px - size, bottom + size * 0.7);
      ctx.closePath();
      ctx.fill();
      ctx.stroke();
    });
    const loss = this.lossAt(this.chosen);
    if (Number.isFinite(loss)) dot(ctx, px, clamp(this.y(loss), frame.y, bottom), 5.5, colour(focused ? "accent" : "ink"), colour("paper"));
    within(ctx, { font: `600 12px ${colour("font")}` }, () =>
      this.label(ctx, frame, px, frame.y - 13, `α ${short(this.chosen)}`, colour(focused ? "accent" : "ink"), colour, "center"));
  }

  label(ctx, frame, px, py, words, fill, colour, align) {
    const right = px < frame.x + frame.width / 2;
    const away = align ? 0 : right ? 8 : -8;
    const half = align ? ctx.measureText(words).width / 2 : 0;
    const place = clamp(px + away, frame.x + half, frame.x + frame.width - half);
    within(ctx, { textAlign: align ?? (right ? "left" : "right") }, () => text(ctx, words, place, py, fill, colour("paper")));
  }
}

// ---- The whole instrument ------------------------------------------------------------------------------------------------

class PickerPage {
  constructor(model, el) {
    this.build(el);
    this.link = new Link(model, (message, buffers) => this.news(message, buffers), this.root);
  }

  build(el) {
    this.about = h("span", { class: "about" });
    this.steps = h("span", { class: "step" });
    this.canvas = h("canvas", { role: "img", tabindex: 0, "aria-label": "Range test", ...KEYS });
    this.picture = new CurvePicture(this.canvas);
    this.go = button("start", "Make the range test", () => this.link.ask({ do: this.state.running ? "pause" : "start" }));
    this.field = h("input", {
      type: "text", inputmode: "decimal", "aria-label": "chosen learning rate", autocomplete: "off", spellcheck: "false",
      onchange: () => this.typed(), onkeydown: (event) => this.onFieldKey(event), ...KEYS,
    });
    this.train = button("train with this", "Train a branch of the run at the chosen rate, below", () => this.link.ask({ do: "train" }));
    this.train.classList.add("train");
    this.advice = h("div", { class: "advice", role: "radiogroup", "aria-label": "advice" });
    this.note = h("p", { class: "note" });
    this.voice = h("div", { class: "voice", "aria-live": "polite" });
    this.root = h("section", { class: "lrlab picker", "aria-label": "Range test" },
      h("header", {}, h("strong", {}, "Range test"), this.about, h("span", { class: "numbers" }, this.steps)),
      h("div", { class: "bar" }, h("div", {}, this.go),
        h("label", { class: "chosen" }, h("span", { "aria-hidden": "true" }, "chosen rate α"), this.field, this.train)),
      this.canvas, this.advice, h("footer", {}, this.note), this.voice);
    this.listen();
    el.append(this.root);
  }

  // -- what comes from the kernel

  news({ state, fresh }, buffers) {
    if (!fresh && !this.state) return; // part of a story whose beginning is still on its way
    const before = this.state;
    this.state = this.picture.state = state;
    if (buffers.length) this.picture.rows = floats(buffers[0]);
    if (!this.link.behind && !this.dragging) this.picture.held = null;
    this.show();
    if (before?.running && !state.running) this.say(this.summary());
    this.picture.surface.redraw();
  }

  show() {
    const { state } = this;
    this.root.dataset.status = state.running ? "running" : "resting";
    write(this.about, state.title);
    write(this.steps, `rate ${count(state.step)} of ${count(state.steps)}`);
    if (state.running) face(this.go, "stop");
    else face(this.go, ...(state.step ? ["again", "reset"] : ["start", "play"]));
    this.train.disabled = state.lr === null || state.running;
    this.field.disabled = state.running;
    this.showField();
    this.showAdvice();
    this.showNote();
    this.canvas.setAttribute("aria-label", this.summary());
  }

  showField() {
    if (document.activeElement === this.field && this.field.value !== this.field.dataset.shown) return; // being typed
    const { chosen } = this.picture;
    this.field.value = this.field.dataset.shown = chosen === null ? "" : short(chosen);
  }

  /** A chip for each rule, with its number; it also explains the colours of the marks. */
  showAdvice() {
    const { suggestions, chosen, running } = this.state;
    if (!this.advice.children.length) {
      this.advice.replaceChildren(...suggestions.map(([rule], i) =>
        chip(rule, i + 1, `advice ${this.link.name}`, () => this.link.ask({ do: "choose", lr: rule }, "choice"))));
    }
    suggestions.forEach(([rule, lr], i) => {
      const node = this.advice.children[i];
      const [input, , name] = node.children;
      input.disabled = lr === null;
      input.checked = rule === chosen;
      const words = lr === null ? (running || !this.state.step ? "" : "none") : short(lr, 2);
      write(name, words ? `${rule} ${words}` : rule);
      input.setAttribute("aria-label", words ? `${rule} ${words}` : rule);
    });
  }

  showNote() {
    const { error, problem, reasons, step, running, training, ending, lr } = this.state;
    const hint = step ? "Click on the curve, or focus it and use ←  → (Shift: coarse, ↑  ↓: from suggestion to suggestion)." :
      "Start: the rate is raised at every step, on a copy of the run that is thrown away.";
    const none = Object.entries(reasons).map(([rules, reason]) => `${rules}: ${reason}.`).join(" ");
    const over = ending ? `The test is ${ending}.` : "";
    tell(this.note, { error, problem }, [over, none || (training ? `Training below: ${training}.` : running ? "" : hint)].filter(Boolean).join(" "));
    this.note.title = lr === null ? "" : hint;
  }

  /** The state in one sentence: the picture's text, and what is announced at the end of the test. */
  summary() {
    const { state } = this;
    const words = [`Range test, ${state.title}: ${state.running ? "at" : "after"} rate ${count(state.step)} of ${count(state.steps)}`];
    if (state.ending) words.push(state.ending);
    if (state.story) words.push(state.story);
    const given = state.suggestions.filter(([, lr]) => lr !== null).map(([rule, lr]) => `${rule} ${short(lr, 2)}`);
    if (given.length) words.push(`suggestions: ${given.join(", ")}`);
    for (const [rules, reason] of Object.entries(state.reasons)) words.push(`no advice from ${rules}: ${reason}`);
    if (state.lr !== null) words.push(`chosen ${short(state.lr)}`);
    return words.join("; ");
  }

  say(words) {
    this.voice.textContent = words;
  }

  // -- what the learner does

  /** Choose a rate. The mark moves under the hand at once. */
  choose(rate) {
    if (this.state.running) return;
    this.picture.held = rate;
    this.link.ask({ do: "choose", lr: rate }, "choice");
    this.showField();
    this.picture.surface.redraw();
  }

  typed() {
    const words = this.field.value.trim();
    const number = numberIn(words);
    // What is no number goes to the kernel as it is: its error says what is allowed.
    this.link.ask({ do: "typed", lr: Number.isNaN(number) ? words : number }, "choice");
  }

  onFieldKey(event) {
    if (event.key === "Enter") event.preventDefault(), this.typed();
    if (event.key === "Escape") (this.field.value = this.field.dataset.shown), this.field.blur();
  }

  listen() {
    const { canvas, picture } = this;
    drag(canvas, {
      may: () => this.state?.step,
      hold: (held) => {
        this.dragging = held;
        if (held) canvas.focus({ preventScroll: true }); // a number still in the field is taken before this choice, not after it
      },
      move: (event) => this.choose(picture.rate(event.offsetX)),
    });
    canvas.addEventListener("pointermove", (event) => this.state && !this.dragging && this.look(picture.rate(event.offsetX)));
    canvas.addEventListener("pointerleave", () => this.look(null));
    canvas.addEventListener("keydown", (event) => this.onKey(event));
  }

  look(rate) {
    this.picture.hover = rate;
    this.picture.surface.redraw();
  }

  onKey(event) {
    if (!this.state?.step || this.state.running) return;
    const by = event.shiftKey ? COARSE : FINE;
    const [low, high] = this.state.range;
    const at = this.picture.chosen ?? Math.sqrt(low * high);
    const goal = {
      ArrowLeft: () => at / by, ArrowRight: () => at * by, Home: () => low, End: () => high,
      ArrowUp: () => this.neighbour(at, 1), ArrowDown: () => this.neighbour(at, -1),
    }[event.key]?.();
    if (goal === undefined) return;
    event.preventDefault();
    if (typeof goal === "number") this.choose(three(clamp(goal, low, high)));
    this.say(this.spoken());
  }

  /** Choose the next suggestion above or below a rate; it is taken by its name, so that it is exact. */
  neighbour(at, way) {
    const beyond = this.state.suggestions.filter(([, lr]) => lr !== null && way * Math.log(lr / at) > 1e-3);
    if (!beyond.length) return null;
    const [rule, lr] = beyond.reduce((best, it) => (way * (it[1] - best[1]) < 0 ? it : best));
    this.picture.held = lr;
    this.link.ask({ do: "choose", lr: rule }, "choice");
    this.showField();
    this.picture.surface.redraw();
    return null;
  }

  spoken() {
    const { chosen } = this.picture;
    const rule = this.state.suggestions.find(([, lr]) => lr !== null && Math.abs(Math.log(lr / chosen)) < 1e-9)?.[0];
    const loss = this.picture.lossAt(chosen);
    return `${rule ? `${rule}, ` : ""}learning rate ${short(chosen)}${Number.isFinite(loss) ? `, loss ${short(loss)}` : ""}`;
  }

  dispose() {
    this.link.dispose();
    this.picture.surface.dispose();
  }
}

export default widget(PickerPage);
