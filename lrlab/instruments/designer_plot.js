// The schedule designer's plot: the rates of all designs, and below them, once they were trained, their losses, over one
// axis of steps. It knows where things stand; what the learner does is schedule_designer.js.

import {
  Surface, count, cut, dot, line, linear, linearTicks, logTicks, logarithmic, percent, roundDown, short, spread, text, upright,
  within, xAxis, yAxis,
} from "./canvas.js";
import { DASHES } from "./controls.js";

const PLOT = { left: 54, top: 22, gap: 30, bottom: 28, rates: 0.6 }; // `rates`: their share of the height beside losses
const LABELS = 0.24; // of the width, for the names, at most

/** The round number above x. */
function above(x) {
  const power = 10 ** Math.floor(Math.log10(x));
  return power * [1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10].find((m) => m * power >= x * (1 - 1e-9));
}

export class DesignPicture {
  cursor = null;
  pen = null; // what is being drawn: a rate for each cell of the time
  held = null; // the axis rests while a hand is on a handle

  constructor(canvas, place) {
    this.canvas = canvas;
    this.place = place; // called when the scales may have changed
    this.surface = new Surface(canvas, (...args) => this.paint(...args));
  }

  get selected() {
    return this.designs[this.state.selected];
  }

  get frames() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    const wide = width - PLOT.left - this.right;
    const free = height - PLOT.top - PLOT.bottom;
    if (!this.trained) return [{ x: PLOT.left, y: PLOT.top, width: wide, height: free }];
    const high = (free - PLOT.gap) * PLOT.rates;
    const below = PLOT.top + high + PLOT.gap;
    return [
      { x: PLOT.left, y: PLOT.top, width: wide, height: high },
      { x: PLOT.left, y: below, width: wide, height: free + PLOT.top - below },
    ];
  }

  /** Whether there is, or will soon be, something to see of a training. */
  get trained() {
    return this.state.share !== null;
  }

  /** Room for the longest label; it does not change while a training goes on. */
  get right() {
    const ctx = this.canvas.getContext("2d");
    const words = this.designs.map(({ name }) => (this.trained ? `00.0 %  ${name}` : name));
    return 16 + Math.min(this.labelWidth, Math.max(60, ...words.map((it) => ctx.measureText(it).width)));
  }

  get labelWidth() {
    return Math.max(60, LABELS * this.canvas.clientWidth);
  }

  get x() {
    const { x, width } = this.frames[0];
    return linear([0, this.state.total], [x, x + width]);
  }

  /** The ends of the axis of the rates, with room above to drag into. */
  get domain() {
    if (this.held) return this.held;
    const all = this.designs.flatMap(({ rates }) => [...rates]);
    const high = above(1.2 * Math.max(...all) || 0.1);
    if (!this.state.log) return [0, high];
    const low = Math.min(...all.filter((rate) => rate > 0), high);
    return [roundDown(Math.max(low / 1.2, high / 2e4)), high]; // a rate may fall to 0, which lies infinitely far down
  }

  get y() {
    const { y, height } = this.frames[0];
    return (this.state.log ? logarithmic : linear)(this.domain, [y + height, y]);
  }

  /** Where a rate stands on the canvas: never below the axis. */
  height(rate) {
    const { y, height } = this.frames[0];
    const at = this.y(Math.max(rate, this.state.log ? this.domain[0] / 2 : 0));
    return Math.min(Math.max(at, y), y + height);
  }

  /** Step and rate under a pixel. At the very bottom of a logarithmic axis the rate is 0. */
  under(px, py) {
    const [low, high] = this.domain;
    const rate = Math.min(Math.max(this.y.value(py), low), high);
    const step = Math.min(Math.max(this.x.value(px), 0), this.state.total);
    return [Math.round(step), this.state.log && rate <= low * 1.001 ? 0 : Number(rate.toPrecision(3))];
  }

  paint(ctx, width, height, colour) {
    if (!this.state) return;
    const [rates, losses] = this.frames;
    this.ratePanel(ctx, rates, colour);
    if (losses) this.lossPanel(ctx, losses, colour);
    const { x, width: wide, ...last } = losses ?? rates;
    const bottom = last.y + last.height;
    xAxis(ctx, bottom + 8, this.x, linearTicks([0, this.state.total], wide / 60).filter(Number.isInteger), count, colour);
    within(ctx, { textAlign: "left", fillStyle: colour("muted") }, () => ctx.fillText("step", x + wide + 22, bottom + 14));
    if (this.cursor !== null) this.readings(ctx, rates, bottom, colour);
    this.place();
  }

  title(ctx, frame, words, colour) {
    within(ctx, { textAlign: "left", fillStyle: colour("muted") }, () => ctx.fillText(words, frame.x, frame.y - 13));
  }

  look(slot, colour, chosen) {
    return { strokeStyle: colour(`series-${slot}`), lineWidth: chosen ? 2.5 : 1.5, lineJoin: "round", dash: DASHES[slot] };
  }

  /** The selected design last, on top. */
  get inOrder() {
    return [...this.designs].sort((a, b) => (a === this.selected) - (b === this.selected));
  }

  ratePanel(ctx, frame, colour) {
    const wanted = Math.max(2, Math.floor(frame.height / 28));
    yAxis(ctx, frame, this.y, (this.state.log ? logTicks : linearTicks)(this.domain, wanted), short, colour);
    this.title(ctx, frame, `learning rate α${this.state.log ? " (log)" : ""}`, colour);
    const labels = this.inOrder.map((design) => {
      const last = design.rates.length - 1;
      const at = (i) => [this.x((i / last) * this.state.total), this.height(design.rates[i])];
      within(ctx, this.look(design.slot, colour, design === this.selected), () => line(ctx, last + 1, at));
      return { words: design.name, x: 0, y: this.height(design.rates[last]), fill: colour(`series-${design.slot}`) };
    });
    this.names(ctx, labels, frame, colour);
    if (this.pen) this.trace(ctx, colour);
  }

  names(ctx, labels, frame, colour) {
    for (const label of spread(labels, 15, frame.y + 6, frame.y + frame.height - 5)) {
      text(ctx, cut(ctx, label.words, this.labelWidth), frame.x + frame.width + 10, label.y, label.fill, colour("paper"));
    }
  }

  /** What the pen has drawn so far, as the stairs that it will be. */
  trace(ctx, colour) {
    const stairs = this.pen.flatMap((rate, cell) => (rate === null ? [] : [[cell, rate], [cell + 1, rate]]));
    within(ctx, { strokeStyle: colour("ink"), lineWidth: 2, lineJoin: "round" }, () =>
      line(ctx, stairs.length, (i) => [this.x((stairs[i][0] / this.pen.length) * this.state.total), this.height(stairs[i][1])]));
  }

  lossLabel({ name, same, accuracy, diverged }) {
    if (!same) return `before: ${name}`;
    if (diverged) return `${diverged === this.runs ? "diverged" : `${diverged} diverged`}: ${name}`;
    return accuracy === null ? name : `${percent(accuracy)}  ${name}`;
  }

  get lossScale() {
    const frame = this.frames[1];
    const finite = this.losses.flatMap(({ quartiles }) => quartiles.flatMap((row) => [...row])).filter((v) => v > 0 && v < Infinity);
    const starts = this.losses.map(({ quartiles }) => quartiles[1][0]).filter((v) => v > 0 && v < Infinity);
    const start = starts.length ? Math.max(...starts) : Infinity;
    const [low, high] = finite.length ? [Math.min(...finite), Math.max(...finite)] : [0.1, 1];
    // A loss that explodes leaves the picture instead of flattening the others.
    const domain = [roundDown(low / 1.1), above(Math.min(high, 10 * start) * 1.05)];
    return [domain, logarithmic(domain, [frame.y + frame.height, frame.y])];
  }

  lossPanel(ctx, frame, colour) {
    const [domain, y] = this.lossScale;
    yAxis(ctx, frame, y, logTicks(domain, Math.max(2, Math.floor(frame.height / 26))), short, colour);
    const spreads = this.runs > 1 && frame.width > 340 ? `: median and quartiles of ${this.runs} seeds` : "";
    this.title(ctx, frame, `training loss (log)${spreads}; validation accuracy`, colour);
    const labels = this.losses.map((loss) => {
      const { steps, quartiles: [low, median, high], slot, same } = loss;
      const look = same ? this.look(slot, colour, slot === this.selected.slot) : { strokeStyle: colour("ghost"), lineWidth: 1.25, dash: [2, 3] };
      within(ctx, { clip: frame, fillStyle: look.strokeStyle, globalAlpha: 0.18 }, () => this.band(ctx, steps, low, high, y));
      within(ctx, { clip: frame, ...look }, () => line(ctx, steps.length, (i) => [this.x(steps[i]), y(median[i])]));
      const last = median.findLast((value) => !Number.isNaN(value));
      const at = last === undefined ? frame.y : Math.min(Math.max(y(last), frame.y), frame.y + frame.height);
      return { words: this.lossLabel(loss), x: 0, y: at, fill: same ? look.strokeStyle : colour("muted") };
    });
    this.names(ctx, labels, frame, colour);
  }

  band(ctx, steps, low, high, y) {
    const known = [...steps.keys()].filter((i) => Number.isFinite(low[i]));
    ctx.beginPath();
    for (const i of known) ctx.lineTo(this.x(steps[i]), y(Math.min(high[i], 1e30)));
    for (const i of known.reverse()) ctx.lineTo(this.x(steps[i]), y(low[i]));
    ctx.fill();
  }

  /** The values of all curves at a step. */
  values(step) {
    const rates = this.designs.map(({ name, slot, rates: all }) =>
      ({ name, slot, value: all[Math.round((step / this.state.total) * (all.length - 1))] }));
    const losses = this.losses.map(({ name, slot, same, steps, quartiles }) => {
      const bin = Math.min(Math.floor((step / this.state.total) * steps.length), steps.length - 1);
      return { name, slot, same, value: quartiles[1][bin] };
    });
    return { rates, losses };
  }

  readings(ctx, frame, bottom, colour) {
    const at = this.x(this.cursor);
    const { rates, losses } = this.values(this.cursor);
    upright(ctx, at, frame.y, bottom, { strokeStyle: colour("muted") });
    const left = at > frame.x + frame.width * 0.7;
    const write = (all, y, { y: top, height }) => {
      const labels = all.filter(({ value }) => Number.isFinite(value)).map(({ slot, value, same }) => {
        const fill = same === false ? colour("ghost") : colour(`series-${slot}`);
        const place = Math.min(Math.max(y(value), top), top + height);
        dot(ctx, at, place, 3.5, fill, colour("paper"));
        return { words: short(value), x: 0, y: place - 9, fill };
      });
      within(ctx, { textAlign: left ? "right" : "left" }, () => {
        for (const label of spread(labels, 15, top + 6, top + height - 4)) {
          text(ctx, label.words, at + (left ? -8 : 8), label.y, label.fill, colour("paper"));
        }
      });
    };
    write(rates, (rate) => this.height(rate), frame);
    if (this.trained) write(losses, this.lossScale[1], this.frames[1]);
    within(ctx, { textAlign: "center" }, () =>
      text(ctx, this.moment(this.cursor), at, frame.y - 10, colour("ink"), colour("paper")));
  }

  /** A step, and the epoch it lies in. */
  moment(step) {
    return `step ${count(step)}, epoch ${(step / this.state.epoch).toFixed(1)}`;
  }

  /** The values at a step, in words. */
  spoken(step) {
    const { rates, losses } = this.values(step);
    const words = rates.map(({ name, value }) => `${name} ${short(value)}`);
    const more = losses.length ? `; training loss: ${losses.map(({ name, value }) => `${name} ${short(value)}`).join(", ")}` : "";
    return `${this.moment(step)}: learning rate ${words.join(", ")}${more}`;
  }
}
