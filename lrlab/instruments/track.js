// The curves of a run as the kernel sends them, for the pages that draw them.

import { line, roundDown, roundUp, within } from "./canvas.js";

// The columns of a row; a row stands for `width` steps (curves.py).
export const [LOSS_LOW, LOSS_HIGH, SMOOTH, LR_LOW, LR_HIGH, LR, ACCURACY, COLUMNS] = [0, 1, 2, 3, 4, 5, 6, 7];

export class Track {
  cells = new Float32Array(0);
  rows = 0;
  moves = [];

  /** Take over the kernel's description, and the rows from row `at` on. */
  update({ at, moves, moves_at, ...description }, values) {
    Object.assign(this, description);
    this.rows = at + values.length / COLUMNS;
    if (this.cells.length < this.rows * COLUMNS) this.grow(2 * this.rows * COLUMNS);
    this.cells.set(values, at * COLUMNS);
    this.moves = this.moves.slice(0, moves_at).concat(moves);
    this.measure();
  }

  grow(length) {
    const longer = new Float32Array(length);
    longer.set(this.cells);
    this.cells = longer;
  }

  /** The extremes that the axes need, once per message rather than once per frame. */
  measure() {
    this.extremes = { loss: [Infinity, -Infinity], lr: [Infinity, -Infinity], best: 0 };
    const widen = (range, low, high) => {
      if (low > 0 && low < range[0]) range[0] = low;
      if (Number.isFinite(high) && high > range[1]) range[1] = high;
    };
    for (let i = 0; i < this.rows; i++) {
      widen(this.extremes.loss, this.get(i, SMOOTH), this.get(i, SMOOTH));
      widen(this.extremes.lr, this.get(i, LR_LOW), this.get(i, LR_HIGH));
      if (this.get(i, ACCURACY) > this.extremes.best) this.extremes.best = this.get(i, ACCURACY);
    }
  }

  get(row, column) {
    return this.cells[row * COLUMNS + column];
  }

  /** Steps done at the start and at the end of a row. */
  from(row) {
    return this.first + row * this.width;
  }

  to(row) {
    return Math.min(this.first + (row + 1) * this.width, this.end);
  }

  /** The row that holds step `step` (counted from 1), or -1. */
  rowAt(step) {
    const row = Math.ceil((step - this.first) / this.width) - 1;
    return row >= 0 && row < this.rows ? row : -1;
  }

  /** The last finite value of a column up to a row: validations do not happen at every step. */
  last(column, row = this.rows - 1) {
    for (let i = row; i >= 0; i--) if (Number.isFinite(this.get(i, column))) return this.get(i, column);
    return NaN;
  }

  /** The loss of each mini-batch, pale; of many steps in one row, the span from lowest to highest. */
  drawRaw(ctx, x, y) {
    within(ctx, { globalAlpha: 0.25, lineWidth: 1, dash: [] }, () => {
      if (this.width === 1) return line(ctx, this.rows, (i) => [x(this.to(i)), y(Math.max(this.get(i, LOSS_LOW), 1e-12))]);
      ctx.beginPath();
      for (let i = 0; i < this.rows; i++) {
        if (!(this.get(i, LOSS_HIGH) > 0)) continue;
        ctx.moveTo(x(this.to(i)), y(Math.max(this.get(i, LOSS_LOW), 1e-12)));
        ctx.lineTo(x(this.to(i)), y(this.get(i, LOSS_HIGH)) - 1);
      }
      return ctx.stroke();
    });
  }
}

/** Axis of accuracies: its ticks up to the end that the best of the tracks asks for. */
export const NINES = [0, 0.5, 0.9, 0.99, 0.999];
export const bestTick = (tracks) => (tracks.some((track) => track.extremes.best > 0.985) ? 0.999 : 0.99);

/** The ends of the axis of losses. One that diverges leaves the picture instead of flattening everything below it. */
export function lossDomain(tracks) {
  const ranges = tracks.map((track) => track.extremes.loss).filter(([low, high]) => low <= high);
  if (!ranges.length) return [0.1, 5];
  const low = Math.min(...ranges.map((range) => range[0]));
  const high = Math.max(...ranges.map((range) => range[1]));
  const start = Math.max(...tracks.map((track) => track.last(SMOOTH, 0)).filter(Number.isFinite), low);
  return [roundDown(low / 1.5), roundUp(Math.min(high, 30 * start) * 1.2)];
}
