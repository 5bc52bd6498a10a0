// The penalty view's page: on the left a loss of two parameters and the penalty's ball, on the right a network's weights.
// It keeps no state of its own; penalty_view.py describes the messages.

import {
  Surface, count, dot, line, linear, linearTicks, logTicks, logarithmic, percent, roomFor, short, spread, text, within, xAxis, yAxis,
} from "./canvas.js";
import { KEYS, Knobs, button, face, floats, h, offer, select, tell, write } from "./controls.js";
import { WAYS, drag } from "./hand.js";
import { Link, widget } from "./link.js";
import { cross, scalesOf } from "./map.js";

const [BALL, LOSS] = ["series-1", "series-0"]; // the colours: what belongs to the penalty, what to the loss
const STRIDE = 0.1; // of an arrow key, in units of w

// ---- Two parameters --------------------------------------------------------------------------------------------------

const MAP = { left: 34, right: 12, top: 6, bottom: 22 };

class PlanePicture {
  held = false;

  constructor(canvas) {
    this.canvas = canvas;
    this.surface = new Surface(canvas, (...args) => this.paint(...args));
  }

  /** The lines in one buffer, with the number of points of each: the rings, the contour through ŵ, the ball, the path. */
  read(lengths, window, points) {
    let first = 0;
    const lines = lengths.map((n) => points.subarray(2 * first, 2 * (first += n)));
    Object.assign(this, { window, path: lines.pop(), ball: lines.pop(), through: lines.pop(), rings: lines });
  }

  get frame() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    return { x: MAP.left, y: MAP.top, width: width - MAP.left - MAP.right, height: height - MAP.top - MAP.bottom };
  }

  /** The point of the plane under a pixel, or the nearest one that is on it. */
  point(px, py) {
    const { x, y } = scalesOf(this.window, this.frame);
    return this.inside([x.value(px), y.value(py)]);
  }

  inside(point) {
    return point.map((at, i) => Math.min(Math.max(Number(at.toPrecision(4)), this.window[i][0]), this.window[i][1]));
  }

  paint(ctx, width, height, colour) {
    if (!this.path) return;
    const { frame } = this;
    const scales = scalesOf(this.window, frame);
    const trace = (points) => line(ctx, points.length / 2, (i) => [scales.x(points[2 * i]), scales.y(points[2 * i + 1])]);
    within(ctx, { clip: frame }, () => {
      this.valley(ctx, trace, colour);
      this.origin(ctx, frame, scales, colour);
      for (const [fillStyle, globalAlpha] of [["paper", 0.6], [BALL, 0.22]]) {
        within(ctx, { fillStyle: colour(fillStyle), globalAlpha, strokeStyle: "transparent" }, () => (trace(this.ball), ctx.fill()));
      }
      within(ctx, { strokeStyle: colour(BALL), lineWidth: 2 }, () => trace(this.ball));
      within(ctx, { strokeStyle: colour(LOSS), lineWidth: 2 }, () => trace(this.through));
      within(ctx, { strokeStyle: colour("ink"), lineWidth: 1.5, dash: [5, 3] }, () => trace(this.path));
      this.marks(ctx, frame, scales, colour);
    });
    this.axes(ctx, frame, scales, colour);
  }

  /** The deeper, the more of the colour. */
  valley(ctx, trace, colour) {
    for (const points of this.rings) {
      within(ctx, { fillStyle: colour(LOSS), strokeStyle: colour("muted"), lineWidth: 0.75 }, () => {
        ctx.globalAlpha = 0.3;
        trace(points);
        ctx.globalAlpha = 0.045;
        ctx.fill();
      });
    }
  }

  origin(ctx, frame, { x, y }, colour) {
    within(ctx, { strokeStyle: colour("muted"), lineWidth: 1 }, () => {
      line(ctx, 2, (i) => [frame.x + i * frame.width, Math.round(y(0)) + 0.5]);
      line(ctx, 2, (i) => [Math.round(x(0)) + 0.5, frame.y + i * frame.height]);
    });
  }

  marks(ctx, frame, { x, y }, colour) {
    const { minimum, solution } = this.state;
    const [mx, my, sx, sy] = [x(this.at[0]), y(this.at[1]), x(solution[0]), y(solution[1])];
    if (this.held || document.activeElement === this.canvas) {
      within(ctx, { strokeStyle: colour("accent"), lineWidth: 2 }, () => (ctx.beginPath(), ctx.arc(mx, my, 11, 0, 2 * Math.PI), ctx.stroke()));
    }
    cross(ctx, mx, my, 5, colour("ink"));
    dot(ctx, sx, sy, 6, colour("ink"), colour("paper"));
    const labels = [{ words: "loss alone", x: mx, y: my }, { words: this.words(solution), x: sx, y: sy }];
    if (Math.hypot(mx - sx, my - sy) < 14) labels.shift(); // without a penalty the two are one
    for (const label of labels) {
      const left = label.x > frame.x + frame.width - 110;
      Object.assign(label, { y: Math.min(Math.max(label.y + (label.y > y(0) ? 16 : -16), frame.y + 9), frame.y + frame.height - 9), left });
    }
    for (const label of spread(labels, 15, frame.y + 8, frame.y + frame.height - 8, 150)) {
      within(ctx, { textAlign: label.left ? "right" : "left" }, () =>
        text(ctx, label.words, label.x + (label.left ? -8 : 8), label.y, colour("ink"), colour("paper")));
    }
  }

  /** Which parameters the penalty has won. */
  words(solution) {
    const won = solution.map((at, i) => (at === 0 ? `w${"₁₂"[i]} = 0` : "")).filter(Boolean);
    return won.length ? `solution: ${won.join(", ")}` : "solution";
  }

  axes(ctx, frame, { x, y }, colour) {
    const [sides, updown] = this.window;
    xAxis(ctx, frame.y + frame.height + 5, x, linearTicks(sides, Math.max(4, frame.width / 110)), short, colour);
    within(ctx, { textAlign: "right", fillStyle: colour("muted") }, () => {
      for (const tick of linearTicks(updown, Math.max(4, frame.height / 80))) ctx.fillText(short(tick), frame.x - 7, y(tick));
    });
    within(ctx, { textAlign: "right" }, () => text(ctx, "w₁", frame.x + frame.width - 4, y(0) - 9, colour("muted"), colour("paper")));
    within(ctx, { textAlign: "left" }, () => text(ctx, "w₂", x(0) + 6, frame.y + 9, colour("muted"), colour("paper")));
    within(ctx, { strokeStyle: colour("edge"), lineWidth: 1 }, () => ctx.strokeRect(frame.x + 0.5, frame.y + 0.5, frame.width - 1, frame.height - 1));
  }
}

// ---- A network's weights ---------------------------------------------------------------------------------------------

const SIDE = { left: 50, right: 76, top: 24, bottom: 22, gap: 30 };
const SHARES = [2e-4, 1.6]; // the ends of the logarithmic axis

class WeightsPicture {
  constructor(canvas) {
    this.canvas = canvas;
    this.surface = new Surface(canvas, (...args) => this.paint(...args));
  }

  read({ edge, bins, curve }, shares, curves) {
    const [steps, checks] = curve;
    Object.assign(this, {
      edge,
      first: shares.subarray(0, bins),
      now: shares.subarray(bins),
      zeros: curves.subarray(0, steps),
      at: curves.subarray(steps, steps + checks),
      accuracy: curves.subarray(steps + checks),
    });
  }

  paint(ctx, width, height, colour) {
    if (!this.now) return;
    const wide = width - SIDE.left - SIDE.right;
    const high = (height - 2 * SIDE.top - 2 * SIDE.bottom - SIDE.gap + 20) / 2;
    const upper = { x: SIDE.left, y: SIDE.top, width: wide, height: high };
    this.histogram(ctx, upper, colour);
    this.curves(ctx, { ...upper, y: 2 * SIDE.top + high + SIDE.gap }, colour);
  }

  heading(ctx, frame, words, colour) {
    within(ctx, { textAlign: "left", fillStyle: colour("ink") }, () => ctx.fillText(words, frame.x, frame.y - 14));
  }

  histogram(ctx, frame, colour) {
    const bottom = frame.y + frame.height;
    const x = linear([-this.edge, this.edge], [frame.x, frame.x + frame.width]);
    const y = logarithmic(SHARES, [bottom, frame.y]);
    this.heading(ctx, frame, "share of the weights at each value (log)", colour);
    yAxis(ctx, frame, y, logTicks(SHARES, 4), (share) => `${short(100 * share)} %`, colour);
    const ticks = linearTicks([-this.edge, this.edge], Math.max(2, frame.width / 70));
    xAxis(ctx, bottom + 6, x, ticks, (at) => short(Number(at.toFixed(6))), colour);
    const outline = (bins) => {
      ctx.beginPath();
      ctx.moveTo(frame.x, bottom);
      bins.forEach((share, i) => [i, i + 1].forEach((edge) => ctx.lineTo(frame.x + (edge * frame.width) / bins.length, Math.min(bottom, y(Math.max(share, 1e-9))))));
      ctx.lineTo(frame.x + frame.width, bottom);
    };
    within(ctx, { clip: { ...frame, height: frame.height + 1 }, fillStyle: colour(LOSS), globalAlpha: 0.55 }, () => (outline(this.now), ctx.fill()));
    within(ctx, { clip: { ...frame, height: frame.height + 1 }, strokeStyle: colour("muted"), lineWidth: 1, dash: [2, 2] }, () => (outline(this.first), ctx.stroke()));
    this.exactly(ctx, frame, x(0), y, colour);
  }

  /** The weights that are exactly 0 stand apart: a stroke in the penalty's colour. */
  exactly(ctx, frame, at, y, colour) {
    const { zeros } = this.state;
    if (zeros) {
      const top = Math.min(y(zeros), frame.y + frame.height);
      within(ctx, { strokeStyle: colour(BALL), lineWidth: 4 }, () => line(ctx, 2, (i) => [at, i ? frame.y + frame.height : top]));
      dot(ctx, at, top, 4, colour(BALL), colour("paper"));
    }
    const words = zeros ? `${percent(zeros)} are exactly 0` : "none is exactly 0";
    within(ctx, { textAlign: "left" }, () => text(ctx, words, at + 10, zeros ? Math.max(y(zeros), frame.y + 8) : frame.y + 8, colour(BALL), colour("paper")));
  }

  curves(ctx, frame, colour) {
    const { step } = this.state;
    const bottom = frame.y + frame.height;
    const end = roomFor(Math.max(step, 100));
    const x = linear([0, end], [frame.x, frame.x + frame.width]);
    const y = linear([0, 1], [bottom, frame.y]);
    this.heading(ctx, frame, "share of zeros, and of right answers", colour);
    yAxis(ctx, frame, y, [0, 0.25, 0.5, 0.75, 1], (share) => `${100 * share} %`, colour);
    const ticks = linearTicks([0, end], Math.max(2, frame.width / 80));
    xAxis(ctx, bottom + 6, x, ticks, count, colour);
    within(ctx, { textAlign: "left", textBaseline: "top", fillStyle: colour("muted") }, () => ctx.fillText("step", frame.x + frame.width + 20, bottom + 6));
    const labels = [];
    const curve = (name, n, at, stroke, dash) => {
      if (!n) return;
      within(ctx, { strokeStyle: colour(stroke), lineWidth: dash.length ? 2 : 1.25, dash }, () => line(ctx, n, at));
      const [, end] = at(n - 1);
      labels.push({ words: name, x: 0, y: end, fill: colour(stroke) });
    };
    curve("exact zeros", this.zeros.length, (i) => [x(i), y(this.zeros[i])], BALL, []);
    curve("validation", this.at.length, (i) => [x(this.at[i]), y(this.accuracy[i])], LOSS, [9, 3]);
    for (const label of spread(labels, 15, frame.y + 6, bottom - 6)) text(ctx, label.words, frame.x + frame.width + 8, label.y, label.fill, colour("paper"));
  }
}

// ---- The page --------------------------------------------------------------------------------------------------------

class PenaltyPage {
  constructor(model, el) {
    this.build(el);
    this.link = new Link(model, (message, buffers) => this.news(message, buffers), this.root);
  }

  build(el) {
    this.about = h("span", { class: "about" });
    this.steps = h("span", { class: "step" });
    this.share = h("span", { class: "share" });
    this.canvas = h("canvas", { class: "plane", role: "img", tabindex: 0, "aria-label": "Penalty view", ...KEYS });
    this.side = h("canvas", { class: "weights", role: "img", "aria-label": "Weights" });
    this.plane = new PlanePicture(this.canvas);
    this.weights = new WeightsPicture(this.side);
    this.knobs = new Knobs((knob, value) => this.link.ask({ do: "turn", knob, value }, knob));
    this.note = h("p", { class: "note" });
    this.voice = h("div", { class: "voice", "aria-live": "polite" });
    this.root = h("section", { class: "lrlab penalty", "aria-label": "Penalty view" },
      h("header", {}, h("strong", {}, "Penalty view"), this.about, h("span", { class: "numbers" }, this.share, this.steps)),
      this.buildBar(), h("div", { class: "stage" }, this.canvas, this.side), this.knobs.node, h("footer", {}, this.note), this.voice);
    this.listen();
    el.append(this.root);
  }

  buildBar() {
    const go = (name, title, what) => (this[name] = button(name, title, () => this.link.ask({ do: what() })));
    const transport = h("div", { role: "group", "aria-label": "network" },
      go("play", "Train the network, or pause", () => (this.state.playing ? "pause" : "play")),
      go("reset", "Fresh weights", () => "reset"));
    this.choice = select("penalty", () => this.link.ask({ do: "choose", penalty: this.choice.node.value }, "choose"));
    return h("div", { class: "bar" }, transport, h("div", { class: "choices" }, this.choice.box));
  }

  news({ state, fresh, lines, window, weights }, buffers) {
    if (!fresh && !this.state) return; // part of a story whose beginning is still on its way
    const before = this.state;
    this.state = this.plane.state = this.weights.state = state;
    const rest = [...buffers];
    if (lines) this.plane.read(lines, window, floats(rest.shift()));
    if (weights) this.weights.read(weights, floats(rest[0]), floats(rest[1]));
    if (!this.plane.held && !this.link?.behind) this.plane.at = state.minimum;
    this.show();
    if (before?.playing && !state.playing) this.say(this.spoken());
    this.plane.surface.redraw();
    this.weights.surface.redraw();
  }

  show() {
    const { state } = this;
    this.root.dataset.status = state.playing ? "playing" : "resting";
    write(this.about, `two parameters · ${state.title}`);
    write(this.share, `zeros ${percent(state.zeros)}`);
    write(this.steps, `step ${count(state.step)}`);
    face(this.play, state.playing ? "pause" : "play");
    this.play.disabled = state.diverged;
    offer(this.choice.node, state.penalties, state.penalty);
    this.knobs.show(state.knobs, this.link.behind);
    this.showNote();
    this.canvas.setAttribute("aria-label", this.summary());
    this.side.setAttribute("aria-label", this.spoken());
  }

  showNote() {
    const { error, problem, step, diverged } = this.state;
    const lost = diverged ? "The loss has diverged: turn the penalty down, and reset." : "";
    const hint = step ? "" : "Turn λ and watch the solution. Drag the minimum, or focus the map and use the arrow keys (Shift: fine, Home: back). Play trains the network.";
    tell(this.note, { error, problem: problem || lost }, hint);
  }

  /** The plane in one sentence. */
  summary() {
    const { penalty, knobs, minimum, solution, budget } = this.state;
    const point = (at) => `(${at.map((value) => short(value)).join(", ")})`;
    const settings = knobs.map(({ label, value }) => `${label} ${short(value)}`).join(", ");
    return `Penalty view, ${penalty}, ${settings}: loss alone least at ${point(minimum)}, solution ${point(solution)}, R ${short(budget)}`;
  }

  /** The network in one sentence. */
  spoken() {
    const { step, zeros, accuracy } = this.state;
    const right = accuracy === null ? "" : `, validation accuracy ${percent(accuracy)}`;
    return `step ${count(step)}: ${percent(zeros)} of the weights are exactly 0${right}`;
  }

  say(words) {
    this.voice.textContent = words;
  }

  // -- what the learner does

  /** Move the minimum. The cross is drawn under the hand at once; the rest follows as fast as it is solved. */
  move([x, y]) {
    this.plane.at = [x, y];
    this.link.ask({ do: "minimum", x, y }, "minimum");
    this.plane.surface.redraw();
  }

  listen() {
    const { plane } = this;
    drag(this.canvas, {
      may: () => this.state,
      hold: (held) => ((plane.held = held), plane.surface.redraw()),
      move: (event) => this.move(plane.point(event.offsetX, event.offsetY)),
    });
    this.canvas.addEventListener("keydown", (event) => this.onKey(event));
  }

  onKey(event) {
    const way = WAYS[event.key];
    if (!this.state || (!way && event.key !== "Home")) return;
    event.preventDefault();
    if (!way) return void this.link.ask({ do: "home" }, "minimum");
    const stride = STRIDE * (event.shiftKey ? 0.1 : 1);
    this.move(this.plane.inside(this.plane.at.map((at, i) => at + way[i] * stride)));
    this.say(`minimum (${this.plane.at.map((at) => short(at)).join(", ")})`);
  }

  dispose() {
    this.link.dispose();
    this.plane.surface.dispose();
    this.weights.surface.dispose();
  }
}

export default widget(PenaltyPage);
