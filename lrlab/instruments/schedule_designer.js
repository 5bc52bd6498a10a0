// The schedule designer's page: the curves with their handles, and beside them the pieces with formula, numbers and code.
// It shows what the kernel sends and sends what the learner does; a new page says hello and is sent everything.
// schedule_designer.py describes the messages.

import { count, short } from "./canvas.js";
import { button, chip, face, floats, h, KEYS, numberIn, offer, select, tell, write } from "./controls.js";
import { DesignPicture } from "./designer_plot.js";
import { WAYS, lookAlong } from "./hand.js";
import { Link, widget } from "./link.js";

const PEN_CELLS = 48; // a drawing has at most so many points
const MOST_STOPS = 8; // with more handles than that, Tab goes to one of them, and Page Up and Down to the others

// ---- A formula: `^{...}` stands above the line, single letters are slanted -------------------------------------------

function typeset(words) {
  return words.split(/(\^\{(?:[^{}]|\{[^{}]*\})*\}|(?<![A-Za-z_])[tnuhP](?![A-Za-z_(]))/).map((part, i) => {
    if (i % 2 === 0) return part;
    return part.startsWith("^") ? h("sup", {}, ...typeset(part.slice(2, -1))) : h("i", {}, part);
  });
}

// ---- One piece: its kind, its formula and its numbers -------------------------------------------------------------------

class Card {
  constructor(page, piece) {
    this.kind = select(`piece ${piece + 1}`, () => page.ask({ do: "choose", kind: this.kind.node.value, piece }));
    this.kind.node.setAttribute("aria-label", `kind of piece ${piece + 1}`);
    this.drop = h("button", {
      type: "button", class: "quiet", title: "Take this piece out", "aria-label": `take out piece ${piece + 1}`,
      onclick: () => page.ask({ do: "drop", piece }), ...KEYS,
    }, "×");
    this.points = ["add point", "remove point"].map((what, i) => h("button", {
      type: "button", class: "quiet", title: `${what} (${["Insert", "Delete"][i]})`, "aria-label": what,
      onclick: () => page.changePoint(what, piece), ...KEYS,
    }, `${"+−"[i]} point`));
    this.formula = h("div", { class: "formula" });
    this.fields = h("div", { class: "fields" });
    this.node = h("li", {}, h("div", { class: "head" }, this.kind.node, ...this.points, this.drop), this.formula, this.fields);
    this.turn = (parameter, value) => page.ask({ do: "turn", piece, parameter, value });
    this.label = `piece ${piece + 1}`;
  }

  show({ kind, parameters, rows }, kinds, several) {
    offer(this.kind.node, kinds.map((name) => [name, name === "Recorded" ? "Recorded (by hand)" : name]), kind);
    this.drop.hidden = !several;
    this.points.forEach((control) => (control.hidden = kind !== "Recorded" && kind !== "MultiStep"));
    const words = JSON.stringify(rows);
    if (this.formula.dataset.rows !== words) {
      this.formula.dataset.rows = words;
      this.formula.replaceChildren(...rows.map(([formula, where, note]) => h("div", {},
        h("span", {}, ...typeset(`α(t) = ${formula}`)), h("span", { class: "where" }, ...typeset(where)),
        ...(note ? [h("span", { class: "meaning" }, ...typeset(note))] : []))));
    }
    const layout = JSON.stringify(parameters.map(([name, value, choices]) => [name, typeof value, choices]));
    if (this.layout !== layout) {
      this.layout = layout;
      this.inputs = parameters.map(([name, value, choices]) => this.input(name, choices, typeof value === "string"));
      this.fields.replaceChildren(...parameters.map(([name, value, choices], i) =>
        h("label", { class: typeof value === "string" && !choices ? "long" : "" }, h("span", { "aria-hidden": "true" }, name), this.inputs[i])));
    }
    parameters.forEach(([, value], i) => this.write(this.inputs[i], value));
  }

  input(name, choices) {
    const about = { "aria-label": `${name} of ${this.label}`, ...KEYS };
    if (choices) {
      const node = h("select", { ...about, onchange: () => this.turn(name, node.value) });
      node.append(...choices.map((choice) => h("option", {}, choice)));
      return node;
    }
    const commit = () => {
      const typed = node.value.trim();
      const number = numberIn(typed);
      node.dataset.shown = "";
      // What is no number goes to the kernel as it is: its error says what is allowed.
      this.turn(name, Number.isNaN(number) ? typed : number);
    };
    const node = h("input", {
      type: "text", autocomplete: "off", spellcheck: "false", size: 8, ...about, onchange: commit,
      onkeydown: (event) => {
        if (event.key === "Enter") event.preventDefault(), commit();
        if (event.key === "Escape") (node.value = node.dataset.shown), node.blur();
      },
    });
    return node;
  }

  /** Show a value that came from the kernel, unless the learner is typing here. */
  write(input, value) {
    const words = typeof value === "number" ? String(Number(value.toPrecision(6))) : value;
    const typing = document.activeElement === input && input.dataset.shown && input.value !== input.dataset.shown;
    if (!typing) input.value = input.dataset.shown = words;
  }
}

// ---- The whole instrument ------------------------------------------------------------------------------------------------

const SEEDS = [1, 3, 5, 9, 17];
const HINT = "Drag the handles, or go to one with Tab and move it with the arrow keys (Shift: far). “draw” lets you draw a schedule by hand.";

class DesignerPage {
  constructor(model, el) {
    this.cards = [];
    this.grips = [];
    this.build(el);
    this.link = new Link(model, (message, buffers) => this.news(message, buffers), this.root);
  }

  ask(message, about) {
    this.link.ask(message, about);
  }

  // -- what the page looks like

  build(el) {
    this.about = h("span", { class: "about" });
    this.progress = h("span", { class: "step" });
    this.canvas = h("canvas", { role: "img", tabindex: 0, "aria-label": "Schedule designer", ...KEYS });
    this.handles = h("div", { class: "handles", role: "group", "aria-label": "handles of the selected design" });
    this.picture = new DesignPicture(this.canvas, () => this.placeHandles());
    this.picture.designs = this.picture.losses = [];
    this.designs = h("div", { class: "designs", role: "radiogroup", "aria-label": "design with handles, formula and code" });
    this.list = h("ol", { class: "pieces" });
    this.code = h("code", { tabindex: 0, "aria-label": "code", ...KEYS });
    this.note = h("p", { class: "note" });
    this.voice = h("div", { class: "voice", "aria-live": "polite" });
    const copy = button("copy", "Copy the code", () => this.copy());
    copy.className = "quiet";
    const joins = h("div", { class: "joins" }, this.buildJoin("first", () => 0), this.buildJoin("then", () => this.state.pieces.length));
    const side = h("div", { class: "side" }, this.list, joins, h("div", { class: "code" }, this.code, copy));
    this.root = h("section", { class: "lrlab designer", "aria-label": "Schedule designer" },
      h("header", {}, h("strong", {}, "Schedule designer"), this.about, h("span", { class: "numbers" }, this.progress)),
      this.buildBar(), this.buildDesigns(),
      h("div", { class: "stage" }, h("div", { class: "plot" }, this.canvas, this.handles), side),
      h("footer", {}, this.note), this.voice);
    this.listen();
    el.append(this.root);
  }

  buildBar() {
    this.train = button("train", "Train all designs under the same seeds", () => this.ask({ do: this.state.playing ? "stop" : "train" }));
    this.draw = button("draw", "Draw a schedule with the mouse", () => this.setPen(!this.drawing));
    this.undo = button("undo", "Take back the last change", () => this.ask({ do: "undo" }));
    this.seeds = select("seeds", () => this.ask({ do: "seeds", seeds: Number(this.seeds.node.value) }));
    this.axis = select("rate axis", () => this.ask({ do: "log", log: this.axis.node.value === "log" }));
    return h("div", { class: "bar" },
      h("div", { role: "group", "aria-label": "designs" }, this.train, this.draw, this.undo),
      h("div", { class: "choices" }, this.seeds.box, this.axis.box));
  }

  buildDesigns() {
    const plain = (name, title, what = name) => {
      const control = button(name, title, () => this.ask({ do: what }));
      control.className = "quiet";
      return control;
    };
    this.name = h("input", {
      type: "text", class: "name", size: 14, "aria-label": "name of the selected design", autocomplete: "off", spellcheck: "false",
      placeholder: "name", onchange: () => this.ask({ do: "rename", name: this.name.value }), ...KEYS,
    });
    this.name.addEventListener("keydown", (event) => event.key === "Enter" && this.name.blur());
    this.remove = plain("remove", "Take the selected design off the plot");
    return h("div", { class: "row" }, this.designs,
      h("div", { class: "tools" }, plain("add", "Add a design"), plain("duplicate", "Add a copy of the selected design"), this.remove, this.name));
  }

  /** A menu that joins a piece when a kind is chosen. */
  buildJoin(words, at) {
    const menu = h("select", { "aria-label": words === "then" ? "join a piece behind" : "join a piece before", ...KEYS });
    menu.addEventListener("change", () => {
      this.ask({ do: "join", kind: menu.value, at: at() });
      menu.value = "";
    });
    (this.menus ??= []).push([menu, words]);
    return menu;
  }

  // -- what comes from the kernel

  news({ state, losses, runs, fresh }, buffers) {
    if (!fresh && !this.state) return; // part of a story whose beginning is still on its way
    const before = this.state;
    this.state = this.picture.state = state;
    if (losses) this.readCurves(losses, runs, buffers);
    this.show();
    if (before?.playing && !state.playing && state.verdict) this.say(state.verdict);
    if (state.problem && state.problem !== before?.problem) this.say(state.problem);
    this.picture.surface.redraw();
  }

  readCurves(losses, runs, buffers) {
    const numbers = [...buffers].map(floats);
    this.picture.designs = this.state.designs.map((design, i) => ({ ...design, rates: numbers[i] }));
    this.picture.runs = runs;
    this.picture.losses = losses.map((loss, i) => {
      const all = numbers[this.state.designs.length + i];
      const [steps, ...quartiles] = [0, 1, 2, 3].map((row) => all.slice((row * all.length) / 4, ((row + 1) * all.length) / 4));
      return { ...loss, steps, quartiles };
    });
  }

  show() {
    const { state } = this;
    this.root.dataset.status = state.playing ? "training" : "resting";
    this.root.classList.toggle("trained", this.picture.trained);
    write(this.about, `${count(state.total)} steps, ${short(state.total / state.epoch)} epochs · ${state.title}`);
    write(this.progress, state.playing ? `training ${Math.round(100 * state.share)} %` : "");
    if (state.playing) face(this.train, "stop");
    else face(this.train, "train", "play");
    this.undo.disabled = !state.undo;
    this.remove.disabled = state.designs.length === 1;
    offer(this.seeds.node, [...new Set([...SEEDS, state.seeds])].sort((a, b) => a - b).map((n) => [n, n]), state.seeds);
    offer(this.axis.node, [["linear", "linear"], ["log", "log"]], state.log ? "log" : "linear");
    for (const [menu, words] of this.menus) {
      const offered = ["", ...state.kinds].map((kind) => [kind, kind || (words === "then" ? "then …" : "first …")]);
      offer(menu, offered, "");
    }
    if (document.activeElement !== this.name) this.name.value = state.name;
    this.name.placeholder = state.designs[state.selected].name;
    this.showDesigns();
    this.showPieces();
    this.showHandles();
    if (this.code.textContent !== state.code) {
      // A line breaks between two pieces rather than inside one.
      this.code.replaceChildren(...state.code.split(/(?=\.then\()/).map((part) => h("span", {}, part)));
    }
    this.showNote();
    this.canvas.setAttribute("aria-label", this.summary());
  }

  showDesigns() {
    const { designs, selected } = this.state;
    const key = JSON.stringify(designs);
    if (this.designs.dataset.shown !== key) {
      const focused = this.designs.contains(document.activeElement);
      this.designs.dataset.shown = key;
      this.designs.replaceChildren(...designs.map(({ name, slot }) =>
        chip(name, slot, `design ${this.link.name}`, () => this.ask({ do: "select", name }))));
      if (focused) this.designs.children[selected].firstChild.focus();
    }
    [...this.designs.children].forEach((node, i) => (node.firstChild.checked = i === selected));
  }

  showPieces() {
    const { pieces, kinds } = this.state;
    while (this.cards.length < pieces.length) this.cards.push(new Card(this, this.cards.length));
    this.cards.length = pieces.length;
    if (this.list.children.length !== pieces.length) this.list.replaceChildren(...this.cards.map((card) => card.node));
    pieces.forEach((piece, i) => this.cards[i].show(piece, kinds, pieces.length > 1));
  }

  showNote() {
    tell(this.note, this.state, this.notice || this.state.verdict || HINT);
  }

  /** The plot in one sentence. */
  summary() {
    const { state, picture } = this;
    const words = picture.designs.map(({ name, rates }) =>
      `${name} from ${short(rates[0])} to ${short(rates.at(-1))}, highest ${short(Math.max(...rates))}`);
    return `Schedule designer, ${count(state.total)} steps: ${words.join("; ")}${state.verdict ? `. ${state.verdict}` : ""}`;
  }

  say(words) {
    this.voice.textContent = words;
  }

  // -- the handles: buttons on the canvas, for the mouse and for the keyboard

  showHandles() {
    const { handles } = this.state;
    while (this.grips.length < handles.length) this.grips.push(this.newHandle(this.grips.length));
    for (const grip of this.grips.splice(handles.length)) grip.remove();
    const focused = this.grips.indexOf(document.activeElement);
    const stop = focused >= 0 ? focused : 0;
    handles.forEach(({ name, step, lr, ways }, i) => {
      const grip = this.grips[i];
      grip.className = `grip ${ways}`;
      grip.tabIndex = handles.length <= MOST_STOPS || i === stop ? 0 : -1;
      grip.title = name;
      grip.setAttribute("aria-label", name);
      grip.setAttribute("aria-valuenow", lr);
      grip.setAttribute("aria-valuetext", `step ${short(step)}, rate ${short(lr)}`);
    });
    this.handles.style.setProperty("--own", `var(--lrlab-series-${this.state.designs[this.state.selected].slot})`);
    this.handles.classList.toggle("many", handles.length > MOST_STOPS);
  }

  newHandle(i) {
    const grip = h("button", { type: "button", role: "slider", ...KEYS });
    grip.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      event.preventDefault();
      grip.setPointerCapture(event.pointerId);
      grip.focus({ preventScroll: true });
      this.picture.held = this.picture.domain;
      this.picture.cursor = null;
    });
    grip.addEventListener("pointermove", (event) => {
      if (!this.picture.held || !grip.hasPointerCapture(event.pointerId)) return;
      const { left, top } = this.canvas.getBoundingClientRect();
      this.move(i, ...this.picture.under(event.clientX - left, event.clientY - top));
    });
    for (const end of ["pointerup", "pointercancel"]) {
      grip.addEventListener(end, () => {
        this.picture.held = null;
        this.picture.surface.redraw();
      });
    }
    grip.addEventListener("keydown", (event) => this.onHandleKey(event, i));
    grip.addEventListener("focus", () => (this.current = this.state.handles[i].name));
    this.handles.append(grip);
    return grip;
  }

  placeHandles() {
    this.state.handles.forEach(({ step, lr }, i) => {
      this.grips[i].style.left = `${this.picture.x(step)}px`;
      this.grips[i].style.top = `${this.picture.height(lr)}px`;
    });
  }

  move(i, step, lr) {
    const handle = this.state.handles[i];
    const [low, high] = this.picture.domain;
    const least = handle.zero ? 0 : this.state.log ? low : high / 1000;
    const goal = { step: handle.ways === "rate" ? handle.step : step, lr: handle.ways === "time" ? handle.lr : Math.max(lr, least) };
    this.asked = { name: handle.name, ...goal };
    this.ask({ do: "move", handle: handle.name, ...goal }, `move ${handle.name}`);
  }

  onHandleKey(event, i) {
    const turn = { PageDown: 1, PageUp: -1 }[event.key];
    const way = WAYS[event.key];
    const point = { Insert: "add point", Delete: "remove point" }[event.key];
    if (!turn && !way && !point) return;
    event.preventDefault();
    if (turn) return void this.grips.at((i + turn) % this.grips.length).focus();
    const handle = this.state.handles[i];
    if (point) return void this.ask({ do: point, handle: handle.name });
    // Keys may come faster than answers: the next step starts from where the last one was to go.
    const from = this.link.behind && this.asked?.name === handle.name ? this.asked : handle;
    this.move(i, ...this.strides(from, way, event.shiftKey));
  }

  /** One stride from a place: a hundredth of the plot, with Shift a tenth. */
  strides({ step, lr }, [right, up], far) {
    const { total, log } = this.state;
    const time = far ? Math.max(1, Math.round(total / 10)) : Math.max(1, Math.round(total / 100));
    const goal = Math.min(Math.max(Math.round(step) + right * time, 0), total);
    if (!up) return [right ? goal : step, lr];
    const [low, high] = this.picture.domain;
    const rate = log ? Math.max(lr, low) * 10 ** (up * (far ? 0.25 : 0.025)) : lr + (up * high) / (far ? 10 : 100);
    return [step, log && rate < low ? 0 : Number(Math.max(0, rate).toPrecision(3))];
  }

  /** Add or remove a point at the handle that was used last, if it is one of this piece, else at the piece's last one. */
  changePoint(what, piece) {
    const { handles, pieces } = this.state;
    const kind = pieces[piece].kind;
    const same = pieces.slice(0, piece).filter((other) => other.kind === kind).length;
    const prefix = pieces.length === 1 ? "" : `${kind} ${same ? `${same + 1} ` : ""}`;
    const own = handles.map(({ name }) => name).filter((name) => new RegExp(`^${prefix}(point|cut) \\d+$`).test(name));
    const handle = own.includes(this.current) ? this.current : own.at(-1);
    if (handle) this.ask({ do: what, handle });
  }

  // -- the canvas: values under the cursor, and the pen

  listen() {
    const { canvas, picture } = this;
    canvas.addEventListener("pointerdown", (event) => {
      if (!this.drawing || event.button) return;
      canvas.setPointerCapture(event.pointerId);
      picture.pen = Array(Math.min(PEN_CELLS, this.state.total)).fill(null);
      picture.held = picture.domain;
      this.last = null;
      this.stroke(event);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (picture.pen) this.stroke(event);
    });
    canvas.addEventListener("pointerup", () => picture.pen && this.endStroke());
    canvas.addEventListener("pointercancel", () => (picture.pen = picture.held = null));
    lookAlong(canvas, {
      under: (event) => (this.state && !this.drawing ? picture.under(event.offsetX, event.offsetY)[0] : null),
      at: () => picture.cursor ?? 0,
      stride: () => Math.max(1, Math.round((this.state?.total ?? 0) / 50)),
      first: 0,
      look: (step) => this.look(step),
      say: () => this.state && this.say(picture.spoken(picture.cursor)),
    });
    this.root.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && this.drawing) this.setPen(false);
      if (event.key === "z" && (event.ctrlKey || event.metaKey) && event.target.tagName !== "INPUT") {
        event.preventDefault();
        this.ask({ do: "undo" });
      }
    });
  }

  setPen(on) {
    this.drawing = on;
    this.draw.setAttribute("aria-pressed", on);
    this.root.classList.toggle("drawing", on);
    this.notice = on
      ? "Draw the rate from left to right over the plot. Without a mouse: choose “Recorded (by hand)” and move its points (Insert adds one, Delete removes it)."
      : "";
    this.look(null);
    this.showNote();
  }

  /** Fill the cells between the last place of the pen and this one. */
  stroke(event) {
    const { pen } = this.picture;
    const [step, rate] = this.picture.under(event.offsetX, event.offsetY);
    const cell = Math.min(Math.floor((step / this.state.total) * pen.length), pen.length - 1);
    const [from, start] = this.last ?? [cell, rate];
    const n = Math.abs(cell - from);
    for (let i = 0; i <= n; i++) {
      const share = n ? i / n : 1;
      pen[from + Math.sign(cell - from) * i] = Number((start + share * (rate - start)).toPrecision(3));
    }
    this.last = [cell, rate];
    this.picture.surface.redraw();
  }

  endStroke() {
    const { pen } = this.picture;
    const points = pen.map((rate, cell) => [Math.round((cell * this.state.total) / pen.length), rate]);
    this.picture.pen = this.picture.held = null;
    this.setPen(false);
    this.ask({ do: "draw", points: points.filter(([, rate], i) => rate !== null && rate !== pen[i - 1]) });
  }

  look(step) {
    this.picture.cursor = step === null || !this.state ? null : Math.min(Math.max(step, 0), this.state.total);
    this.picture.surface.redraw();
  }

  async copy() {
    try {
      await navigator.clipboard.writeText(this.state.code);
      this.say("copied");
    } catch {
      getSelection().selectAllChildren(this.code); // no clipboard on this page (plain http, say): it is marked instead
      this.say("the code is marked: copy it");
    }
  }

  dispose() {
    this.link.dispose();
    this.picture.surface.dispose();
  }
}

export default widget(DesignerPage);
