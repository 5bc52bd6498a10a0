// The adaptive view's page: one panel for each rule, one curve for each parameter. It keeps no state of its own;
// adaptive_view.py describes the messages.

import {
  Surface, count, dot, line, linear, linearTicks, logTicks, logarithmic, short, spread, text, upright, within, xAxis, yAxis,
} from "./canvas.js";
import { DASHES, KEYS, Knobs, button, floats, h, offer, select, tell, write } from "./controls.js";
import { lookAlong } from "./hand.js";
import { Link, widget } from "./link.js";

const PANEL = { left: 52, top: 26, bottom: 30, gap: 24 };
const NARROW = 700; // below, the panels stand two by two

class PanelPicture {
  cursor = null;

  constructor(canvas) {
    this.canvas = canvas;
    this.surface = new Surface(canvas, (...args) => this.paint(...args));
  }

  get(panel, step, parameter) {
    const [, steps, parameters] = this.shape;
    return this.values[(panel * steps + step) * parameters + parameter];
  }

  get steps() {
    return this.shape?.[1] ?? 0;
  }

  /** Where each panel lies. Those beside one another share the axis on the left, and the names on the right. */
  get frames() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    const columns = width < NARROW ? 2 : 4;
    const rows = 4 / columns;
    const wide = (width - PANEL.left - this.right - PANEL.gap * (columns - 1)) / columns;
    const high = height / rows - PANEL.top - PANEL.bottom;
    return this.state.rules.map((_, i) => ({
      x: PANEL.left + (i % columns) * (wide + PANEL.gap),
      y: PANEL.top + Math.floor(i / columns) * (high + PANEL.top + PANEL.bottom),
      width: wide,
      height: high,
      first: i % columns === 0,
      last: i % columns === columns - 1,
    }));
  }

  get right() {
    const ctx = this.canvas.getContext("2d");
    return 14 + Math.max(...this.state.names.map((name) => ctx.measureText(name).width));
  }

  x(frame) {
    return linear([1, Math.max(2, this.steps)], [frame.x, frame.x + frame.width]);
  }

  paint(ctx, width, height, colour) {
    if (!this.state) return;
    this.frames.forEach((frame, panel) => this.panel(ctx, panel, frame, colour));
  }

  panel(ctx, panel, frame, colour) {
    const { state } = this;
    const x = this.x(frame);
    const bottom = frame.y + frame.height;
    const y = logarithmic(state.ends, [bottom, frame.y]);
    yAxis(ctx, frame, y, logTicks(state.ends, Math.max(2, Math.floor(frame.height / 26))), frame.first ? short : () => "", colour);
    const ticks = linearTicks([0, this.steps], Math.max(1, frame.width / 60)).filter((tick) => tick && Number.isInteger(tick));
    xAxis(ctx, bottom + 6, x, ticks, count, colour);
    within(ctx, { textAlign: "left", fillStyle: colour("ink") }, () => ctx.fillText(state.rules[panel], frame.x, frame.y - 13));
    if (state.shown === "step") this.reference(ctx, frame, y, colour);
    const labels = state.names.map((name, parameter) => {
      const stroke = colour(`series-${parameter}`);
      const look = { strokeStyle: stroke, lineWidth: parameter ? 2 : 2.5, lineJoin: "round", dash: DASHES[parameter] };
      const value = (step) => y(Math.max(this.get(panel, step, parameter), state.ends[0] / 10));
      within(ctx, { ...look, clip: frame }, () => line(ctx, this.steps, (i) => [x(i + 1), value(i)]));
      const end = Math.min(Math.max(value(this.steps - 1), frame.y), bottom);
      return { words: name, x: 0, y: Number.isFinite(end) ? end : bottom, fill: stroke };
    });
    if (frame.last) {
      within(ctx, { textBaseline: "top", fillStyle: colour("muted") }, () => ctx.fillText("step", frame.x + frame.width + 14, bottom + 6));
      for (const label of spread(labels, 15, frame.y + 6, bottom - 4)) {
        text(ctx, label.words, frame.x + frame.width + 8, label.y, label.fill, colour("paper"));
      }
    }
    if (this.cursor !== null) this.reading(ctx, panel, frame, x, y, colour);
  }

  /** The learning rate, for comparison. */
  reference(ctx, frame, y, colour) {
    const lr = this.state.knobs.find(({ name }) => name === "lr").value;
    if (lr < this.state.ends[0] || lr > this.state.ends[1]) return;
    const at = Math.round(y(lr)) + 0.5;
    within(ctx, { strokeStyle: colour("muted"), lineWidth: 1, dash: [2, 3] }, () => line(ctx, 2, (i) => [frame.x + i * frame.width, at]));
    if (frame.first) within(ctx, { textAlign: "left" }, () => text(ctx, "α", frame.x + 4, at - 9, colour("muted"), colour("paper")));
  }

  reading(ctx, panel, frame, x, y, colour) {
    const at = x(this.cursor);
    upright(ctx, at, frame.y, frame.y + frame.height, { strokeStyle: colour("muted") });
    const left = at > frame.x + frame.width / 2;
    const labels = [];
    this.state.names.forEach((_, parameter) => {
      const value = this.get(panel, this.cursor - 1, parameter);
      if (!Number.isFinite(value)) return;
      const fill = colour(`series-${parameter}`);
      const place = Math.min(Math.max(y(Math.max(value, this.state.ends[0])), frame.y), frame.y + frame.height);
      dot(ctx, at, place, 3.5, fill, colour("paper"));
      labels.push({ words: short(value), x: 0, y: place - 9, fill });
    });
    within(ctx, { textAlign: left ? "right" : "left" }, () => {
      for (const label of spread(labels, 15, frame.y + 6, frame.y + frame.height - 6)) {
        text(ctx, label.words, at + (left ? -8 : 8), label.y, label.fill, colour("paper"));
      }
    });
  }

  /** The values of a step in words. */
  spoken(step) {
    const { rules, names } = this.state;
    const words = rules.map((rule, panel) => {
      const values = names.map((name, parameter) => `${name} ${short(this.get(panel, step - 1, parameter))}`);
      return `${rule}: ${values.join(", ")}`;
    });
    return `step ${count(step)}. ${words.join("; ")}`;
  }
}

class ViewPage {
  constructor(model, el) {
    this.build(el);
    this.link = new Link(model, (message, buffers) => this.news(message, buffers), this.root);
  }

  build(el) {
    this.about = h("span", { class: "about" });
    this.canvas = h("canvas", { role: "img", tabindex: 0, "aria-label": "Adaptive view", ...KEYS });
    this.picture = new PanelPicture(this.canvas);
    this.shown = select("shows", () => this.link.ask({ do: "show", quantity: this.shown.node.value }, "show"));
    this.knobs = new Knobs((knob, value) => this.link.ask({ do: "turn", knob, value }, knob));
    this.note = h("p", { class: "note" });
    this.voice = h("div", { class: "voice", "aria-live": "polite" });
    const transport = h("div", {}, button("reset", "Back to the first settings", () => this.link.ask({ do: "reset" })));
    this.root = h("section", { class: "lrlab adaptive", "aria-label": "Adaptive view" },
      h("header", {}, h("strong", {}, "Adaptive view"), this.about),
      h("div", { class: "bar" }, transport, h("div", { class: "choices" }, this.shown.box)),
      this.canvas, this.knobs.node, h("footer", {}, this.note), this.voice);
    this.listen();
    el.append(this.root);
  }

  news({ state, fresh, shape }, buffers) {
    if (!fresh && !this.state) return; // part of a story whose beginning is still on its way
    this.state = this.picture.state = state;
    if (shape) [this.picture.shape, this.picture.values] = [shape, floats(buffers[0])];
    if (this.picture.cursor > this.picture.steps) this.picture.cursor = null;
    write(this.about, state.title);
    offer(this.shown.node, state.quantities, state.shown);
    this.knobs.show(state.knobs, this.link.behind);
    tell(this.note, state, "");
    this.canvas.setAttribute("aria-label", this.summary());
    this.picture.surface.redraw();
  }

  summary() {
    const [, words] = this.state.quantities.find(([key]) => key === this.state.shown);
    return `Adaptive view, ${words}, ${this.state.title}: first ${this.picture.spoken(1)}. Last ${this.picture.spoken(this.picture.steps)}`;
  }

  /** Put the cursor at a step in all panels (null: away). */
  look(step) {
    this.picture.cursor = step === null || !this.picture.steps ? null : Math.min(Math.max(step, 1), this.picture.steps);
    this.picture.surface.redraw();
  }

  listen() {
    const { picture } = this;
    lookAlong(this.canvas, {
      under: ({ offsetX: px, offsetY: py }) => {
        const frame = this.state && picture.frames.find(({ x, y, width, height }) => px >= x - 6 && px <= x + width + 6 && py >= y && py <= y + height);
        return frame ? Math.round(picture.x(frame).value(px)) : null;
      },
      at: () => picture.cursor ?? 1,
      stride: () => Math.max(1, Math.round(picture.steps / 50)),
      look: (step) => this.look(step),
      say: () => picture.cursor && write(this.voice, picture.spoken(picture.cursor)),
    });
  }

  dispose() {
    this.link.dispose();
    this.picture.surface.dispose();
  }
}

export default widget(ViewPage);
