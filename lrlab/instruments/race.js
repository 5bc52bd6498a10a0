// The race's page: a map with the paths, and the heights against the step. It shows what the kernel sends and sends what
// the learner does, and keeps no state of its own: a new page says hello and is sent everything. race.py describes it.

import {
  Surface, count, dot, line, linear, linearTicks, logTicks, logarithmic, roomFor, roundDown, short, spread, text, upright,
  within, xAxis, yAxis,
} from "./canvas.js";
import { DASHES, KEYS, Knobs, button, chip, face, floats, h, offer, select, tell, write } from "./controls.js";
import { WAYS, drag, lookAlong } from "./hand.js";
import { Link, calm, widget } from "./link.js";
import { Ground, arrow, cross, marker, scalesOf } from "./map.js";

// The columns of a row, one row for each point of a path (race.py). The parts are those of the step that begins there.
const [X, Y, GAP_ABOVE, VELOCITY, GRADIENT, WIDE] = [0, 1, 2, 3, 5, 7];

/** One racer's path. */
class Path {
  cells = new Float32Array(0);

  update({ at, ...about }, rows) {
    Object.assign(this, about);
    const cells = new Float32Array(at * WIDE + rows.length);
    cells.set(this.cells.subarray(0, at * WIDE));
    cells.set(rows, at * WIDE);
    this.cells = cells;
    this.n = cells.length / WIDE;
  }

  get(row, column) {
    return this.cells[row * WIDE + column];
  }

  /** The value between two steps; a path that has ended rests where it is. */
  at(step, column) {
    const [from, to] = [Math.floor(step), Math.ceil(step)].map((row) => this.get(Math.min(row, this.n - 1), column));
    return from + (step - Math.floor(step)) * (to - from);
  }

  /** The last row at or before a step. */
  row(step) {
    return Math.min(Math.floor(step), this.n - 1);
  }

  /** Whether it has diverged by that step. */
  lost(step) {
    return this.diverged !== null && step >= this.diverged;
  }
}

// ---- What both pictures show: the paths up to a step, and a cursor ---------------------------------------------------

const GLIDE_MS = 110; // the time between two pieces of news: a path grows smoothly from one to the next

class Scene {
  paths = [];
  cursor = null;
  #from = 0;
  #to = 0;
  #since = 0;

  /** Let the paths grow to this step; at once where nothing should move. */
  grow(step, glide) {
    this.#from = glide && !calm() ? Math.min(this.shown, step) : step;
    this.#to = step;
    this.#since = performance.now();
  }

  get shown() {
    const share = Math.min(1, (performance.now() - this.#since) / GLIDE_MS);
    return this.#from + share * (this.#to - this.#from);
  }

  get moving() {
    return this.shown < this.#to;
  }

  /** The step that markers and arrows stand at. */
  get place() {
    return this.cursor ?? this.shown;
  }

  get selected() {
    return this.paths.find((path) => path.name === this.state.selected);
  }

  look(path, colour) {
    const chosen = path === this.selected;
    return { strokeStyle: colour(`series-${path.slot}`), lineWidth: chosen ? 2.25 : 1.5, lineJoin: "round", dash: DASHES[path.slot] };
  }

  /** The selected racer last, on top. */
  get inOrder() {
    return [...this.paths].sort((a, b) => (a === this.selected) - (b === this.selected));
  }

  /** What became of a racer, in words. */
  fate(path, [[left, right], [bottom, top]], step = this.place) {
    if (path.lost(step)) return `diverged at step ${count(path.diverged)}`;
    const [x, y] = [path.at(step, X), path.at(step, Y)];
    return x < left || x > right || y < bottom || y > top ? "is off the map" : "";
  }
}

// ---- The map -----------------------------------------------------------------------------------------------------------

const MAP = { left: 40, right: 12, top: 6, bottom: 22 };
const ARROW_PX = 64; // about the length of the longer arrow

class MapPicture {
  constructor(canvas, scene) {
    this.canvas = canvas;
    this.scene = scene;
    this.surface = new Surface(canvas, (...args) => this.paint(...args));
  }

  get frame() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    return { x: MAP.left, y: MAP.top, width: width - MAP.left - MAP.right, height: height - MAP.top - MAP.bottom };
  }

  get scales() {
    return scalesOf(this.land.window, this.frame);
  }

  /** The point of the map under a pixel, or the nearest one that is on it. */
  point(px, py) {
    const { x, y } = this.scales;
    const clamp = (value, [low, high]) => Math.min(Math.max(value, low), high);
    return [clamp(x.value(px), this.land.window[0]), clamp(y.value(py), this.land.window[1])];
  }

  paint(ctx, width, height, colour) {
    if (!this.land) return;
    const { frame, scales, scene } = this;
    this.ground.draw(ctx, frame, colour);
    this.axes(ctx, frame, scales, colour);
    within(ctx, { clip: frame }, () => {
      for (const at of this.land.minima) cross(ctx, scales.x(at[0]), scales.y(at[1]), 4, colour("ink"));
      for (const path of scene.inOrder) this.path(ctx, path, scales, colour);
      this.start(ctx, scales, colour);
      if (scene.selected) this.arrows(ctx, scene.selected, scales, frame, colour);
    });
    this.heads(ctx, frame, scales, colour);
    if (scene.moving) this.surface.redraw();
  }

  axes(ctx, frame, { x, y }, colour) {
    const [sides, updown] = this.land.window;
    xAxis(ctx, frame.y + frame.height + 6, x, linearTicks(sides, frame.width / 80).slice(0, 12), short, colour);
    within(ctx, { textAlign: "right", fillStyle: colour("muted") }, () => {
      for (const tick of linearTicks(updown, frame.height / 60)) {
        const at = Math.min(Math.max(y(tick), frame.y + 6), frame.y + frame.height - 6);
        ctx.fillText(short(tick), frame.x - 6, at);
      }
    });
    within(ctx, { strokeStyle: colour("edge"), lineWidth: 1 }, () =>
      ctx.strokeRect(frame.x + 0.5, frame.y + 0.5, frame.width - 1, frame.height - 1));
  }

  path(ctx, path, { x, y }, colour) {
    const { place } = this.scene;
    const last = path.row(place);
    const n = last + 1 + (place > last && last < path.n - 1);
    const at = (i) => {
      const step = Math.min(i, place);
      return [x(path.at(step, X)), y(path.at(step, Y))];
    };
    const look = this.scene.look(path, colour);
    within(ctx, look, () => line(ctx, n, at));
    // The steps themselves, where they are long enough to be told apart.
    ctx.fillStyle = look.strokeStyle;
    let [px, py] = at(0);
    for (let i = 1; i <= last; i++) {
      const [qx, qy] = at(i);
      if (Math.hypot(qx - px, qy - py) > 7) {
        ctx.beginPath();
        ctx.arc(qx, qy, 2, 0, 2 * Math.PI);
        ctx.fill();
      }
      [px, py] = [qx, qy];
    }
  }

  /** The handle: a ring, with the four ways it can go. */
  start(ctx, { x, y }, colour) {
    const [px, py] = [x(this.at[0]), y(this.at[1])];
    const held = this.held || document.activeElement === this.canvas;
    dot(ctx, px, py, 7, colour("paper"), colour("ink"));
    within(ctx, { strokeStyle: held ? colour("accent") : colour("ink"), lineWidth: held ? 2.5 : 1.5 }, () => {
      ctx.beginPath();
      ctx.arc(px, py, held ? 9 : 7, 0, 2 * Math.PI);
      ctx.stroke();
      for (const [dx, dy] of [[1, 0], [0, 1]]) line(ctx, 2, (i) => [px + (i ? 3 : -3) * dx, py + (i ? 3 : -3) * dy]);
    });
  }

  /** Velocity and gradient of the selected racer: the two parts of its next step, both magnified alike. */
  arrows(ctx, path, { x, y }, frame, colour) {
    const row = path.row(this.scene.place);
    if (path.lost(this.scene.place)) return;
    const from = [x(path.get(row, X)), y(path.get(row, Y))];
    const part = (column) => [0, 1].map((i) => {
      const to = path.get(row, i) + path.get(row, column + i);
      return (i ? y(to) : x(to)) - from[i];
    });
    const parts = [["gradient", part(GRADIENT), colour("ink"), [4, 3]], ["velocity", part(VELOCITY), colour(`series-${path.slot}`), []]];
    const longest = Math.max(...parts.map(([, [dx, dy]]) => Math.hypot(dx, dy)));
    if (!(longest > 1e-9) || !Number.isFinite(longest)) return;
    const times = Math.max(1, roundDown(ARROW_PX / longest));
    for (const [name, [dx, dy], stroke, dash] of parts) {
      if (times * Math.hypot(dx, dy) < 4) continue;
      const tip = [from[0] + times * dx, from[1] + times * dy];
      arrow(ctx, from, tip, stroke, colour("paper"), dash);
      within(ctx, { textAlign: dx < 0 ? "right" : "left" }, () =>
        text(ctx, name, tip[0] + (dx < 0 ? -6 : 6), tip[1] + (dy < 0 ? -6 : 6), stroke, colour("paper")));
    }
    within(ctx, { textAlign: "left", textBaseline: "bottom" }, () => {
      const scale = times > 1 ? ` × ${count(times)}` : "";
      const words = frame.width < 340 ? `arrows${scale}` : `arrows: the two parts of ${path.name}'s next step${scale}`;
      text(ctx, words, frame.x + 8, frame.y + frame.height - 7, colour("muted"), colour("paper"));
    });
  }

  /** A marker for each racer; one that has left the map waits at its edge, with words. */
  heads(ctx, frame, { x, y }, colour) {
    const { place } = this.scene;
    const labels = [];
    for (const path of this.scene.inOrder) {
      const row = path.lost(place) ? this.lastSeen(path) : place;
      const clamp = (value, from, length) => Math.min(Math.max(value, from + 7), from + length - 7);
      const px = clamp(x(path.at(row, X)), frame.x, frame.width);
      const py = clamp(y(path.at(row, Y)), frame.y, frame.height);
      const stroke = colour(`series-${path.slot}`);
      marker(ctx, path.slot, px, py, path === this.scene.selected ? 5.5 : 4.5, stroke, colour("paper"));
      const fate = this.scene.fate(path, this.land.window);
      if (fate) labels.push({ words: `${path.name} ${fate}`, x: px, y: py, fill: path.lost(place) ? colour("alarm") : stroke });
    }
    for (const label of spread(labels, 16, frame.y + 12, frame.y + frame.height - 12)) {
      const left = label.x + 12 + ctx.measureText(label.words).width > frame.x + frame.width;
      within(ctx, { textAlign: left ? "right" : "left" }, () =>
        text(ctx, label.words, label.x + (left ? -12 : 12), label.y, label.fill, colour("paper")));
    }
  }

  /** The last row of a path with a place on any map. */
  lastSeen(path) {
    let row = path.n - 1;
    while (row > 0 && !(Number.isFinite(path.get(row, X)) && Number.isFinite(path.get(row, Y)))) row--;
    return row;
  }
}

// ---- Height against step -------------------------------------------------------------------------------------------------

const CURVES = { left: 50, top: 24, bottom: 22 };
const WIDEST = "  0.00025"; // the longest value beside a name
const LOWEST = 1e-14; // below, float64 has little left to say

class CurvePicture {
  constructor(canvas, scene) {
    this.canvas = canvas;
    this.scene = scene;
    this.surface = new Surface(canvas, (...args) => this.paint(...args));
  }

  get frame() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    return { x: CURVES.left, y: CURVES.top, width: width - CURVES.left - this.right, height: height - CURVES.top - CURVES.bottom };
  }

  /** Room for the longest label: it depends on the names only, so that nothing moves while the values change. */
  get right() {
    const ctx = this.canvas.getContext("2d");
    return 18 + Math.max(0, ...this.scene.paths.map(({ name }) => ctx.measureText(name + WIDEST).width));
  }

  get x() {
    const { x, width } = this.frame;
    return linear([0, Math.max(20, roomFor(this.scene.state.step))], [x, x + width]);
  }

  /** Whole decades, so that the axis rests while the curves fall; a height that explodes leaves the picture. */
  get domain() {
    let [low, high] = [Infinity, 0];
    for (const path of this.scene.paths) {
      for (let i = 0; i < path.n; i++) {
        const gap = path.get(i, GAP_ABOVE);
        if (gap > LOWEST && gap < low) low = gap;
        if (i === 0) high = Math.max(high, gap);
      }
    }
    if (!(high > 0)) return [0.1, 10];
    return [10 ** Math.floor(Math.log10(Math.min(low, high / 10)) + 1e-9), 10 ** Math.ceil(Math.log10(high * 1.2) - 1e-9)];
  }

  paint(ctx, width, height, colour) {
    if (!this.scene.state) return;
    const { scene, frame } = this;
    const { domain, x } = this;
    const y = logarithmic(domain, [frame.y + frame.height, frame.y]);
    yAxis(ctx, frame, y, logTicks(domain, Math.max(2, Math.floor(frame.height / 26))), short, colour);
    const ticks = linearTicks([0, Math.max(20, roomFor(scene.state.step))], frame.width / 60).filter(Number.isInteger);
    xAxis(ctx, frame.y + frame.height + 6, x, ticks, count, colour);
    within(ctx, { textAlign: "left", fillStyle: colour("muted") }, () => {
      ctx.fillText(`${this.axis} (log)`, frame.x, frame.y - 13);
      ctx.fillText("step", frame.x + frame.width + 14, frame.y + frame.height + 12);
    });
    const labels = scene.inOrder.map((path) => this.curve(ctx, path, x, y, colour));
    const bottom = frame.y + frame.height;
    if (scene.cursor !== null) this.rule(ctx, x(scene.cursor), bottom, colour);
    for (const path of scene.inOrder) this.head(ctx, path, x, y, colour);
    for (const label of spread(labels, 16, frame.y + 6, bottom - 4)) {
      text(ctx, label.words, frame.x + frame.width + 14, label.y, label.fill, colour("paper"));
    }
    if (scene.moving) this.surface.redraw();
  }

  height(path, step, y) {
    const { y: top, height } = this.frame;
    const gap = path.at(step, GAP_ABOVE);
    return Number.isFinite(gap) ? Math.min(Math.max(y(Math.max(gap, LOWEST)), top), top + height) : top;
  }

  curve(ctx, path, x, y, colour) {
    const { shown, place } = this.scene;
    const n = Math.min(Math.ceil(shown) + 1, path.n);
    const look = this.scene.look(path, colour);
    const at = (i) => {
      const step = Math.min(i, shown);
      return [x(step), y(Math.max(path.at(step, GAP_ABOVE), LOWEST))];
    };
    within(ctx, { ...look, clip: this.frame }, () => line(ctx, n, at));
    const lost = path.lost(place);
    const words = lost ? "diverged" : short(path.at(place, GAP_ABOVE), 2);
    return { words: `${path.name}  ${words}`, x: 0, y: this.height(path, place, y), fill: look.strokeStyle };
  }

  head(ctx, path, x, y, colour) {
    const { place } = this.scene;
    const step = path.lost(place) ? path.n - 1 : place;
    marker(ctx, path.slot, x(step), this.height(path, step, y), 4, colour(`series-${path.slot}`), colour("paper"));
  }

  rule(ctx, at, bottom, colour) {
    upright(ctx, at, this.frame.y, bottom, { strokeStyle: colour("muted") });
    within(ctx, { textAlign: "center" }, () =>
      text(ctx, `step ${count(this.scene.cursor)}`, at, this.frame.y + 7, colour("ink"), colour("paper")));
  }
}

// ---- The whole instrument ------------------------------------------------------------------------------------------------

const SPEEDS = [[5, "5 /s"], [15, "15 /s"], [30, "30 /s"], [100, "100 /s"], [0, "full"]];
const STRIDE = 1 / 50; // of the map's width, for one press of an arrow key; a tenth of it with Shift

class RacePage {
  constructor(model, el) {
    this.scene = new Scene();
    this.build(el);
    this.link = new Link(model, (message, buffers) => this.news(message, buffers), this.root);
  }

  // -- what the page looks like

  build(el) {
    this.about = h("span", { class: "about" });
    this.steps = h("span", { class: "step" });
    this.land = h("canvas", { class: "land", role: "img", tabindex: 0, "aria-label": "Race", ...KEYS });
    this.heights = h("canvas", { class: "heights", role: "img", tabindex: 0, "aria-label": "Heights", ...KEYS });
    this.map = new MapPicture(this.land, this.scene);
    this.curves = new CurvePicture(this.heights, this.scene);
    this.racers = h("div", { class: "racers", role: "radiogroup", "aria-label": "racer whose knobs and arrows are shown" });
    this.knobs = new Knobs((knob, value) => this.turn(knob, value));
    this.note = h("p", { class: "note" });
    this.voice = h("div", { class: "voice", "aria-live": "polite" });
    this.root = h("section", { class: "lrlab race", "aria-label": "Race" },
      h("header", {}, h("strong", {}, "Race"), this.about, h("span", { class: "numbers" }, this.steps)),
      this.buildBar(),
      h("div", { class: "stage" }, this.land, this.heights),
      this.racers, this.knobs.node, h("footer", {}, this.note), this.voice);
    this.listenToMap();
    this.listenToHeights();
    el.append(this.root);
  }

  buildBar() {
    const go = (name, title, what) => (this[name] = button(name, title, () => this.link.ask({ do: what() })));
    const transport = h("div", { role: "group", "aria-label": "race" },
      go("play", "Race on, or pause", () => (this.state.playing ? "pause" : "play")),
      go("step", "Make one step", () => "step"),
      go("reset", "Back to step 0", () => "reset"));
    this.speed = select("speed", () => this.link.ask({ do: "speed", speed: Number(this.speed.node.value) }));
    return h("div", { class: "bar" }, transport, h("div", { class: "choices" }, this.speed.box));
  }

  // -- what comes from the kernel

  news({ state, racers, fresh, map }, buffers) {
    if (!fresh && !this.state) return; // part of a story whose beginning is still on its way
    const before = this.state;
    this.state = this.scene.state = state;
    const rest = [...buffers];
    if (fresh) this.readMap(map, rest.splice(0, 2));
    let grown = !fresh;
    racers.forEach((racer, i) => {
      grown &&= racer.at > 0;
      this.path(racer.name).update(racer, floats(rest[i]));
    });
    this.scene.grow(state.step, grown && state.step > (before?.step ?? 0));
    if (!this.map.held && !this.link.behind) this.map.at = state.start;
    this.show();
    if (before?.playing && !state.playing) this.say(this.summary());
    this.redraw();
  }

  readMap(map, [points, depth]) {
    this.map.land = map;
    this.map.ground = new Ground(map, floats(points), new Uint8Array(depth.buffer, depth.byteOffset, depth.byteLength));
    this.map.at = this.state.start;
    this.curves.axis = map.axis;
    this.scene.paths = [];
  }

  path(name) {
    let path = this.scene.paths.find((known) => known.name === name);
    if (!path) this.scene.paths.push((path = new Path()));
    return path;
  }

  redraw() {
    this.map.surface.redraw();
    this.curves.surface.redraw();
  }

  show() {
    const { state } = this;
    this.root.dataset.status = state.playing ? "playing" : "resting";
    write(this.about, `${state.title} · start (${state.start.map((at) => short(at)).join(", ")})`);
    write(this.steps, `step ${count(state.step)}`);
    face(this.play, state.playing ? "pause" : "play");
    this.play.disabled = state.over && !state.playing;
    this.step.disabled = state.playing || state.over;
    const speeds = SPEEDS.some(([speed]) => speed === state.speed) ? SPEEDS : [...SPEEDS, [state.speed, `${short(state.speed)} /s`]];
    offer(this.speed.node, speeds, state.speed);
    this.showRacers();
    this.knobs.show(state.knobs, this.link.behind, state.selected);
    this.showNote();
    this.land.setAttribute("aria-label", this.summary());
    this.heights.setAttribute("aria-label", this.spoken(state.step));
  }

  /** One chip for each racer: it selects whose knobs are shown, and its sample of line and marker explains the pictures. */
  showRacers() {
    const { paths, state } = { paths: this.scene.paths, state: this.state };
    if (this.racers.children.length !== paths.length) this.racers.replaceChildren(...paths.map((path) => this.chip(path)));
    paths.forEach((path, i) => {
      const chip = this.racers.children[i];
      chip.firstChild.checked = path.name === state.selected;
      write(chip.lastChild, this.scene.fate(path, this.map.land.window, state.step));
    });
  }

  chip({ name, slot }) {
    return chip(name, slot, `racer ${this.link.name}`, () => this.link.ask({ do: "select", racer: name }));
  }

  showNote() {
    const hint = this.state.step ? "" : "Drag the start, or focus the map and move it with the arrow keys (Shift: fine, Home: back); then play.";
    tell(this.note, this.state, hint);
  }

  /** The map in one sentence: its text, and what is announced at a pause. */
  summary() {
    const { state, scene } = this;
    const start = state.start.map((at) => short(at)).join(", ");
    const words = scene.paths.map((path) => {
      const fate = scene.fate(path, this.map.land.window, state.step);
      const place = [X, Y].map((column) => short(path.at(state.step, column))).join(", ");
      return `${path.name} ${fate || `at (${place})`}`;
    });
    return `Race on the ${state.title}, start (${start}), ${state.playing ? "racing" : "at rest"} at step ${count(state.step)}: ${words.join("; ")}`;
  }

  /** The heights at a step, in words. */
  spoken(step) {
    const words = this.scene.paths.map((path) => `${path.name} ${path.lost(step) ? "diverged" : short(path.at(step, GAP_ABOVE), 2)}`);
    return `step ${count(step)}, ${this.curves.axis}: ${words.join(", ")}`;
  }

  say(words) {
    this.voice.textContent = words;
  }

  // -- what the learner does

  turn(knob, value) {
    const message = knob === "noise" ? { do: "noise", value } : { do: "turn", racer: this.state.selected, knob, value };
    this.link.ask(message, `${message.racer} ${knob}`);
  }

  /** Move the start. The ring is drawn under the hand at once; the paths follow as fast as they are made. */
  move([x, y]) {
    this.map.at = [x, y];
    this.link.ask({ do: "start", x, y }, "start");
    this.map.surface.redraw();
  }

  listenToMap() {
    drag(this.land, {
      may: () => this.state,
      hold: (held) => ((this.map.held = held), this.redraw()),
      move: (event) => this.move(this.map.point(event.offsetX, event.offsetY)),
    });
    this.land.addEventListener("keydown", (event) => this.onMapKey(event));
  }

  onMapKey(event) {
    const way = WAYS[event.key];
    if (!this.state || (!way && event.key !== "Home")) return;
    event.preventDefault();
    if (event.key === "Home") return void this.link.ask({ do: "home" }, "start");
    const [sides, updown] = this.map.land.window;
    const stride = STRIDE * (event.shiftKey ? 0.1 : 1);
    const to = [sides, updown].map(([low, high], i) => {
      const unit = this.map.land.toScale ? sides[1] - sides[0] : high - low;
      return Math.min(Math.max(this.map.at[i] + way[i] * stride * unit, low), high);
    });
    this.move(to.map((value) => Number(value.toPrecision(6))));
    this.say(`start (${this.map.at.map((at) => short(at)).join(", ")})`);
  }

  listenToHeights() {
    lookAlong(this.heights, {
      under: (event) => (this.state ? Math.round(this.curves.x.value(event.offsetX)) : null),
      at: () => this.scene.cursor ?? this.state?.step ?? 0,
      stride: () => Math.max(1, Math.round((this.state?.step ?? 0) / 50)),
      first: 0,
      look: (step) => this.look(step),
      say: () => this.state && this.say(this.spoken(this.scene.cursor ?? 0)),
    });
  }

  /** Put the cursor at a step (null: away): both pictures show that moment. */
  look(step) {
    this.scene.cursor = step === null || !this.state?.step ? null : Math.min(Math.max(step, 0), this.state.step);
    this.redraw();
  }

  dispose() {
    this.link.dispose();
    this.map.surface.dispose();
    this.curves.surface.dispose();
  }
}

export default widget(RacePage);
