// The sweep view's page: loss against learning rate, or a map of two hyperparameters, and the loss curves of the selected
// point. It shows what the kernel sends and sends what the learner does, and keeps no state of its own: a new page says
// hello and is sent everything. sweep_view.py describes the messages.

import {
  Surface, accuracy, alike, count, dot, hatch, line, linear, linearTicks, logTicks, logarithmic, percent, roundDown, roundUp, short,
  text, upright, within, xAxis, yAxis,
} from "./canvas.js";
import { KEYS, button, face, floats, h, offer, select, tell, write } from "./controls.js";
import { lookAlong } from "./hand.js";
import { Link, widget } from "./link.js";

const [WAITING, TRAINING, DONE, DIVERGED] = [0, 1, 2, 3]; // how far a point is (sweep_picture.py)
const [LOWER, MEDIAN, UPPER, PHASE] = [0, 1, 2, 3]; // the columns of a point
const TITLES = ["loss, smoothed (log)", "loss (log)"]; // of the loss curves: the first one that there is room for

/** Everything the two pictures show. */
class Findings {
  points = new Float32Array(0);
  curves = new Float32Array(0);
  axes = [];

  update(news, points, curves) {
    Object.assign(this, news);
    this.points = floats(points);
    this.curves = floats(curves);
    this.counts = this.axes.map(({ values }) => values.length);
    this.n = this.points.length / 4;
  }

  get(point, column) {
    return this.points[4 * point + column];
  }

  /** The place of a point on each axis: the first axis is the slow one. */
  place(point) {
    return this.counts.length === 1 ? [point] : [Math.floor(point / this.counts[1]), point % this.counts[1]];
  }

  point([i, j]) {
    return this.counts.length === 1 ? i : i * this.counts[1] + j;
  }

  get all() {
    return Array.from({ length: this.n }, (_, point) => point);
  }

  /** The values that are known and finite. */
  get finite() {
    return this.all.map((point) => this.get(point, MEDIAN)).filter(Number.isFinite);
  }

  /** A value in words, in the unit of what is shown. */
  words(value, digits = 3) {
    return this.higher ? percent(value) : short(value, digits);
  }

  name(point) {
    return this.place(point).map((i, axis) => `${this.axes[axis].label} ${short(this.axes[axis].values[i])}`).join(", ");
  }

  /** What is known of a point, in words. */
  story(point) {
    const phase = this.get(point, PHASE);
    if (phase === DIVERGED) return "diverged";
    if (!Number.isFinite(this.get(point, MEDIAN))) return phase === WAITING ? "not trained yet" : "in training";
    const [low, median, high] = [LOWER, MEDIAN, UPPER].map((column) => this.words(this.get(point, column)));
    const spread = this.seeds.length > 1 ? ` (quartiles ${low} to ${Number.isFinite(this.get(point, UPPER)) ? high : "diverged"})` : "";
    return `${this.measure} ${median}${spread}${phase === TRAINING ? ", in training" : ""}`;
  }
}

/** The domain of the losses in view: an explosion must not press all others together. */
function domainOf(values, logarithmicScale) {
  if (!values.length) return [0.1, 10];
  const sorted = [...values].sort((a, b) => a - b);
  const low = sorted[0];
  const high = Math.max(Math.min(sorted.at(-1), 3 * sorted[sorted.length >> 1]), low * 1.05);
  if (logarithmicScale) return [roundDown(low / 1.02), roundUp(high * 1.02)];
  return [low, high];
}

// ---- The landscape ---------------------------------------------------------------------------------------------------

const LAND = { left: 56, right: 14, top: 26, bottom: 40 };
const BAR = 70; // the colour bar and its numbers, to the right of a map
// Cividis, from the best to the worst: told apart with every form of colour blindness, and in grey.
const RAMP = [[253, 231, 55], [222, 203, 73], [187, 173, 108], [148, 142, 119], [112, 113, 115], [74, 86, 108], [26, 56, 111], [0, 34, 78]];

const mix = (share) => {
  const at = Math.min(Math.max(share, 0), 1) * (RAMP.length - 1);
  const i = Math.min(Math.floor(at), RAMP.length - 2);
  return RAMP[i].map((low, k) => Math.round(low + (at - i) * (RAMP[i + 1][k] - low)));
};
const css = (rgb) => `rgb(${rgb.join()})`;

class LandPicture {
  constructor(canvas, findings) {
    this.canvas = canvas;
    this.findings = findings;
    this.surface = new Surface(canvas, (...args) => this.paint(...args));
  }

  get flat() {
    return this.findings.axes.length === 1;
  }

  get frame() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    const right = LAND.right + (this.flat ? 0 : BAR);
    return { x: LAND.left, y: LAND.top, width: width - LAND.left - right, height: height - LAND.top - LAND.bottom };
  }

  paint(ctx, width, height, colour) {
    if (!this.findings.axes.length) return;
    if (this.flat) this.paintCurve(ctx, this.frame, colour);
    else this.paintMap(ctx, this.frame, colour);
  }

  /** The point under a pixel: the nearest rate, or the cell. */
  under(px, py) {
    const { findings, frame } = this;
    if (this.flat) {
      const { x } = this.scales;
      const places = findings.axes[0].values.map((value) => Math.abs(x(value) - px));
      return places.indexOf(Math.min(...places));
    }
    const [columns, rows] = findings.counts;
    const i = Math.floor(((px - frame.x) / frame.width) * columns);
    const j = Math.floor(((frame.y + frame.height - py) / frame.height) * rows);
    return i >= 0 && j >= 0 && i < columns && j < rows ? findings.point([i, j]) : null;
  }

  // -- one hyperparameter: a curve

  get scales() {
    const { findings, frame } = this;
    const { values } = findings.axes[0];
    const ends = [values[0], values.at(-1)];
    const wide = ends[0] > 0 && ends[1] >= 10 * ends[0];
    const room = 10;
    const x = (wide ? logarithmic : linear)(ends, [frame.x + room, frame.x + frame.width - room]);
    const { finite } = findings;
    const span = [frame.y + frame.height, frame.y + 14];
    if (findings.higher) {
      const low = finite.length ? Math.min(...finite) : 0;
      return { x, wide, y: accuracy([Math.max(0, low - 0.02), 1], span), ticks: [0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 1].filter((a) => a >= low - 0.02) };
    }
    const domain = domainOf(finite, true);
    return { x, wide, y: logarithmic(domain, span), ticks: logTicks(domain, Math.max(2, Math.floor(frame.height / 30))) };
  }

  paintCurve(ctx, frame, colour) {
    const { findings } = this;
    const { x, y, wide, ticks } = this.scales;
    const [axis] = findings.axes;
    yAxis(ctx, frame, y, ticks, (tick) => (findings.higher ? `${short(100 * tick)} %` : short(tick)), colour);
    const ends = [axis.values[0] * (1 - 1e-6), axis.values.at(-1) * (1 + 1e-6)]; // float32 rates are a little beside the round ones
    const wanted = Math.max(2, Math.floor(frame.width / 62));
    xAxis(ctx, frame.y + frame.height + 6, x, wide ? logTicks(ends, wanted) : linearTicks(ends, wanted), short, colour);
    this.names(ctx, frame, axis.label, `${findings.measure}${findings.higher ? " (log of the errors)" : " (log)"}`, colour);

    const top = (value) => Math.min(Math.max(Number.isFinite(value) ? y(value) : value > 0 ? frame.y : frame.y + frame.height, frame.y), frame.y + frame.height);
    const known = findings.all.filter((point) => Number.isFinite(findings.get(point, MEDIAN)));
    const at = (column) => (i) => [x(axis.values[known[i]]), top(findings.get(known[i], column))];
    if (findings.seeds.length > 1 && known.length) this.band(ctx, known.length, at(LOWER), at(UPPER), colour);
    within(ctx, { strokeStyle: colour("series-0"), lineWidth: 1.5, lineJoin: "round", clip: frame }, () => line(ctx, known.length, at(MEDIAN)));
    if (findings.selected !== undefined) this.rule(ctx, x(axis.values[findings.selected]), frame, colour);
    for (const point of findings.all) this.mark(ctx, point, x(axis.values[point]), top, frame, colour);
    const lost = findings.all.filter((point) => findings.get(point, PHASE) === DIVERGED);
    if (lost.length) {
      const px = x(axis.values[lost[0]]);
      const room = px + 60 < frame.x + frame.width; // below the crosses, for beside them is a point that did not diverge
      within(ctx, { textAlign: room ? "left" : "right" }, () => text(ctx, "diverged", px + (room ? -5 : 5), frame.y + 17, colour("alarm"), colour("paper")));
    }
    this.label(ctx, (point) => [x(axis.values[point]), top(findings.get(point, MEDIAN))], frame, colour);
  }

  /** The interquartile range, from the lower quartiles there and along the upper ones back. */
  band(ctx, n, lower, upper, colour) {
    within(ctx, { fillStyle: colour("series-0"), globalAlpha: 0.18 }, () => {
      ctx.beginPath();
      for (let i = 0; i < n; i++) ctx.lineTo(...lower(i));
      for (let i = n - 1; i >= 0; i--) ctx.lineTo(...upper(i));
      ctx.fill();
    });
  }

  mark(ctx, point, px, top, frame, colour) {
    const { findings } = this;
    const phase = findings.get(point, PHASE);
    if (phase === DIVERGED) return void cross(ctx, px, frame.y, 4, colour("alarm"));
    const py = top(findings.get(point, MEDIAN));
    if (!Number.isFinite(findings.get(point, MEDIAN))) {
      within(ctx, { fillStyle: colour("edge") }, () => ctx.fillRect(px - 1, frame.y + frame.height - 5, 2, 5));
      return;
    }
    const series = colour("series-0");
    const chosen = point === findings.selected;
    if (py <= frame.y && !findings.higher) triangle(ctx, px, py, 5, series, colour("paper"));
    else dot(ctx, px, py, chosen ? 5.5 : 3.5, phase === DONE ? series : colour("paper"), phase === DONE ? colour("paper") : series);
    if (chosen) ring(ctx, px, py, 9, colour("ink"));
    if (point === findings.best) star(ctx, px, py - (chosen ? 18 : 13), 6, colour("series-1"), colour("paper"));
  }

  rule(ctx, px, frame, colour) {
    upright(ctx, px, frame.y, frame.y + frame.height, { strokeStyle: colour("muted"), dash: [2, 3] });
  }

  // -- two hyperparameters: a map

  paintMap(ctx, frame, colour) {
    const { findings } = this;
    const [columns, rows] = findings.counts;
    const [wide, tall] = [frame.width / columns, frame.height / rows];
    const box = (point) => {
      const [i, j] = findings.place(point);
      return [frame.x + i * wide, frame.y + frame.height - (j + 1) * tall];
    };
    const share = this.shading;
    for (const point of findings.all) this.cell(ctx, point, box(point), [wide, tall], share, colour);
    this.numbers(ctx, frame, colour);
    this.names(ctx, frame, findings.axes[0].label, findings.axes[1].label, colour);
    const gap = Math.min(wide, tall) > 14 ? 1 : 0;
    for (const [point, stroke, thick] of [[findings.selected, colour("ink"), 2.5]]) {
      if (point === undefined) continue;
      const [x, y] = box(point);
      within(ctx, { strokeStyle: colour("paper"), lineWidth: thick + 3 }, () => ctx.strokeRect(x + gap, y + gap, wide - 2 * gap, tall - 2 * gap));
      within(ctx, { strokeStyle: stroke, lineWidth: thick }, () => ctx.strokeRect(x + gap, y + gap, wide - 2 * gap, tall - 2 * gap));
    }
    if (findings.best !== null && findings.best !== undefined) {
      const [x, y] = box(findings.best);
      star(ctx, x + wide / 2, y + tall / 2, Math.max(5, Math.min(8, 0.3 * Math.min(wide, tall))), colour("series-1"), colour("paper"));
    }
    if (findings.finite.length) this.colourBar(ctx, frame, share, colour);
    this.label(ctx, (point) => box(point).map((at, k) => at + [wide / 2, 0][k]), frame, colour);
  }

  /** From a value to a share of the ramp: 0 is the best. */
  get shading() {
    const { finite, higher } = this.findings;
    if (higher) {
      const [low, high] = [Math.min(...finite), Math.max(...finite)];
      const scale = linear([high, low], [0, 1]);
      return Object.assign((value) => scale(value), { domain: [high, low], ticks: linearTicks([low, high], 5), scale });
    }
    const domain = domainOf(finite, true);
    const scale = logarithmic([Math.min(...finite, domain[1] / 1.01), domain[1]], [0, 1]);
    return Object.assign((value) => scale(value), { ticks: logTicks([Math.min(...finite), domain[1]], 7), scale });
  }

  cell(ctx, point, [x, y], [wide, tall], share, colour) {
    const { findings } = this;
    const gap = Math.min(wide, tall) > 14 ? 1 : 0;
    const [value, phase] = [findings.get(point, MEDIAN), findings.get(point, PHASE)];
    const shape = { x: x + gap, y: y + gap, width: wide - 2 * gap, height: tall - 2 * gap };
    if (Number.isFinite(value)) {
      ctx.fillStyle = css(mix(share(value)));
      ctx.fillRect(...Object.values(shape));
      // A cell in training has a dot in its corner.
      if (phase === TRAINING && tall > 12) dot(ctx, x + wide - 7, y + 7, 2.5, colour("paper"), colour("ink"));
      return;
    }
    if (phase === DIVERGED) hatch(ctx, shape, colour("alarm"));
    within(ctx, { strokeStyle: colour("edge"), lineWidth: 1 }, () => ctx.strokeRect(shape.x + 0.5, shape.y + 0.5, shape.width - 1, shape.height - 1));
  }

  /** The values along both axes, as many as there is room for. */
  numbers(ctx, frame, colour) {
    const { findings } = this;
    const [columns, rows] = findings.counts;
    const each = (n, room) => Math.max(1, Math.ceil(n / Math.max(1, Math.floor(room))));
    const [across, up] = findings.axes.map(({ values }) => alike(values));
    within(ctx, { textAlign: "center", textBaseline: "top", fillStyle: colour("muted") }, () => {
      const widest = Math.max(...findings.axes[0].values.map((value) => ctx.measureText(across(value)).width));
      const every = each(columns, frame.width / Math.max(48, widest + 8));
      findings.axes[0].values.forEach((value, i) => i % every || ctx.fillText(across(value), frame.x + ((i + 0.5) * frame.width) / columns, frame.y + frame.height + 6));
    });
    within(ctx, { textAlign: "right", fillStyle: colour("muted") }, () => {
      const every = each(rows, frame.height / 18);
      findings.axes[1].values.forEach((value, j) => j % every || ctx.fillText(up(value), frame.x - 8, frame.y + frame.height - ((j + 0.5) * frame.height) / rows));
    });
  }

  colourBar(ctx, frame, share, colour) {
    const x = frame.x + frame.width + 16;
    const y = (value) => frame.y + frame.height * share.scale(value);
    for (let row = 0; row < frame.height; row++) {
      ctx.fillStyle = css(mix(row / frame.height));
      ctx.fillRect(x, frame.y + row, 12, 1.5);
    }
    within(ctx, { textAlign: "left", fillStyle: colour("muted") }, () => {
      let last = -Infinity;
      for (const tick of [...share.ticks].sort((a, b) => y(a) - y(b))) {
        const at = y(tick);
        if (at - last < 14 || at < frame.y - 1 || at > frame.y + frame.height + 1) continue;
        last = at;
        ctx.fillText(this.findings.higher ? `${short(100 * tick)} %` : short(tick), x + 17, at);
      }
      ctx.textAlign = "right";
      ctx.fillText(this.findings.measure, frame.x + frame.width + BAR, frame.y - 13);
    });
  }

  // -- both

  names(ctx, frame, across, up, colour) {
    within(ctx, { textAlign: "left", fillStyle: colour("muted") }, () => ctx.fillText(up, frame.x - 48, frame.y - 13));
    within(ctx, { textAlign: "center", fillStyle: colour("muted") }, () => ctx.fillText(across, frame.x + frame.width / 2, frame.y + frame.height + 30));
  }

  /** The value of the point under the pointer. */
  label(ctx, at, frame, colour) {
    const point = this.hover;
    if (point === null || point === undefined) return;
    const [px, py] = at(point);
    const { findings } = this;
    const value = findings.get(point, PHASE) === DIVERGED ? "diverged" : findings.words(findings.get(point, MEDIAN));
    const words = `${findings.place(point).map((i, axis) => short(findings.axes[axis].values[i])).join(", ")}: ${value}`;
    const left = px > frame.x + frame.width / 2;
    within(ctx, { textAlign: left ? "right" : "left" }, () =>
      text(ctx, words, px + (left ? -11 : 11), Math.max(frame.y + 8, (Number.isFinite(py) ? py : frame.y) - 11), colour("ink"), colour("paper")));
  }
}

function cross(ctx, x, y, reach, stroke) {
  within(ctx, { strokeStyle: stroke, lineWidth: 2, lineCap: "round" }, () => {
    line(ctx, 2, (i) => [x + (i ? reach : -reach), y + (i ? reach : -reach)]);
    line(ctx, 2, (i) => [x + (i ? reach : -reach), y + (i ? -reach : reach)]);
  });
}

/** Points up: the value lies beyond the picture. */
function triangle(ctx, x, y, reach, fill, rim) {
  ctx.beginPath();
  for (const [dx, dy] of [[0, -1], [0.9, 0.7], [-0.9, 0.7]]) ctx.lineTo(x + reach * dx, y + reach * dy);
  ctx.closePath();
  Object.assign(ctx, { fillStyle: fill, strokeStyle: rim, lineWidth: 1 });
  ctx.fill();
  ctx.stroke();
}

function ring(ctx, x, y, radius, stroke) {
  within(ctx, { strokeStyle: stroke, lineWidth: 1.75 }, () => {
    ctx.beginPath();
    ctx.arc(x, y, radius, 0, 2 * Math.PI);
    ctx.stroke();
  });
}

function star(ctx, x, y, radius, fill, rim) {
  ctx.beginPath();
  for (let i = 0; i < 10; i++) {
    const [angle, reach] = [(i * Math.PI) / 5 - Math.PI / 2, i % 2 ? 0.42 * radius : radius];
    ctx.lineTo(x + reach * Math.cos(angle), y + reach * Math.sin(angle));
  }
  ctx.closePath();
  within(ctx, { strokeStyle: rim, lineWidth: 3, lineJoin: "round" }, () => ctx.stroke());
  ctx.fillStyle = fill;
  ctx.fill();
}

// ---- The loss curves of the selected point -----------------------------------------------------------------------------

const CURVES = { left: 52, right: 16, top: 26, bottom: 40 };

class LossPicture {
  constructor(canvas, findings) {
    this.canvas = canvas;
    this.findings = findings;
    this.cursor = null;
    this.surface = new Surface(canvas, (...args) => this.paint(...args));
  }

  get frame() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    return { x: CURVES.left, y: CURVES.top, width: width - CURVES.left - CURVES.right, height: height - CURVES.top - CURVES.bottom };
  }

  get x() {
    const { x, width } = this.frame;
    return linear([0, this.state.steps], [x, x + width]);
  }

  /** The points of a curve; the smoothed one of each seed, then the loss itself of the selected run. */
  get length() {
    return this.findings.curves.length / (this.findings.seeds.length + 1);
  }

  /** The smoothed loss of a seed at a place of its curve. */
  loss(seed, i) {
    return this.findings.curves[seed * this.length + i];
  }

  paint(ctx, width, height, colour) {
    const { findings, frame, state } = this;
    if (!state || !findings.axes.length) return;
    const [low, high] = findings.window;
    const domain = [roundDown(low), roundUp(high)];
    const y = logarithmic(domain, [frame.y + frame.height, frame.y]);
    const { x } = this;
    yAxis(ctx, frame, y, logTicks(domain, Math.max(2, Math.floor(frame.height / 30))), short, colour);
    xAxis(ctx, frame.y + frame.height + 6, x, linearTicks([0, state.steps], frame.width / 64).filter(Number.isInteger), count, colour);
    const room = frame.width + 44 - 14 - ctx.measureText(state.name).width; // the name of the run stands in the title's line,
    const title = TITLES.find((words) => ctx.measureText(words).width < room); // or below it where there is no room
    const top = frame.y + (title ? -13 : 10);
    within(ctx, { fillStyle: colour("muted") }, () => {
      ctx.fillText(title ?? TITLES[0], frame.x - 44, frame.y - 13);
      ctx.textAlign = "center";
      ctx.fillText("step", frame.x + frame.width / 2, frame.y + frame.height + 30);
    });
    const chosen = state.selected % findings.seeds.length;
    const at = (seed) => (i) => [x((i + 0.5) * findings.width), y(this.loss(seed, i))];
    within(ctx, { clip: frame, lineJoin: "round", strokeStyle: colour("series-0") }, () => {
      within(ctx, { strokeStyle: colour("ghost"), globalAlpha: 0.45, lineWidth: 1 }, () => line(ctx, this.length, at(findings.seeds.length)));
      for (let seed = 0; seed < findings.seeds.length; seed++) {
        if (seed !== chosen) within(ctx, { lineWidth: 1, globalAlpha: 0.35 }, () => line(ctx, this.length, at(seed)));
      }
      within(ctx, { lineWidth: 2 }, () => line(ctx, this.length, at(chosen)));
    });
    this.beyond(ctx, x, domain[1], colour);
    within(ctx, { textAlign: "right" }, () => {
      text(ctx, state.name, frame.x + frame.width, top, colour("ink"), colour("paper"));
      if (state.fate) text(ctx, state.fate, frame.x + frame.width - 4, title ? top + 23 : top + 17, colour("alarm"), colour("paper"));
    });
    if (this.cursor !== null) this.rule(ctx, x, y, chosen, colour);
  }

  /** A triangle where a curve leaves the picture at the top. */
  beyond(ctx, x, highest, colour) {
    for (let seed = 0; seed < this.findings.seeds.length; seed++) {
      const row = Array.from({ length: this.length }, (_, i) => i).find((i) => this.loss(seed, i) > highest);
      if (row !== undefined) triangle(ctx, x((row + 0.5) * this.findings.width), this.frame.y + 4, 5, colour("series-0"), colour("paper"));
    }
  }

  /** The cursor at a step, and the loss there. */
  rule(ctx, x, y, chosen, colour) {
    const { findings, frame } = this;
    const loss = this.loss(chosen, this.row(this.cursor));
    const px = x(this.cursor);
    upright(ctx, px, frame.y, frame.y + frame.height, { strokeStyle: colour("muted") });
    if (!Number.isFinite(loss)) return;
    dot(ctx, px, Math.min(Math.max(y(loss), frame.y), frame.y + frame.height), 4, colour("series-0"), colour("paper"));
    const left = px > frame.x + frame.width / 2;
    within(ctx, { textAlign: left ? "right" : "left" }, () =>
      text(ctx, this.words(), px + (left ? -8 : 8), frame.y + frame.height - 12, colour("ink"), colour("paper")));
  }

  row(step) {
    return Math.min(Math.max(Math.floor((step - 1) / this.findings.width), 0), this.length - 1);
  }

  /** The loss at the cursor, in words. */
  words() {
    const loss = this.loss(this.state.selected % this.findings.seeds.length, this.row(this.cursor));
    return `step ${count(this.cursor)}: ${Number.isFinite(loss) ? short(loss) : "no loss"}`;
  }
}

// ---- The whole instrument ------------------------------------------------------------------------------------------------

class SweepPage {
  constructor(model, el) {
    this.findings = new Findings();
    this.build(el);
    this.link = new Link(model, (message, buffers) => this.news(message, buffers), this.root);
  }

  // -- what the page looks like

  build(el) {
    this.about = h("span", { class: "about" });
    this.progress = h("span", { class: "step" });
    this.land = h("canvas", { class: "land", role: "img", tabindex: 0, "aria-label": "Sweep view", ...KEYS });
    this.losses = h("canvas", { class: "losses", role: "img", tabindex: 0, "aria-label": "Loss curves", ...KEYS });
    this.map = new LandPicture(this.land, this.findings);
    this.curves = new LossPicture(this.losses, this.findings);
    this.note = h("p", { class: "note" });
    this.voice = h("div", { class: "voice", "aria-live": "polite" });
    this.root = h("section", { class: "lrlab sweep", "aria-label": "Sweep view" },
      h("header", {}, h("strong", {}, "Sweep view"), this.about, h("span", { class: "numbers" }, this.progress)),
      this.buildBar(),
      h("div", { class: "stage" }, this.land, this.losses),
      h("footer", {}, this.note), this.voice);
    this.listenToLand();
    this.listenToLosses();
    el.append(this.root);
  }

  buildBar() {
    this.start = button("play", "Train all runs, or end the sweep", () => this.link.ask({ do: this.state.playing ? "pause" : "start" }));
    this.tune = button("open in the tuner", "Train the selected run in a live tuner below", () => this.link.ask({ do: "tune" }));
    this.tune.className = "tune";
    this.measure = select("shows", () => this.link.ask({ do: "show", measure: this.measure.node.value }));
    this.seed = select("seed", () => this.choose(this.findings.selected, Number(this.seed.node.value)));
    return h("div", { class: "bar" },
      h("div", { role: "group", "aria-label": "sweep" }, this.start, this.tune),
      h("div", { class: "choices" }, this.measure.box, this.seed.box));
  }

  // -- what comes from the kernel

  news({ is, state, fresh, ...news }, buffers) {
    if (!fresh && !this.state) return; // part of a story whose beginning is still on its way
    const before = this.state;
    this.state = this.curves.state = state;
    const { findings } = this;
    if (buffers.length) {
      findings.update({ ...news, measure: news.measures.find(([name]) => name === state.measure)[1] }, ...buffers);
      findings.names = news.measures;
    }
    // While a wish is on its way, the mark stays where the hand has put it.
    if (!this.link.behind) findings.selected = Math.floor(state.selected / findings.seeds.length);
    this.show();
    if (before?.playing && !state.playing) this.say(this.summary());
    this.redraw();
  }

  redraw() {
    this.map.surface.redraw();
    this.curves.surface.redraw();
  }

  show() {
    const { state, findings } = this;
    this.root.dataset.status = state.playing ? "playing" : "resting";
    write(this.about, `${state.title} · ${state.counts}`);
    const made = `step ${count(Math.floor(state.made))} of ${count(state.steps)}`;
    write(this.progress, `${count(state.finished)} of ${count(state.runs)} runs done${state.playing ? ` · ${made}` : ""}`);
    if (state.playing) face(this.start, "stop");
    else face(this.start, ...(state.made ? ["again", "reset"] : ["start", "play"]));
    offer(this.measure.node, findings.names, state.measure);
    offer(this.seed.node, findings.seeds.map((seed, i) => [i, seed]), state.selected % findings.seeds.length);
    this.seed.box.hidden = findings.seeds.length < 2;
    this.tune.disabled = state.playing; // both would train at once, each half as fast
    this.showNote();
    this.land.setAttribute("aria-label", this.summary());
    this.losses.setAttribute("aria-label", `Loss curve at ${state.name}${state.fate ? `, ${state.fate}` : ""}`);
  }

  showNote() {
    tell(this.note, this.state, this.hint());
  }

  hint() {
    const { state, findings } = this;
    if (!state.playing && !state.made) return "Start the sweep. Then click a point, or focus the picture and move with the arrow keys.";
    const here = `${findings.name(findings.selected)}: ${findings.story(findings.selected)}.`;
    const best = findings.best === null ? "" : ` Best so far (star): ${findings.name(findings.best)}, ${findings.words(findings.get(findings.best, MEDIAN))}.`;
    return `${here}${state.playing ? best : best.replace(" so far", "")}`;
  }

  /** The landscape in one sentence: its text, and what is announced at the end. */
  summary() {
    const { state, findings } = this;
    const lost = findings.all.filter((point) => findings.get(point, PHASE) === DIVERGED).length;
    const best = findings.best === null ? "" : `; best ${findings.name(findings.best)}, ${findings.words(findings.get(findings.best, MEDIAN))}`;
    const selected = `; selected ${findings.name(findings.selected)}, ${findings.story(findings.selected)}`;
    const phase = state.playing ? "training" : state.over ? "complete" : "at rest";
    return `Sweep of ${state.title}, ${phase}, ${state.finished} of ${state.runs} runs done${best}${lost ? `; ${lost} of ${findings.n} points diverged` : ""}${selected}`;
  }

  say(words) {
    this.voice.textContent = words;
  }

  // -- what the learner does

  /** Select a point; the mark moves at once, the curves follow. */
  choose(point, seed = this.state.selected % this.findings.seeds.length) {
    if (point === null || point === undefined) return;
    this.findings.selected = point;
    this.link.ask({ do: "select", row: point * this.findings.seeds.length + seed }, "select");
    this.map.surface.redraw();
    this.say(`${this.findings.name(point)}: ${this.findings.story(point)}`);
  }

  listenToLand() {
    this.land.addEventListener("click", (event) => this.state && this.choose(this.map.under(event.offsetX, event.offsetY)));
    this.land.addEventListener("pointermove", (event) => this.state && this.look(this.map.under(event.offsetX, event.offsetY)));
    this.land.addEventListener("pointerleave", () => this.look(null));
    this.land.addEventListener("keydown", (event) => this.onLandKey(event));
  }

  look(point) {
    if (this.map.hover === point) return;
    this.map.hover = point;
    this.map.surface.redraw();
  }

  onLandKey(event) {
    const { findings } = this;
    if (!this.state) return;
    const place = findings.place(findings.selected);
    const last = findings.counts.map((n) => n - 1);
    const ways = { ArrowLeft: [0, -1], ArrowRight: [0, 1], Home: [0, -Infinity], End: [0, Infinity] };
    if (findings.counts.length === 2) Object.assign(ways, { ArrowDown: [1, -1], ArrowUp: [1, 1], PageDown: [1, -Infinity], PageUp: [1, Infinity] });
    const way = ways[event.key];
    if (!way) return;
    event.preventDefault();
    const [axis, stride] = way;
    place[axis] = Math.min(Math.max(place[axis] + stride, 0), last[axis]);
    this.choose(findings.point(place));
  }

  listenToLosses() {
    lookAlong(this.losses, {
      under: (event) => (this.state ? this.curves.x.value(event.offsetX) : null),
      at: () => this.curves.cursor ?? this.state?.steps ?? 0,
      stride: () => Math.max(1, Math.round((this.state?.steps ?? 0) / 50)),
      look: (step) => this.inspect(step),
      say: () => this.state && this.say(this.curves.words()),
    });
  }

  /** Put the cursor of the loss curves at a step (null: away). */
  inspect(step) {
    this.curves.cursor = step === null || !this.state ? null : Math.min(Math.max(Math.round(step), 1), this.state.steps);
    this.curves.surface.redraw();
  }

  dispose() {
    this.link.dispose();
    this.map.surface.dispose();
    this.curves.surface.dispose();
  }
}

export default widget(SweepPage);
