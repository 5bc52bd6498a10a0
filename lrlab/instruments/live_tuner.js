// The live tuner's page: it shows what the kernel sends and sends what the learner does. It keeps no state of its own:
// a new page says hello and is sent everything. live_tuner.py describes the messages.

import {
  Surface, accuracy, count, cut, dot, line, linear, linearTicks, logTicks, logarithmic, percent, roomFor, roundDown, roundUp, short,
  spread, tag, text, upright, within, xAxis, yAxis,
} from "./canvas.js";
import { DASHES, KEYS, Knobs, button, face, floats, h, offer, select, tell, write } from "./controls.js";
import { lookAlong } from "./hand.js";
import { Link, calm, widget } from "./link.js";
import { ACCURACY, LR, LR_HIGH, LR_LOW, NINES, SMOOTH, Track, bestTick, lossDomain } from "./track.js";

// ---- The picture: three panels over one axis of steps --------------------------------------------------------------

const LEFT = 56;
const RIGHT = [132, 0.28]; // for the names at the ends: at least so many pixels, at most this share of the width
const GAP = 26; // between panels: the title of the lower one stands there
const TOP = 20;
const AXIS = 22;
const LINE_HEIGHT = 15;

const PANELS = [
  { key: "loss", title: "loss (log)", column: SMOOTH, share: 0.54, format: short },
  { key: "accuracy", title: "validation accuracy (log of the errors)", column: ACCURACY, share: 0.23, format: percent },
  { key: "lr", title: "applied learning rate (log)", column: LR, share: 0.23, format: short },
];

/** Where each panel lies on a canvas of this size, with room for the names on the right. */
function frames(width, height, right) {
  const free = height - AXIS - TOP - GAP * (PANELS.length - 1);
  let y = TOP;
  return PANELS.map(({ share }) => {
    const frame = { x: LEFT, y, width: width - LEFT - right, height: free * share };
    y += frame.height + GAP;
    return frame;
  });
}

/** The values that a panel's axis spans, snapped to round numbers so that it rests while the curves grow. */
function domainOf(key, tracks) {
  if (key === "accuracy") return [0, bestTick(tracks)];
  if (key === "loss") return lossDomain(tracks);
  const ranges = tracks.map((t) => t.extremes.lr).filter(([low, high]) => low <= high);
  if (!ranges.length) return [0.01, 1];
  return [roundDown(Math.min(...ranges.map((r) => r[0])) / 1.6), roundUp(Math.max(...ranges.map((r) => r[1])) * 1.6)];
}

const SCALES = { loss: logarithmic, accuracy, lr: logarithmic };

function ticksOf(key, domain, height) {
  if (key === "accuracy") return NINES.filter((a) => a <= domain[1]);
  return logTicks(domain, Math.max(2, Math.floor(height / 22)));
}

class Picture {
  constructor(canvas) {
    this.tracks = [];
    this.cursor = null;
    this.target = null;
    this.surface = new Surface(canvas, (...args) => this.paint(...args));
    this.font = "12px sans-serif";
  }

  get current() {
    return this.tracks.find((track) => track.kind === "current");
  }

  /** The end of the axis of steps. */
  get room() {
    return Math.max(20, roomFor(Math.max(...this.tracks.map((track) => track.end), 1)));
  }

  x(width) {
    return linear([0, this.room], [LEFT, width - this.right(width)]);
  }

  /** Room for the longest name; it changes only when a run joins. */
  right(width) {
    const ctx = this.surface.canvas.getContext("2d");
    const widest = Math.max(0, ...this.tracks.map(({ label }) => ctx.measureText(`${label}  0.00123`).width));
    return Math.max(RIGHT[0], Math.min(widest + 16, RIGHT[1] * width));
  }

  paint(ctx, width, height, colour) {
    const x = this.x(width);
    // The current run is drawn last, on top.
    const order = { ghost: 0, run: 1, current: 2 };
    const tracks = this.tracks.filter((t) => t.rows).sort((a, b) => order[a.kind] - order[b.kind]);
    const right = this.right(width);
    const places = frames(width, height, right);
    const scales = PANELS.map(({ key }, i) => this.panel(ctx, key, places[i], tracks, colour));
    PANELS.forEach((panel, i) => this.curves(ctx, panel, places[i], right, x, scales[i], tracks, colour));
    for (const track of tracks.filter((t) => t.kind !== "ghost")) this.moves(ctx, track, x, scales[2], colour);
    const bottom = places[2].y + places[2].height;
    const wanted = Math.floor((width - LEFT - right) / 90);
    xAxis(ctx, bottom + 7, x, linearTicks([0, this.room], wanted).filter(Number.isInteger), count, colour);
    within(ctx, { textAlign: "left", textBaseline: "top", fillStyle: colour("muted") }, () =>
      ctx.fillText("steps", width - right + 22, bottom + 7));
    if (this.target !== null) upright(ctx, x(this.target), TOP, bottom, { strokeStyle: colour("ink"), dash: [3, 3] });
    if (this.cursor !== null) this.readings(ctx, places, x, scales, tracks, bottom, colour);
  }

  /** Axis and title of one panel; returns its scale. */
  panel(ctx, key, frame, tracks, colour) {
    const domain = domainOf(key, tracks);
    const y = SCALES[key](domain, [frame.y + frame.height, frame.y]);
    const { title } = PANELS.find((panel) => panel.key === key);
    const format = key === "accuracy" ? (a) => `${short(100 * a)} %` : short;
    yAxis(ctx, frame, y, ticksOf(key, domain, frame.height), format, colour);
    within(ctx, { textAlign: "left", textBaseline: "bottom", fillStyle: colour("muted") }, () =>
      ctx.fillText(title, frame.x, frame.y - 4));
    return y;
  }

  strokeOf(track, colour) {
    return track.kind === "ghost" ? colour("ghost") : colour(`series-${track.slot % 7}`);
  }

  curves(ctx, { key, column, format }, frame, right, x, y, tracks, colour) {
    const labels = [];
    for (const track of tracks) {
      const stroke = this.strokeOf(track, colour);
      const look = {
        strokeStyle: stroke,
        lineJoin: "round",
        lineWidth: { ghost: 1, run: 1.5, current: 2 }[track.kind],
        dash: track.kind === "ghost" ? [2, 3] : DASHES[track.slot % DASHES.length],
      };
      const clip = { x: frame.x, y: frame.y, width: frame.width + 4, height: frame.height };
      within(ctx, { ...look, clip }, () => {
        if (key === "loss" && track.kind === "current") track.drawRaw(ctx, x, y);
        if (key === "lr") this.stairs(ctx, track, x, y);
        else line(ctx, track.rows, (i) => [x(track.to(i)), y(track.get(i, column))]);
      });
      const fill = track.kind === "ghost" ? colour("muted") : stroke; // a line may be paler than words
      labels.push(...this.endLabel(ctx, track, key, column, format, right, x, y, fill));
    }
    const placed = spread(labels, LINE_HEIGHT, frame.y + 6, frame.y + frame.height - 4, right);
    for (const label of placed) text(ctx, label.words, label.x, label.y, label.fill, colour("paper"));
  }

  /** The applied rate as stairs: it holds during a step and jumps between two. */
  stairs(ctx, track, x, y) {
    ctx.beginPath();
    for (let i = 0; i < track.rows; i++) {
      const at = x(track.from(i));
      const [low, high, last] = [LR_LOW, LR_HIGH, LR].map((column) => y(track.get(i, column)));
      if (!i) ctx.moveTo(at, last);
      if (low !== high) [low, high].forEach((value) => ctx.lineTo(at, value));
      ctx.lineTo(at, last);
      ctx.lineTo(x(track.to(i)), last);
    }
    ctx.stroke();
  }

  /** The name and last value of a curve, beside its end; an old future has its name beside its loss only. */
  endLabel(ctx, track, key, column, format, right, x, y, fill) {
    const value = track.last(column);
    if (!Number.isFinite(value) || (track.kind === "ghost" && key !== "loss")) return [];
    const number = track.kind === "ghost" ? "" : `  ${format(value)}`;
    const words = cut(ctx, track.label, right - 12 - ctx.measureText(number).width) + number;
    // Where another run goes on from here, its curve starts at this height: the words stand a little above.
    const lift = track.kind === "current" ? 0 : 10;
    return [{ words, x: x(track.end) + (lift ? 3 : 8), y: y(value) - lift, fill }];
  }

  /** A dot on the rate's curve for every turn of a knob: filled for the rate, hollow for any other. */
  moves(ctx, track, x, y, colour) {
    const stroke = this.strokeOf(track, colour);
    const paper = colour("paper");
    for (const rate of [false, true]) {
      let before = -Infinity;
      for (const [step, knob] of track.moves) {
        // Dragging makes many moves: one dot where they would overlap.
        if ((knob === "lr") !== rate || step < track.first || x(step) - before < 4) continue;
        before = x(step);
        const row = Math.min(Math.max(track.rowAt(step + 1), 0), track.rows - 1);
        dot(ctx, before, y(track.get(row, LR)), 3.5, rate ? stroke : paper, rate ? paper : stroke);
      }
    }
  }

  /** The values under the cursor, each beside its curve, and the step in a box on the axis. */
  readings(ctx, places, x, scales, tracks, bottom, colour) {
    const at = x(this.cursor);
    upright(ctx, at, TOP, bottom, { strokeStyle: colour("muted") });
    const right = at < LEFT + places[0].width * 0.7;
    PANELS.forEach(({ column, format }, i) => {
      const labels = [];
      for (const track of tracks.filter((t) => t.kind !== "ghost")) {
        const row = track.rowAt(this.cursor);
        const value = row < 0 ? NaN : track.last(column, row);
        if (!Number.isFinite(value)) continue;
        const stroke = this.strokeOf(track, colour);
        const limit = Math.min(Math.max(scales[i](value), places[i].y), places[i].y + places[i].height);
        dot(ctx, at, limit, 3.5, stroke, colour("paper"));
        labels.push({ words: format(value), x: at, y: limit - 9, fill: stroke });
      }
      within(ctx, { textAlign: right ? "left" : "right" }, () => {
        for (const label of spread(labels, LINE_HEIGHT, places[i].y + 6, places[i].y + places[i].height)) {
          text(ctx, label.words, at + (right ? 8 : -8), label.y, label.fill, colour("paper"));
        }
      });
    });
    this.turnsAt(ctx, at, x, places[2], right, colour);
    tag(ctx, count(this.cursor), at, bottom + 13, colour);
  }

  /** What was turned, where the cursor is on a dot. */
  turnsAt(ctx, at, x, frame, right, colour) {
    const near = this.current?.moves.filter(([step]) => Math.abs(x(step) - at) < 5).at(-1);
    if (!near) return;
    within(ctx, { textAlign: right ? "left" : "right" }, () =>
      text(ctx, `${near[1]} → ${near[2]}`, at + (right ? 8 : -8), frame.y + frame.height - 7, colour("ink"), colour("paper")));
  }

  /** The values under the cursor in words, for those who hear the page. */
  spoken() {
    const track = this.current;
    const row = track?.rowAt(this.cursor) ?? -1;
    if (row < 0) return "no values here";
    const [loss, acc, lr] = [SMOOTH, ACCURACY, LR].map((column) => track.last(column, row));
    const checked = Number.isFinite(acc) ? `, validation accuracy ${percent(acc)}` : "";
    return `step ${count(this.cursor)}: loss ${short(loss)}${checked}, learning rate ${short(lr)}`;
  }
}

// ---- The whole instrument ------------------------------------------------------------------------------------------

const SPEEDS = [[0, "full"], [1000, "1,000 /s"], [200, "200 /s"], [50, "50 /s"], [10, "10 /s"]];

class TunerPage {
  constructor(model, el) {
    this.tracks = new Map();
    this.waiting = null;
    this.build(el);
    this.link = new Link(model, (message, buffers) => this.hear(message, buffers), this.root);
  }

  // -- what the page looks like

  build(el) {
    this.about = h("span", { class: "about" });
    this.numbers = ["step", "epoch", "rate"].map((key) => h("span", { class: key }));
    this.canvas = h("canvas", { role: "img", tabindex: 0, "aria-label": "Live tuner", ...KEYS });
    this.picture = new Picture(this.canvas);
    this.scrubber = h("input", {
      type: "range", class: "scrubber", min: 0, step: 1, "aria-label": "step to rewind to or branch from",
      oninput: () => this.scrub(Number(this.scrubber.value)), onkeydown: (event) => this.onScrubberKey(event), ...KEYS,
    });
    this.goal = h("output", { class: "goal", "aria-hidden": "true" });
    this.knobs = new Knobs((knob, value) => this.turn(knob, value));
    this.note = h("p", { class: "note" });
    this.voice = h("div", { class: "voice", "aria-live": "polite" });
    this.root = h("section", { class: "lrlab", "aria-label": "Live tuner" },
      h("header", {}, h("strong", {}, "Live tuner"), this.about, h("span", { class: "numbers" }, ...this.numbers)),
      this.buildBar(),
      this.canvas,
      h("div", { class: "along" }, this.scrubber, this.goal),
      this.knobs.node, h("footer", {}, this.note, this.buildLog()), this.voice);
    this.listenToCanvas();
    el.append(this.root);
  }

  buildBar() {
    const go = (name, title, message) => (this[name] = button(name, title, () => this.link.ask(message())));
    const transport = h("div", { role: "group", "aria-label": "training" },
      go("play", "Train on, or pause", () => ({ do: this.state.status === "running" ? "pause" : "play" })),
      go("step", "Make one step", () => ({ do: "step" })),
      go("rewind", "Go back to the scrubber's place", () => this.free({ do: "rewind", step: this.place })),
      go("branch", "Start a second run from the scrubber's place", () => this.free({ do: "branch", step: this.place })),
      go("reset", "Start again with a new seed", () => this.free({ do: "reset" })),
      go("stop", "Stop, and let go of everything", () => ({ do: "stop" })));
    this.rule = select("rule", () => this.turn("rule", this.rule.node.value));
    this.run = select("run", () => this.link.ask({ do: "select", run: Number(this.run.node.value) }));
    this.speed = select("speed", () => this.link.ask({ do: "speed", speed: Number(this.speed.node.value) }));
    return h("div", { class: "bar" }, transport, h("div", { class: "choices" }, this.rule.box, this.run.box, this.speed.box));
  }

  buildLog() {
    this.upload = h("input", { type: "file", accept: ".json,application/json", hidden: true, onchange: () => this.replay() });
    return h("div", { class: "log", role: "group", "aria-label": "moves" },
      button("save moves", "Download every move as a JSON file", () => this.link.ask({ do: "save" })),
      button("replay", "Replay the moves of a saved file as a new run", () => this.upload.click()),
      button("as schedule", "Copy the applied learning rate as a schedule, in Python", () => this.link.ask({ do: "schedule" })),
      this.upload);
  }

  // -- what comes from the kernel

  hear(message, buffers) {
    if (message.is === "news") return this.news(message, buffers);
    if (message.view !== this.link.name) return undefined;
    if (message.is === "file") this.download(message);
    if (message.is === "copy") this.copy(message.text);
    return undefined;
  }

  news({ state, tracks, fresh }, buffers) {
    if (!fresh && !this.state) return; // part of a story whose beginning is still on its way
    const before = this.state?.status;
    this.state = state;
    if (fresh) this.tracks.clear();
    tracks.forEach((track, i) => this.track(track.id).update(track, floats(buffers[i])));
    this.picture.tracks = [...this.tracks.values()];
    if (this.place !== null && this.place >= state.step) this.free();
    this.showState();
    if (before === "running" && state.status !== "running") this.say(this.summary());
    this.repaint(state.status !== "running");
  }

  track(id) {
    if (!this.tracks.has(id)) this.tracks.set(id, new Track());
    return this.tracks.get(id);
  }

  /** Paint the news; for learners who asked for less motion, once a second while training. */
  repaint(now) {
    if (now || !calm()) return this.picture.surface.redraw();
    this.waiting ??= setTimeout(() => ((this.waiting = null), this.picture.surface.redraw()), 1000);
    return undefined;
  }

  showState() {
    const { state } = this;
    const running = state.status === "running";
    this.root.dataset.status = state.status;
    write(this.about, state.about);
    [`step ${count(state.step)}`, `epoch ${state.epoch.toFixed(1)}`, `${running ? count(state.rate) : "–"} steps/s`]
      .forEach((words, i) => write(this.numbers[i], words));
    face(this.play, running ? "pause" : "play");
    this.play.disabled = state.status === "diverged"; // there is no way on, only back
    this.step.disabled = running || this.play.disabled;
    this.stop.disabled = state.stopped;
    offer(this.rule.node, state.rules.map((name) => [name, name]), state.rule);
    this.rule.node.disabled = state.rules.length < 2;
    offer(this.run.node, state.runs.map((name, i) => [i, name]), state.current);
    this.run.node.disabled = state.runs.length < 2;
    const speeds = SPEEDS.some(([speed]) => speed === state.speed) ? SPEEDS : [...SPEEDS, [state.speed, `${short(state.speed)} /s`]];
    offer(this.speed.node, speeds, state.speed);
    this.knobs.show(state.knobs, this.link.behind);
    this.showScrubber();
    this.showNote();
    this.canvas.setAttribute("aria-label", this.summary());
  }

  showNote() {
    tell(this.note, this.state, this.notice || this.state.hint);
  }

  /** The state in one sentence: the picture's text, and what is announced at a pause. */
  summary() {
    const { state } = this;
    const track = this.picture.current;
    const words = [`Live tuner, ${state.about}: ${state.status} at step ${count(state.step)}`];
    if (track?.rows) {
      words.push(`loss ${short(track.last(SMOOTH))}`);
      if (Number.isFinite(track.last(ACCURACY))) words.push(`validation accuracy ${percent(track.last(ACCURACY))}`);
      words.push(`applied learning rate ${short(track.last(LR))}`);
    }
    return words.join(", ");
  }

  say(words) {
    this.voice.textContent = words;
  }

  // -- what the learner does

  turn(knob, value) {
    this.link.ask({ do: "turn", knob, value }, knob);
  }

  /** The step the scrubber was put at, or null while it follows the run. */
  place = null;

  scrub(step) {
    const end = this.state?.step ?? 0;
    this.place = step < end ? Math.max(0, step) : null;
    this.picture.target = this.place;
    this.showScrubber();
    this.picture.surface.redraw();
  }

  /** Let the scrubber follow the run again; returns `message`, so that it can be sent in the same breath. */
  free(message) {
    this.place = this.picture.target = null;
    return message;
  }

  showScrubber() {
    const step = this.place ?? this.state?.step ?? 0;
    this.scrubber.max = this.picture.room;
    this.scrubber.value = step;
    this.scrubber.setAttribute("aria-valuetext", `step ${count(step)}`);
    write(this.goal, this.place === null ? "" : `◂ step ${count(step)}`);
    this.rewind.disabled = this.place === null;
  }

  /** Arrow keys move the scrubber by a hundredth of the axis, with Shift by one step. */
  onScrubberKey(event) {
    const direction = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1 }[event.key];
    if (!direction) return;
    event.preventDefault();
    this.scrub((this.place ?? this.state.step) + direction * (event.shiftKey ? 1 : this.stride));
  }

  get stride() {
    return Math.max(1, Math.round(this.picture.room / 100));
  }

  listenToCanvas() {
    const under = (event) => Math.round(this.picture.x(this.canvas.clientWidth).value(event.offsetX));
    lookAlong(this.canvas, {
      under,
      at: () => this.picture.cursor ?? this.state?.step ?? 0,
      stride: () => this.stride,
      look: (step) => this.look(step),
      say: () => this.say(this.picture.spoken()),
    });
    this.canvas.addEventListener("click", (event) => this.scrub(under(event)));
    this.canvas.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && this.picture.cursor !== null) this.scrub(this.picture.cursor);
    });
  }

  /** Put the cursor at a step (null: away). */
  look(step) {
    const end = this.picture.tracks.length ? Math.max(...this.picture.tracks.map((track) => track.end)) : 0;
    this.picture.cursor = step === null || !end ? null : Math.min(Math.max(step, 1), end);
    this.picture.surface.redraw();
  }

  // -- files and the clipboard

  async replay() {
    const [file] = this.upload.files;
    if (file) this.link.ask(this.free({ do: "replay", text: await file.text() }));
    this.upload.value = ""; // the same file may be chosen twice
  }

  download({ name, text }) {
    const url = URL.createObjectURL(new Blob([text], { type: "application/json" }));
    h("a", { href: url, download: name }).click();
    setTimeout(() => URL.revokeObjectURL(url), 1000);
  }

  async copy(words) {
    try {
      await navigator.clipboard.writeText(words);
      this.notify(`copied: ${words}`);
    } catch {
      this.notify(words); // no clipboard on this page (plain http, say): it can be copied by hand
    }
  }

  /** Show a notice for a while in the hint's place. */
  notify(words) {
    this.notice = words;
    this.showNote();
    this.say(words);
    clearTimeout(this.forget);
    this.forget = setTimeout(() => ((this.notice = ""), this.showNote()), 10000);
  }

  dispose() {
    clearTimeout(this.waiting);
    clearTimeout(this.forget);
    this.link.dispose();
    this.picture.surface.dispose();
  }
}

export default widget(TunerPage);
