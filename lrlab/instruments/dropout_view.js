// The dropout view's page: a network under a mask, what single masks and their average say, and what units hand on.
// It keeps no state of its own; dropout_view.py describes the messages.

import { Surface, count, dot, line, linear, percent, short, text, within, xAxis } from "./canvas.js";
import { KEYS, Knobs, button, face, h, offer, select, tell, write } from "./controls.js";
import { Link, widget } from "./link.js";

const [KEPT, MEAN, SCALED] = ["series-0", "series-1", "series-0"];

// ---- The network -----------------------------------------------------------------------------------------------------

class NetworkPicture {
  constructor(canvas) {
    this.canvas = canvas;
    this.surface = new Surface(canvas, (...args) => this.paint(...args));
  }

  paint(ctx, width, height, colour) {
    const { state } = this;
    if (!state) return;
    const units = state.mask.length / 2;
    const [top, bottom] = [30, height - 12];
    const y = (i, n) => top + ((i + 0.5) * (bottom - top)) / n;
    const x = { image: 8, hidden: [width * 0.42, width * 0.64], out: width * 0.8 };
    const side = Math.min(96, width * 0.24);
    this.links(ctx, units, x, y, side, (top + bottom) / 2, colour);
    this.image(ctx, x.image, (top + bottom) / 2 - side / 2, side, colour);
    state.mask.forEach((kept, i) => this.unit(ctx, x.hidden[Math.floor(i / units)], y(i % units, units), kept, state.active[i], colour));
    this.answers(ctx, x.out, y, width, colour);
    within(ctx, { textAlign: "center", fillStyle: colour("muted") }, () => {
      ctx.fillText(`a ${state.label}`, x.image + side / 2, (top + bottom) / 2 - side / 2 - 12);
      ["hidden 1", "hidden 2"].forEach((words, i) => ctx.fillText(words, x.hidden[i], 12));
      ctx.fillText("answer", x.out + 12, 12);
    });
  }

  /** Only between units that are there; the more one hands over to the other, the stronger. */
  links(ctx, units, x, y, side, middle, colour) {
    const { mask, active, links, now } = this.state;
    const draw = (x0, y0, x1, y1, strength) => {
      ctx.globalAlpha = Math.min(0.75, 0.05 + strength);
      line(ctx, 2, (i) => (i ? [x1, y1] : [x0, y0]));
    };
    within(ctx, { strokeStyle: colour("muted"), lineWidth: 0.8 }, () => {
      for (let i = 0; i < units; i++) {
        if (!mask[i]) continue;
        draw(x.image + side, middle, x.hidden[0], y(i, units), 0.12);
        for (let j = 0; j < units; j++) {
          if (mask[units + j]) draw(x.hidden[0], y(i, units), x.hidden[1], y(j, units), Math.abs(links[j * units + i]) * active[i] * 0.3);
        }
      }
      for (let j = 0; j < units; j++) {
        if (mask[units + j]) now.forEach((p, k) => draw(x.hidden[1], y(j, units), x.out, y(k, now.length), 0.25 * p * active[units + j]));
      }
    });
  }

  image(ctx, x, y, side, colour) {
    const { image } = this.state;
    const most = Math.max(...image);
    const cell = side / 8;
    within(ctx, { fillStyle: colour("ink") }, () => {
      image.forEach((value, i) => {
        ctx.globalAlpha = value / most;
        ctx.fillRect(x + (i % 8) * cell, y + Math.floor(i / 8) * cell, cell + 0.3, cell + 0.3);
      });
    });
    within(ctx, { strokeStyle: colour("edge"), lineWidth: 1 }, () => ctx.strokeRect(x, y, side, side));
  }

  /** A unit that is there is a disc, filled by how much it hands on; a dropped one is a cross in a dashed ring. */
  unit(ctx, x, y, kept, active, colour) {
    if (kept) {
      dot(ctx, x, y, 7, colour("paper"), colour(KEPT));
      within(ctx, { globalAlpha: Math.min(1, active / 3) }, () => dot(ctx, x, y, 6, colour(KEPT), colour(KEPT)));
      return;
    }
    dot(ctx, x, y, 7, colour("paper"), colour("paper"));
    within(ctx, { strokeStyle: colour("ghost"), lineWidth: 1.2 }, () => {
      line(ctx, 2, (i) => [x + (i ? 4 : -4), y + (i ? 4 : -4)]);
      line(ctx, 2, (i) => [x + (i ? 4 : -4), y - (i ? 4 : -4)]);
      ctx.setLineDash([2, 2]);
      ctx.beginPath();
      ctx.arc(x, y, 7, 0, 2 * Math.PI);
      ctx.stroke();
    });
  }

  answers(ctx, left, y, width, colour) {
    const { now, label } = this.state;
    const room = width - left - 26;
    now.forEach((p, k) => {
      const at = y(k, now.length);
      within(ctx, { fillStyle: colour("grid") }, () => ctx.fillRect(left + 18, at - 6, room, 12));
      within(ctx, { fillStyle: colour(KEPT) }, () => ctx.fillRect(left + 18, at - 6, room * p, 12));
      within(ctx, { textAlign: "center", fillStyle: colour(k === label ? "ink" : "muted"), font: `${k === label ? "bold " : ""}12px ${colour("font")}` },
        () => ctx.fillText(k, left + 8, at));
    });
  }
}

// ---- What the masks say, and what the units hand on ------------------------------------------------------------------

const SIDE = { left: 26, right: 16, top: 24, bottom: 20, gap: 26 };

class SidePicture {
  constructor(canvas) {
    this.canvas = canvas;
    this.surface = new Surface(canvas, (...args) => this.paint(...args));
  }

  paint(ctx, width, height, colour) {
    if (!this.state) return;
    const room = height - 2 * SIDE.top - 2 * SIDE.bottom - SIDE.gap + 18;
    const upper = { x: SIDE.left, y: SIDE.top, width: width - SIDE.left - SIDE.right, height: room * 0.6 };
    this.predictions(ctx, upper, colour);
    this.activations(ctx, { ...upper, y: upper.y + upper.height + SIDE.bottom + SIDE.gap, height: room * 0.4 }, colour);
  }

  predictions(ctx, frame, colour) {
    const { single, average, scaled, label, masks } = this.state;
    const x = linear([0, 1], [frame.x + 6, frame.x + frame.width - 6]);
    const gap = frame.height / 10;
    const y = (k) => frame.y + (k + 0.5) * gap;
    this.legend(ctx, frame, masks, colour);
    xAxis(ctx, frame.y + frame.height + 5, x, [0, 0.25, 0.5, 0.75, 1], (p) => `${100 * p} %`, colour);
    average.forEach((mean, k) => {
      within(ctx, { strokeStyle: colour("grid"), lineWidth: 1 }, () => line(ctx, 2, (i) => [frame.x + i * frame.width, Math.round(y(k)) + 0.5]));
      within(ctx, { textAlign: "center", fillStyle: colour(k === label ? "ink" : "muted"), font: `${k === label ? "bold " : ""}12px ${colour("font")}` },
        () => ctx.fillText(k, frame.x - 12, y(k)));
      within(ctx, { fillStyle: colour("ghost"), globalAlpha: 0.55 }, () => {
        single.forEach((row, m) => {
          ctx.beginPath();
          ctx.arc(x(row[k]), y(k) + (((m * 7) % 11) / 10 - 0.5) * gap * 0.6, 1.8, 0, 2 * Math.PI);
          ctx.fill();
        });
      });
      within(ctx, { strokeStyle: colour(SCALED), lineWidth: 3 }, () => line(ctx, 2, (i) => [x(scaled[k]), y(k) + (i ? 0.42 : -0.42) * gap]));
      this.diamond(ctx, x(mean), y(k), colour);
    });
  }

  diamond(ctx, x, y, colour) {
    within(ctx, { fillStyle: colour(MEAN), strokeStyle: colour("paper"), lineWidth: 1.2 }, () => {
      ctx.beginPath();
      [[0, -5.5], [5.5, 0], [0, 5.5], [-5.5, 0]].forEach(([dx, dy]) => ctx.lineTo(x + dx, y + dy));
      ctx.closePath();
      ctx.fill();
      ctx.stroke();
    });
  }

  legend(ctx, frame, masks, colour) {
    const at = frame.y - 13;
    let x = frame.x;
    const words = (mark, label, fill) => {
      mark(x + 5);
      within(ctx, { textAlign: "left", fillStyle: fill }, () => ctx.fillText(label, x + 14, at));
      x += 14 + ctx.measureText(label).width + 14;
    };
    words((px) => within(ctx, { fillStyle: colour("ghost") }, () => (ctx.beginPath(), ctx.arc(px, at, 2.2, 0, 2 * Math.PI), ctx.fill())), "a mask", colour("muted"));
    words((px) => this.diamond(ctx, px, at, colour), `average of ${count(masks)}`, colour(MEAN));
    words((px) => within(ctx, { strokeStyle: colour(SCALED), lineWidth: 3 }, () => line(ctx, 2, (i) => [px, at + (i ? 6 : -6)])), "weights scaled", colour(SCALED));
  }

  activations(ctx, frame, colour) {
    const { handed, edge, mode } = this.state;
    const bottom = frame.y + frame.height;
    const most = Math.max(...handed.flatMap(([bins]) => bins)) || 1;
    const x = linear([0, edge], [frame.x, frame.x + frame.width]);
    const y = linear([0, most * 1.08], [bottom, frame.y]);
    within(ctx, { textAlign: "left", fillStyle: colour("ink") }, () => ctx.fillText("handed on by the hidden units (above 0)", frame.x, frame.y - 13));
    xAxis(ctx, bottom + 5, x, [0, 3, 6, 9, 12], (at) => (at === edge ? `≥ ${at}` : at), colour);
    within(ctx, { strokeStyle: colour("edge"), lineWidth: 1 }, () => line(ctx, 2, (i) => [frame.x + i * frame.width, Math.round(bottom) + 0.5]));
    handed.forEach(([bins, mean], i) => {
      const name = ["training", "inference"][i];
      const look = { strokeStyle: colour([MEAN, SCALED][i]), lineWidth: name === mode ? 2.25 : 1.25, dash: [[5, 3], []][i] };
      const steps = (k) => [x((Math.ceil(k / 2) * edge) / bins.length), y(bins[Math.min(Math.floor(k / 2), bins.length - 1)])];
      within(ctx, { ...look, clip: { ...frame, height: frame.height + 1 } }, () => {
        line(ctx, 2 * bins.length, steps);
        line(ctx, 2, (k) => [x(mean), k ? bottom : frame.y + 2]);
      });
      within(ctx, { textAlign: "right" }, () =>
        text(ctx, `${name}: mean ${short(mean, 2)}`, frame.x + frame.width, frame.y + 8 + 17 * i, colour([MEAN, SCALED][i]), colour("paper")));
    });
  }
}

// ---- The page --------------------------------------------------------------------------------------------------------

class DropoutPage {
  constructor(model, el) {
    this.build(el);
    this.link = new Link(model, (message) => this.news(message), this.root);
  }

  build(el) {
    this.about = h("span", { class: "about" });
    this.mask = h("span", { class: "mask" });
    this.canvas = h("canvas", { role: "img", tabindex: 0, "aria-label": "Dropout view", ...KEYS });
    this.side = h("canvas", { role: "img", "aria-label": "Predictions" });
    this.network = new NetworkPicture(this.canvas);
    this.predictions = new SidePicture(this.side);
    this.knobs = new Knobs((knob, value) => this.link.ask({ do: "turn", knob, value }, knob));
    this.note = h("p", { class: "note" });
    this.voice = h("div", { class: "voice", "aria-live": "polite" });
    this.root = h("section", { class: "lrlab dropout", "aria-label": "Dropout view" },
      h("header", {}, h("strong", {}, "Dropout view"), this.about, h("span", { class: "numbers" }, this.mask)),
      this.buildBar(), h("div", { class: "stage" }, this.canvas, this.side), this.knobs.node, h("footer", {}, this.note), this.voice);
    this.canvas.addEventListener("keydown", (event) => this.onKey(event));
    el.append(this.root);
  }

  buildBar() {
    const go = (name, title, what) => (this[name] = button(name, title, () => this.link.ask(what())));
    const masks = h("div", { role: "group", "aria-label": "masks" },
      go("play", "Draw mask after mask, or pause", () => ({ do: this.state.playing ? "pause" : "play" })),
      go("step", "A new mask (right arrow)", () => ({ do: "step" })),
      go("reset", "Back to the first mask", () => ({ do: "reset" })),
      go("next digit", "Another digit (down arrow)", () => ({ do: "look", by: 1 })));
    this.mode = select("mode", () => this.link.ask({ do: "switch", mode: this.mode.node.value }, "mode"));
    this.form = select("form", () => this.link.ask({ do: "choose", convention: this.form.node.value }, "form"));
    return h("div", { class: "bar" }, masks, h("div", { class: "choices" }, this.mode.box, this.form.box));
  }

  news({ state, fresh }) {
    if (!fresh && !this.state) return; // part of a story whose beginning is still on its way
    const before = this.state;
    this.state = this.network.state = this.predictions.state = state;
    this.show();
    if (before?.playing && !state.playing) this.say(this.spoken());
    this.network.surface.redraw();
    this.predictions.surface.redraw();
  }

  show() {
    const { state } = this;
    this.root.dataset.status = state.playing ? "playing" : "resting";
    write(this.about, "64-16-16-10 on digits");
    write(this.mask, this.words());
    face(this.play, state.playing ? "pause" : "play");
    this.play.disabled = this.step.disabled = state.full;
    offer(this.mode.node, state.modes, state.mode);
    offer(this.form.node, state.conventions, state.convention);
    this.knobs.show([state.knob], this.link.behind);
    tell(this.note, state, this.explained());
    this.canvas.setAttribute("aria-label", this.summary());
    this.side.setAttribute("aria-label", this.spoken());
  }

  get dropped() {
    return this.state.mask.filter((kept) => !kept).length;
  }

  words() {
    const { masks, mode } = this.state;
    return mode === "inference" ? "no unit dropped" : `mask ${count(masks)}: ${this.dropped} of ${this.state.mask.length} dropped`;
  }

  /** What is done to the activations now. */
  explained() {
    const { mode, convention, p } = this.state;
    const keep = short(1 - p);
    if (mode === "training") return convention === "lecture" ? "Kept units hand on x as it is." : `Kept units hand on x / ${keep}: as much, in the mean, as all of them would.`;
    return convention === "lecture" ? `All units hand on ${keep} · x: as much as those that were kept, in the mean.` : "All units hand on x as it is.";
  }

  summary() {
    const { p, mode, convention, label, now } = this.state;
    const best = now.indexOf(Math.max(...now));
    return `Dropout view, ${mode}, ${convention} form, p ${short(p)}: ${this.words()}. A ${label}, taken for a ${best} with ${percent(now[best])}`;
  }

  spoken() {
    const { label, average, scaled, masks, now } = this.state;
    return `${this.words()}. Probability of the ${label}: now ${percent(now[label])}, average of ${count(masks)} masks ${percent(average[label])}, weights scaled ${percent(scaled[label])}`;
  }

  say(words) {
    this.voice.textContent = words;
  }

  onKey(event) {
    const wish = { ArrowRight: { do: "step" }, ArrowDown: { do: "look", by: 1 }, ArrowUp: { do: "look", by: -1 }, Home: { do: "reset" } }[event.key];
    if (!this.state || !wish) return;
    event.preventDefault();
    this.link.ask(wish);
  }

  dispose() {
    this.link.dispose();
    this.network.surface.dispose();
    this.predictions.surface.dispose();
  }
}

export default widget(DropoutPage);
