// The transfer view's page: layer groups as bars with a slider each, the curves of the run, and its first filters.
// It keeps no state of its own; transfer_view.py describes the messages.

import {
  Surface, accuracy, alike, count, cut, dot, hatch, line, linear, linearTicks, logTicks, logarithmic, percent, roomFor,
  short, spread, tag, text, upright, within, xAxis, yAxis,
} from "./canvas.js";
import { KEYS, Knob, Knobs, button, face, floats, h, tell, write } from "./controls.js";
import { lookAlong } from "./hand.js";
import { Link, calm, widget } from "./link.js";
import { ACCURACY, NINES, SMOOTH, Track, bestTick, lossDomain } from "./track.js";

const [RATE, MOVED, RIGHT] = ["series-0", "series-1", "series-2"]; // the colours of rates and loss, of change, of accuracy

// ---- The layer groups as bars ----------------------------------------------------------------------------------------

const ROW = 30; // as in transfer_view.css
const HEAD = 36;
const [LEAST, MOST] = [1e-4, 1e3]; // the ends of the bars of what has moved; a run that diverges has moved beyond

class BarsPicture {
  constructor(canvas) {
    this.canvas = canvas;
    this.surface = new Surface(canvas, (...args) => this.paint(...args));
  }

  paint(ctx, width, height, colour) {
    if (!this.state) return;
    // In a narrow column the canvas stands under the rows, not beside them, and so says whose the bars are.
    const below = this.canvas.clientWidth > this.canvas.parentNode.clientWidth - 12;
    const left = below ? 66 : 14;
    const high = ROW * this.state.groups.length;
    const rates = { x: left, y: HEAD, width: Math.round((width - left) * (below ? 0.5 : 0.58)), height: high };
    const moved = { ...rates, x: left + rates.width + 44, width: width - left - rates.width - 44 - 20 };
    if (below) this.names(ctx, left, colour);
    this.rates(ctx, rates, colour);
    this.moved(ctx, moved, colour);
  }

  names(ctx, left, colour) {
    within(ctx, { textAlign: "left", fillStyle: colour("ink") }, () =>
      this.state.groups.forEach(({ name }, i) => ctx.fillText(cut(ctx, name, left - 12), 0, HEAD + (i + 0.5) * ROW)));
  }

  heading(ctx, frame, scale, ticks, format, words, colour) {
    within(ctx, { textAlign: "left", fillStyle: colour("ink") }, () => ctx.fillText(cut(ctx, words, frame.width + 20), frame.x, 8));
    within(ctx, { textAlign: "center", fillStyle: colour("muted") }, () => ticks.forEach((tick) => ctx.fillText(format(tick), scale(tick), 25)));
    within(ctx, { strokeStyle: colour("grid"), lineWidth: 1 }, () => {
      for (const tick of ticks) line(ctx, 2, (i) => [Math.round(scale(tick)) + 0.5, frame.y + i * frame.height]);
    });
  }

  rates(ctx, frame, colour) {
    const { domain, groups, base } = this.state;
    const x = logarithmic(domain, [frame.x, frame.x + frame.width]);
    const decades = Math.round(Math.log10(domain[1] / domain[0]));
    const every = Math.ceil(decades / Math.max(1, Math.floor(frame.width / 46)));
    const ticks = Array.from({ length: decades + 1 }, (_, i) => domain[0] * 10 ** i).filter((_, i) => (decades - i) % every === 0);
    this.heading(ctx, frame, x, ticks, alike(ticks), "applied learning rate", colour);
    groups.forEach((group, i) => {
      const place = { x: frame.x, y: frame.y + i * ROW + 7, width: frame.width, height: ROW - 14 };
      if (group.factor) this.rate(ctx, place, x, group, colour);
      else this.frozen(ctx, place, colour);
    });
    if (!base.value) return;
    const at = Math.round(x(base.value)) + 0.5;
    within(ctx, { strokeStyle: colour("ink"), lineWidth: 1, dash: [4, 3] }, () => line(ctx, 2, (i) => [at, frame.y + i * frame.height]));
    groups.forEach((group, i) => group.factor && this.number(ctx, frame, Math.max(x(group.rate), frame.x), i, this.words(group), colour));
  }

  rate(ctx, place, x, group, colour) {
    const end = Math.max(place.x, x(group.rate));
    within(ctx, { fillStyle: colour(RATE), globalAlpha: 0.85 }, () => ctx.fillRect(place.x, place.y, end - place.x, place.height));
  }

  /** The number beside the end of a bar; inside it where there is no room. */
  number(ctx, frame, end, i, words, colour) {
    const inside = end + ctx.measureText(words).width + 8 > frame.x + frame.width + 18;
    const y = frame.y + (i + 0.5) * ROW;
    within(ctx, { textAlign: inside ? "right" : "left" }, () => {
      if (!inside) return text(ctx, words, end + 6, y, colour("ink"), colour("paper"));
      ctx.fillStyle = colour("paper");
      return ctx.fillText(words, end - 6, y);
    });
  }

  words({ low, factor, rate }) {
    return low === factor ? short(rate) : `${short((rate * low) / factor)}–${short(rate)}`; // its parts have their own
  }

  frozen(ctx, place, colour) {
    hatch(ctx, place, colour("ghost"));
    within(ctx, { textAlign: "left" }, () => text(ctx, "frozen", place.x + 8, place.y + place.height / 2, colour("muted"), colour("paper")));
  }

  moved(ctx, frame, colour) {
    const { groups } = this.state;
    const most = Math.min(MOST, Math.max(1, ...groups.map((group) => group.moved ?? 0)));
    const x = logarithmic([LEAST, 10 ** Math.ceil(Math.log10(most) - 1e-9)], [frame.x, frame.x + frame.width]);
    const ticks = [1e-4, 1e-2, 1].filter((_, i) => frame.width > 130 || (frame.width > 90 ? i !== 1 : i === 2));
    this.heading(ctx, frame, x, ticks, (share) => `${short(100 * share)} %`, "moved", colour);
    groups.forEach(({ moved }, i) => {
      const end = moved ? Math.min(Math.max(frame.x, x(moved)), frame.x + frame.width) : frame.x;
      within(ctx, { fillStyle: colour(MOVED), globalAlpha: 0.85 }, () => ctx.fillRect(frame.x, frame.y + i * ROW + 7, end - frame.x, ROW - 14));
      this.number(ctx, frame, end - (moved ? 0 : 4), i, moved === null ? "–" : moved ? `${short(100 * moved, 2)} %` : "0 %", colour);
    });
  }
}

// ---- One group's controls --------------------------------------------------------------------------------------------

class GroupRow {
  constructor({ name, parameters, outside }, [low, high], ask) {
    this.name = name;
    this.ask = ask;
    this.label = h("span", { class: "name", title: `${name}: ${count(parameters)} parameters` }, name);
    this.knob = new Knob({ name, label: `${name} factor`, scale: "log", low, high }, (value) => ask({ do: "factor", group: name, value }, name));
    this.box = h("input", { type: "checkbox", "aria-label": `${name} frozen`, onchange: () => this.toggle(this.box.checked), ...KEYS });
    this.knob.slider.addEventListener("keydown", (event) => this.onKey(event));
    for (const control of [this.box, this.knob.slider, this.knob.field]) control.disabled = outside;
    if (outside) this.label.title += ", not trained by this run: requires_grad was off when it was made";
    this.node = h("div", { class: "group", role: "group", "aria-label": name }, this.label, this.box, this.knob.slider, this.knob.field);
  }

  toggle(frozen) {
    this.ask({ do: frozen ? "freeze" : "unfreeze", group: this.name }, this.name);
  }

  onKey(event) {
    if (event.key.toLowerCase() !== "f" || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    this.toggle(!this.box.checked);
  }

  show({ factor, last, rate }) {
    this.box.checked = !factor;
    this.node.classList.toggle("frozen", !factor);
    const { slider, field } = this.knob;
    const typing = document.activeElement === field && field.value !== field.dataset.shown;
    this.knob.show(factor || last);
    if (!factor) this.knob.write(0, typing);
    slider.setAttribute("aria-valuetext", factor ? `${short(factor)}, rate ${short(rate)}` : `frozen, last ${short(last)}`);
  }
}

// ---- The curves of the run -------------------------------------------------------------------------------------------

const CURVES = { left: 60, right: 62, top: 20, gap: 24, axis: 22 };

class CurvesPicture {
  curves = [];
  cursor = null;
  place = null; // where rewind would go back to

  constructor(canvas) {
    this.canvas = canvas;
    this.surface = new Surface(canvas, (...args) => this.paint(...args));
  }

  get run() {
    return this.curves.find((curve) => curve.kind === "run");
  }

  get room() {
    return Math.max(20, roomFor(Math.max(1, ...this.curves.map((curve) => curve.end))));
  }

  x(width) {
    return linear([0, this.room], [CURVES.left, width - CURVES.right]);
  }

  paint(ctx, width, height, colour) {
    if (!this.state) return;
    const x = this.x(width);
    const strip = Math.min(Math.max(44, 14 * this.state.groups.length), height * 0.4);
    const free = height - CURVES.top - 2 * CURVES.gap - CURVES.axis - strip;
    const frame = (y, height) => ({ x: CURVES.left, y, width: width - CURVES.left - CURVES.right, height });
    const loss = frame(CURVES.top, free * 0.66);
    const right = frame(loss.y + loss.height + CURVES.gap, free * 0.34);
    const learns = frame(right.y + right.height + CURVES.gap, strip);
    const bottom = learns.y + learns.height;
    const scales = [this.loss(ctx, loss, colour), this.right(ctx, right, colour)];
    this.strip(ctx, learns, x, colour);
    this.line(ctx, loss, x, scales[0], SMOOTH, RATE, short, colour);
    this.line(ctx, right, x, scales[1], ACCURACY, RIGHT, percent, colour);
    xAxis(ctx, bottom + 6, x, linearTicks([0, this.room], Math.floor(loss.width / 80)).filter(Number.isInteger), count, colour);
    within(ctx, { textAlign: "left", textBaseline: "top", fillStyle: colour("muted") }, () => ctx.fillText("step", loss.x + loss.width + 26, bottom + 6));
    this.marks(ctx, loss, bottom, x, colour);
    const titles = [[loss, "loss (log)"], [right, "validation accuracy (log of the errors)"], [learns, "who learns (hatched: frozen)"]];
    for (const [frame, words] of titles) this.title(ctx, frame, words, colour);
    if (this.place !== null) upright(ctx, x(this.place), CURVES.top, bottom, { strokeStyle: colour("accent"), lineWidth: 2 });
    if (this.cursor !== null) this.readings(ctx, [loss, right], scales, x, bottom, colour);
  }

  title(ctx, frame, words, colour) {
    within(ctx, { textAlign: "left" }, () => text(ctx, words, frame.x, frame.y - 10, colour("muted"), colour("paper")));
  }

  loss(ctx, frame, colour) {
    const ends = lossDomain(this.curves);
    const marks = new Set(this.turns.filter(([, , learns]) => learns).map(([step]) => step)).size;
    const y = logarithmic(ends, [frame.y + frame.height, frame.y + 16 * Math.min(2, marks)]); // the words stand above the curve
    yAxis(ctx, frame, y, logTicks(ends, Math.max(2, Math.floor(frame.height / 24))), short, colour);
    return y;
  }

  right(ctx, frame, colour) {
    const best = bestTick(this.curves);
    const y = accuracy([0, best], [frame.y + frame.height, frame.y]);
    yAxis(ctx, frame, y, NINES.filter((a) => a <= best), (a) => `${short(100 * a)} %`, colour);
    return y;
  }

  line(ctx, frame, x, y, column, own, format, colour) {
    const clip = { x: frame.x, y: frame.y - 2, width: frame.width + 4, height: frame.height + 4 };
    for (const curve of [...this.curves].reverse()) {
      const ghost = curve.kind === "ghost";
      const look = { strokeStyle: colour(ghost ? "ghost" : own), lineWidth: ghost ? 1 : 2, dash: ghost ? [2, 3] : [], clip };
      within(ctx, look, () => {
        if (column === SMOOTH && !ghost) curve.drawRaw(ctx, x, y);
        line(ctx, curve.rows, (i) => [x(curve.to(i)), y(curve.get(i, column))]);
      });
      const last = curve.last(column);
      if (ghost || !Number.isFinite(last)) continue;
      const at = Math.min(Math.max(y(last), frame.y + 6), frame.y + frame.height - 4);
      within(ctx, { textAlign: "left" }, () => text(ctx, format(last), x(curve.end) + 7, at, colour(own), colour("paper")));
    }
  }

  /** Which group learns when: the stronger the colour, the greater its factor; hatched where it is frozen. */
  strip(ctx, frame, x, colour) {
    const { groups, step } = this.state;
    const row = frame.height / groups.length;
    groups.forEach(({ name }, g) => {
      const y = frame.y + g * row;
      within(ctx, { textAlign: "right", fillStyle: colour("muted"), font: `${Math.min(12, row + 1)}px ${colour("font")}` }, () =>
        ctx.fillText(cut(ctx, name, CURVES.left - 10), frame.x - 8, y + row / 2));
      this.timeline.forEach(([from, factors], i) => {
        const to = Math.min(this.timeline[i + 1]?.[0] ?? step, step);
        if (to <= from) return;
        const place = { x: x(from), y: y + 1, width: x(to) - x(from), height: row - 2 };
        if (!factors[g]) return void hatch(ctx, place, colour("ghost"));
        const strength = Math.min(1, Math.max(0.2, 1 + Math.log10(factors[g]) / 4));
        within(ctx, { fillStyle: colour(RATE), globalAlpha: 0.85 * strength }, () => ctx.fillRect(place.x, place.y, place.width, place.height));
      });
    });
    within(ctx, { strokeStyle: colour("edge"), lineWidth: 1 }, () => ctx.strokeRect(frame.x + 0.5, frame.y + 0.5, frame.width - 1, frame.height - 1));
  }

  /** A line where groups were unfrozen, and their names. */
  marks(ctx, frame, bottom, x, colour) {
    const steps = new Map();
    for (const [step, name, learns] of this.turns) if (learns) steps.set(step, [...(steps.get(step) ?? []), name]);
    const labels = [...steps].map(([step, names]) => ({ words: `${names.join(", ")} unfrozen`, x: x(step), y: frame.y + 9 }));
    for (const step of steps.keys()) upright(ctx, x(step), CURVES.top, bottom, { strokeStyle: colour("ink"), dash: [4, 3], globalAlpha: 0.7 });
    for (const label of spread(labels, 15, frame.y + 9, frame.y + frame.height, 130)) {
      const left = label.x + ctx.measureText(label.words).width + 8 < frame.x + frame.width;
      within(ctx, { textAlign: left ? "left" : "right" }, () => text(ctx, label.words, label.x + (left ? 5 : -5), label.y, colour("ink"), colour("paper")));
    }
  }

  readings(ctx, frames, scales, x, bottom, colour) {
    const at = x(this.cursor);
    upright(ctx, at, CURVES.top, bottom, { strokeStyle: colour("muted") });
    const row = this.run?.rowAt(this.cursor) ?? -1;
    const right = at < frames[0].x + frames[0].width * 0.7;
    [[SMOOTH, RATE, short], [ACCURACY, RIGHT, percent]].forEach(([column, own, format], i) => {
      const value = row < 0 ? NaN : this.run.last(column, row);
      if (!Number.isFinite(value)) return;
      const y = Math.min(Math.max(scales[i](value), frames[i].y), frames[i].y + frames[i].height);
      dot(ctx, at, y, 3.5, colour(own), colour("paper"));
      within(ctx, { textAlign: right ? "left" : "right" }, () => text(ctx, format(value), at + (right ? 8 : -8), y - 9, colour(own), colour("paper")));
    });
    tag(ctx, count(this.cursor), at, bottom + 12, colour);
  }

  /** The values under the cursor in words, for those who hear the page. */
  spoken() {
    const row = this.run?.rowAt(this.cursor) ?? -1;
    if (row < 0) return "no values here";
    const right = this.run.last(ACCURACY, row);
    const checked = Number.isFinite(right) ? `, validation accuracy ${percent(right)}` : "";
    return `step ${count(this.cursor)}: loss ${short(this.run.last(SMOOTH, row))}${checked}`;
  }
}

// ---- The filters of the first convolution ----------------------------------------------------------------------------

class FiltersPicture {
  constructor(canvas) {
    this.canvas = canvas;
    this.surface = new Surface(canvas, (...args) => this.paint(...args));
  }

  /** The weights of `n` filters, before and now. All are drawn on one scale, from −most (black) to most (white). */
  read([n, high, wide, channels], before, now) {
    Object.assign(this, { n, high, wide, most: Math.max(...before.map(Math.abs), ...now.map(Math.abs)) || 1 });
    const change = now.map((weight, i) => weight - before[i]);
    this.blocks = [["before", before], ["now", now], ["change", change]].map(([words, weights]) => ({ words, sheet: this.sheet(weights, channels) }));
  }

  /** The filters beside each other, a pixel for each weight. */
  sheet(weights, channels) {
    const { n, high, wide } = this;
    const canvas = Object.assign(document.createElement("canvas"), { width: n * wide, height: high });
    const image = new ImageData(n * wide, high);
    for (let i = 0; i < n * high * wide; i++) {
      const [filter, row, column] = [Math.floor(i / (high * wide)), Math.floor(i / wide) % high, i % wide];
      const at = 4 * (row * n * wide + filter * wide + column);
      for (let c = 0; c < 3; c++) image.data[at + c] = 127.5 * (1 + weights[i * channels + (channels === 3 ? c : 0)] / this.most);
      image.data[at + 3] = 255;
    }
    canvas.getContext("2d").putImageData(image, 0, 0);
    return canvas;
  }

  paint(ctx, width, height, colour) {
    if (!this.blocks) return;
    Object.assign(ctx, { imageSmoothingEnabled: false });
    within(ctx, { textAlign: "left", fillStyle: colour("muted") }, () => ctx.fillText("filters of the first convolution", 0, 10));
    const beside = width > 1.2 * height;
    const [across, down] = beside ? [(width - 32) / 3, height - 44] : [width, (height - 44) / 3];
    this.blocks.forEach((block, i) => this.block(ctx, block, beside ? i * (across + 16) : 0, 22 + (beside ? 0 : i * down), across, down, colour));
    within(ctx, { textAlign: "left", fillStyle: colour("muted") }, () =>
      ctx.fillText(cut(ctx, `black −${short(this.most, 2)}, grey 0, white ${short(this.most, 2)}`, width), 0, height - 9));
  }

  block(ctx, { words, sheet }, left, top, width, height, colour) {
    const { n, high, wide } = this;
    within(ctx, { textAlign: "left", fillStyle: colour("ink") }, () => ctx.fillText(words, left, top + 8));
    const cellOf = (columns) => Math.min(width / columns, ((height - 26) / Math.ceil(n / columns)) * (wide / high));
    const columns = Array.from({ length: n }, (_, i) => i + 1).reduce((best, k) => (cellOf(k) > cellOf(best) + 0.01 ? k : best), 1);
    const cell = Math.min(cellOf(columns), 34);
    const side = cell - Math.max(2, Math.min(4, cell * 0.12));
    for (let i = 0; i < n; i++) {
      const [x, y] = [left + (i % columns) * cell, top + 18 + Math.floor(i / columns) * cell * (high / wide)];
      ctx.drawImage(sheet, i * wide, 0, wide, high, x, y, side, (side * high) / wide);
    }
  }
}

// ---- The page --------------------------------------------------------------------------------------------------------

const PRESET_FACES = { "head only": "head only", "all equal": "all equal", discriminative: "÷ 2.6 each", next: "unfreeze next" };

class TransferPage {
  constructor(model, el) {
    this.curves = new Map();
    this.build(el);
    this.link = new Link(model, (message, buffers) => this.news(message, buffers), this.root);
  }

  build(el) {
    this.about = h("span", { class: "about" });
    this.numbers = ["step", "epoch"].map((key) => h("span", { class: key }));
    const canvas = (name, more = {}) => h("canvas", { class: name, role: "img", ...more });
    this.bars = new BarsPicture(canvas("bars", { "aria-label": "Transfer view" }));
    this.learning = new CurvesPicture(canvas("curves", { tabindex: 0, "aria-label": "Curves", ...KEYS }));
    this.filters = new FiltersPicture(canvas("filters", { "aria-label": "Filters" }));
    this.base = new Knobs((knob, value) => this.link.ask({ do: "turn", knob, value }, knob));
    const heads = ["layer group", "frozen", "factor"].map((words) => h("span", { class: "head", "aria-hidden": "true" }, words));
    this.layers = h("div", { class: "layers" }, ...heads, this.bars.canvas);
    this.stage = h("div", { class: "stage" }, this.learning.canvas, this.filters.canvas);
    this.note = h("p", { class: "note" });
    this.voice = h("div", { class: "voice", "aria-live": "polite" });
    this.root = h("section", { class: "lrlab transfer", "aria-label": "Transfer view" },
      h("header", {}, h("strong", {}, "Transfer view"), this.about, h("span", { class: "numbers" }, ...this.numbers)),
      this.buildBar(), this.base.node, this.layers, this.stage, h("footer", {}, this.note), this.voice);
    this.listenToCurves();
    el.append(this.root);
  }

  buildBar() {
    const go = (name, title, what) => (this[name] = button(name, title, () => this.link.ask(what())));
    const transport = h("div", { role: "group", "aria-label": "training" },
      go("play", "Train on, or pause", () => ({ do: this.state.playing ? "pause" : "play" })),
      go("rewind", "Go back to the place chosen in the curves, or to the start", () => this.back()));
    this.presets = Object.entries(PRESET_FACES).map(([name, face]) => button(face, "", () => this.link.ask({ do: "preset", name })));
    return h("div", { class: "bar" }, transport, h("div", { class: "presets", role: "group", "aria-label": "presets" }, ...this.presets));
  }

  // -- what comes from the kernel

  news({ state, fresh, tracks = [], timeline, turns, filters }, buffers) {
    if (!fresh && !this.state) return; // part of a story whose beginning is still on its way
    const before = this.state;
    this.state = this.bars.state = this.learning.state = state;
    const rest = buffers.map(floats);
    if (fresh) this.curves.clear();
    for (const track of tracks) this.curve(track.id).update(track, rest.shift());
    this.learning.curves = [...this.curves.values()];
    if (timeline) Object.assign(this.learning, { timeline, turns });
    if (filters) this.filters.read(filters, rest.shift(), rest.shift());
    if (this.learning.place !== null && this.learning.place >= state.step) this.learning.place = null;
    this.show();
    if (before?.playing && !state.playing) this.say(this.summary());
    this.repaint(!state.playing);
  }

  curve(id) {
    if (!this.curves.has(id)) this.curves.set(id, new Track());
    return this.curves.get(id);
  }

  /** Paint the news; for learners who asked for less motion, once a second while training. */
  repaint(now) {
    const paint = () => [this.bars, this.learning, this.filters].forEach((picture) => picture.surface.redraw());
    if (now || !calm()) return paint();
    this.waiting ??= setTimeout(() => ((this.waiting = null), paint()), 1000);
    return undefined;
  }

  show() {
    const { state } = this;
    this.root.dataset.status = state.playing ? "playing" : "resting";
    write(this.about, state.about + (state.schedule ? ` · base rate by ${state.schedule}` : ""));
    [`step ${count(state.step)}`, `epoch ${state.epoch.toFixed(1)}`].forEach((words, i) => write(this.numbers[i], words));
    face(this.play, state.playing ? "pause" : "play");
    this.play.disabled = state.status === "diverged"; // there is no way on, only back
    this.rewind.disabled = !state.step;
    state.presets.forEach(([, title], i) => (this.presets[i].title = title));
    this.presets.at(-1).disabled = !state.next;
    this.stage.classList.toggle("alone", !this.filters.blocks);
    this.base.show([state.base], this.link.behind);
    this.showGroups();
    this.showNote();
    this.bars.canvas.setAttribute("aria-label", this.summary());
    this.learning.canvas.setAttribute("aria-label", this.story());
    this.filters.canvas.setAttribute("aria-label", this.filterWords());
  }

  showGroups() {
    const { groups, slider } = this.state;
    if (!this.rows) {
      this.rows = groups.map((group) => new GroupRow(group, slider, (message, about) => this.link.ask(message, about)));
      this.layers.append(...this.rows.map((row) => row.node));
      this.bars.canvas.style.height = `${HEAD + ROW * groups.length}px`;
      this.layers.style.setProperty("--rows", groups.length + 1);
    }
    if (!this.link.behind) groups.forEach((group, i) => this.rows[i].show(group));
  }

  showNote() {
    const { error, problem, status } = this.state;
    const lost = status === "diverged" ? "The loss is not finite: rewind to before it rose, and turn a rate down." : "";
    tell(this.note, { error, problem: problem || lost }, this.hint());
  }

  hint() {
    const { groups, next, step } = this.state;
    const { place } = this.learning;
    if (place !== null) return `Rewind goes back to step ${count(place)}, with the factors of then.`;
    const learning = groups.filter((group) => group.factor);
    const [some, all] = [learning, groups].map((list) => list.reduce((sum, group) => sum + group.parameters, 0));
    const words = `${learning.map((group) => group.name).join(", ")}: ${count(some)} of ${count(all)} parameters learn.`;
    const after = next ? ` ${next} is the next to unfreeze.` : "";
    return words + after + (step ? "" : " Key F on a slider freezes its group, or lets it learn again.");
  }

  /** The state in one sentence: the bars' text, and what is announced at a pause. */
  summary() {
    const { about, step, groups, base } = this.state;
    const words = groups.map(({ name, factor, rate, moved }) => {
      const change = moved === null ? "" : `, moved ${short(100 * moved, 2)} %`;
      return `${name} ${factor ? `rate ${short(rate)}` : "frozen"}${change}`;
    });
    return `Transfer view, ${about}, step ${count(step)}, base rate ${short(base.value)}: ${words.join("; ")}`;
  }

  /** The curves in one sentence. */
  story() {
    const { run } = this.learning;
    if (!run?.rows) return "Loss and validation accuracy: no step was made yet";
    const right = run.last(ACCURACY);
    const unfrozen = this.learning.turns.filter(([, , learns]) => learns).map(([step, name]) => `${name} unfrozen at step ${count(step)}`);
    return [`Step ${count(run.end)}: loss ${short(run.last(SMOOTH))}`, ...(Number.isFinite(right) ? [`validation accuracy ${percent(right)}`] : []), ...unfrozen].join(", ");
  }

  filterWords() {
    if (!this.filters.blocks) return "No filters: the network has no convolution";
    return `${this.filters.n} filters of the first convolution before and now, and their change, on one scale of grey`;
  }

  say(words) {
    this.voice.textContent = words;
  }

  // -- what the learner does

  back() {
    const step = this.learning.place ?? 0;
    this.learning.place = null;
    return { do: "rewind", step };
  }

  listenToCurves() {
    const { canvas } = this.learning;
    const under = (event) => Math.round(this.learning.x(canvas.clientWidth).value(event.offsetX));
    lookAlong(canvas, {
      under,
      at: () => this.learning.cursor ?? this.state?.step ?? 0,
      stride: () => Math.max(1, Math.round(this.learning.room / 100)),
      look: (step) => this.look(step),
      say: () => this.say(this.learning.spoken()),
    });
    canvas.addEventListener("click", (event) => this.choose(under(event)));
    canvas.addEventListener("keydown", (event) => this.onKey(event));
  }

  /** Put the cursor at a step (null: away). */
  look(step) {
    const end = this.state?.step ?? 0;
    this.learning.cursor = step === null || !end ? null : Math.min(Math.max(step, 1), end);
    this.learning.surface.redraw();
  }

  /** Choose the step that rewind goes back to; the end of the run is none. */
  choose(step) {
    if (!this.state) return;
    this.learning.place = step < this.state.step ? Math.max(0, step) : null;
    this.showNote();
    this.learning.surface.redraw();
  }

  onKey(event) {
    if (event.key === "Escape") this.choose(Infinity);
    if (event.key !== "Enter" || this.learning.cursor === null) return;
    this.choose(this.learning.cursor);
    this.say(this.note.textContent);
  }

  dispose() {
    this.link.dispose();
    clearTimeout(this.waiting);
    for (const picture of [this.bars, this.learning, this.filters]) picture.surface.dispose();
  }
}

export default widget(TransferPage);
