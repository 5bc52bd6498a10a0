// The augmentation view's page: a picture with its draws, or two pictures and what is mixed of them. It keeps no state of
// its own; augmentation_view.py describes the messages.

import { Surface, percent, within } from "./canvas.js";
import { KEYS, Knobs, button, h, offer, select, tell, write } from "./controls.js";
import { Link, widget } from "./link.js";

const NARROW = 700; // below, the pictures stand in four columns
const GAP = 10;
const RIM = 3; // for the frames of the outer ones
const CAPTION = 20;
const BARS = 62; // below a mixture, for its soft label

/** Bytes [count, height, width, channels] as canvases that can be drawn at any size. */
function pictures(view, [count, height, width, channels]) {
  const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
  const size = height * width;
  return Array.from({ length: count }, (_, number) => {
    const image = new ImageData(width, height);
    for (let i = 0; i < size; i++) {
      const from = (number * size + i) * channels;
      for (let c = 0; c < 3; c++) image.data[4 * i + c] = bytes[from + (channels === 3 ? c : 0)];
      image.data[4 * i + 3] = 255;
    }
    const canvas = new OffscreenCanvas(width, height);
    canvas.getContext("2d").putImageData(image, 0, 0);
    return canvas;
  });
}

class Gallery {
  cursor = null; // the draw that is looked at, from 0

  constructor(canvas) {
    this.canvas = canvas;
    this.surface = new Surface(canvas, (...args) => this.paint(...args));
  }

  get mixing() {
    return this.state.shown === "mixup";
  }

  get columns() {
    const narrow = this.canvas.clientWidth < NARROW;
    return this.mixing ? (narrow ? 2 : 4) : narrow ? 4 : 6;
  }

  /** The field of each picture; they fill the canvas from left to right, row by row. */
  get fields() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    const rows = (this.mixing ? 4 : 12) / this.columns;
    const wide = (width - 2 * RIM - GAP * (this.columns - 1)) / this.columns;
    const high = Math.floor(height / rows);
    return Array.from({ length: this.mixing ? 4 : 12 }, (_, i) => ({
      x: RIM + (i % this.columns) * (wide + GAP),
      y: Math.floor(i / this.columns) * high,
      width: wide,
      height: high - (this.mixing ? BARS : 0),
    }));
  }

  /** Where a picture lies in its field: as large as it can be, under its caption. */
  place(field, picture) {
    const room = field.height - CAPTION - 4;
    const scale = Math.min(field.width / picture.width, room / picture.height);
    const [width, height] = [picture.width * scale, picture.height * scale];
    return { x: field.x + (field.width - width) / 2, y: field.y + CAPTION + (room - height) / 2, width, height };
  }

  paint(ctx, width, height, colour) {
    if (!this.images || this.images.length !== (this.mixing ? 4 : 12)) return;
    Object.assign(ctx, { textAlign: "center" });
    this.fields.forEach((field, i) => {
      const picture = this.images[i];
      const at = this.place(field, picture);
      ctx.imageSmoothingEnabled = Math.max(picture.width, picture.height) > 64;
      ctx.imageSmoothingQuality = "high";
      ctx.drawImage(picture, at.x, at.y, at.width, at.height);
      this.frame(ctx, at, i, colour);
      this.caption(ctx, field, at, i, colour);
    });
    if (!this.mixing) return;
    const { picture, partner, labels } = this.state;
    const shares = [[[picture, 1]], [[partner, 1]], ...labels.map(([, label]) => label)];
    shares.forEach((label, i) => this.label(ctx, this.place(this.fields[i], this.images[i]), label, i === 1 && picture !== partner, colour));
  }

  frame(ctx, { x, y, width, height }, i, colour) {
    const looked = !this.mixing && this.cursor === i - 1;
    const first = !this.mixing && i === 0;
    const own = this.mixing && i < 2 ? colour(`series-${i}`) : null;
    const strokeStyle = own ?? (looked || first ? colour("accent") : colour("edge"));
    const lineWidth = looked || own ? 2.5 : first ? 2 : 1;
    within(ctx, { strokeStyle, lineWidth }, () => ctx.strokeRect(x - lineWidth / 2, y - lineWidth / 2, width + lineWidth, height + lineWidth));
  }

  caption(ctx, field, at, i, colour) {
    const { picture, partner } = this.state;
    const words = this.mixing ? [picture, partner, "mixup", "CutMix"][i] : i ? (this.cursor === i - 1 ? `draw ${i}` : "") : "as it is";
    const fill = this.mixing && i < 2 ? colour(`series-${i}`) : this.mixing || i ? colour("ink") : colour("accent");
    within(ctx, { fillStyle: fill }, () => ctx.fillText(words, at.x + at.width / 2, at.y - 11, field.width));
  }

  /** The label below a picture: a bar for each class, as long as its share. */
  label(ctx, { x: left, y, width, height }, shares, second, colour) {
    shares.forEach(([name, share], i) => {
      const at = y + height + 18 + 24 * i;
      const own = colour(`series-${second || i ? 1 : 0}`);
      within(ctx, { fillStyle: colour("grid") }, () => ctx.fillRect(left, at + 7, width, 4));
      within(ctx, { fillStyle: own }, () => ctx.fillRect(left, at + 7, width * share, 4));
      within(ctx, { fillStyle: own, textAlign: "left" }, () => ctx.fillText(name, left, at - 2, width - 56));
      within(ctx, { fillStyle: colour("ink"), textAlign: "right" }, () => ctx.fillText(percent(share), left + width, at - 2));
    });
  }

  /** The draw at a place of the canvas, or null. */
  at(px, py) {
    if (!this.images || this.mixing) return null;
    const found = this.fields.findIndex(({ x, y, width, height }) => px >= x && px <= x + width && py >= y && py <= y + height);
    return found > 0 ? found - 1 : null;
  }

  spoken(draw) {
    return `draw ${draw + 1}: ${this.state.words[draw]}`;
  }
}

/** The parameters of the pipeline, each with a button that takes its transform out. */
class PipelineKnobs extends Knobs {
  constructor(turn, remove) {
    super(turn);
    this.remove = remove;
  }

  make(knob) {
    const { name } = knob;
    const made = super.make(knob);
    if (name === "lam") made.node.classList.add("wide");
    else {
      const remove = button("×", `Take ${name} out of the pipeline`, () => this.remove(name));
      remove.setAttribute("aria-label", `remove ${name}`);
      remove.className = "quiet";
      made.node.append(remove);
    }
    return made;
  }
}

class ViewPage {
  constructor(model, el) {
    this.build(el);
    this.link = new Link(model, (message, buffers) => this.news(message, buffers), this.root);
  }

  build(el) {
    this.about = h("span", { class: "about" });
    this.seed = h("span", {});
    this.canvas = h("canvas", { role: "img", tabindex: 0, "aria-label": "Augmentation view", ...KEYS });
    this.gallery = new Gallery(this.canvas);
    const ask = (message, about) => this.link.ask(message, about);
    const choose = () => ask({ do: "choose", picture: this.picture.node.value, partner: this.partner.node.value }, "choose");
    this.draw = button("new draws", "Draw again, with the next seed (N)", () => ask({ do: "draw" }));
    const transport = h("div", {}, this.draw, button("reset", "Back to the first pipeline", () => ask({ do: "reset" })));
    this.shown = select("shows", () => ask({ do: "show", what: this.shown.node.value }, "show"));
    this.picture = select("picture", choose);
    this.partner = select("mixed with", choose);
    this.adding = select("add", () => this.add());
    this.knobs = new PipelineKnobs((name, value) => ask({ do: "turn", knob: name, value }, name), (name) => ask({ do: "remove", transform: name }));
    this.knobs.instead = this.adding.node; // who took a transform away goes on to the menu
    this.code = h("code", {});
    const copy = button("copy", "Copy the code", () => this.copy());
    copy.className = "quiet";
    this.note = h("p", { class: "note" });
    this.voice = h("div", { class: "voice", "aria-live": "polite" });
    this.root = h("section", { class: "lrlab augmenting", "aria-label": "Augmentation view" },
      h("header", {}, h("strong", {}, "Augmentation view"), this.about, h("span", { class: "numbers" }, this.seed)),
      h("div", { class: "bar" }, transport, h("div", { class: "choices" }, this.shown.box, this.picture.box, this.partner.box, this.adding.box)),
      this.canvas, h("footer", {}, this.note), this.knobs.node, h("div", { class: "code" }, this.code, copy), this.voice);
    this.listen();
    el.append(this.root);
  }

  news({ state, fresh, shapes }, buffers) {
    if (!fresh && !this.state) return; // part of a story whose beginning is still on its way
    this.state = this.gallery.state = state;
    if (shapes) this.gallery.images = shapes.flatMap((shape, i) => pictures(buffers[i], shape));
    const [channels, high, wide] = state.size;
    write(this.about, `${state.title} · ${wide} × ${high} pixels, ${channels === 1 ? "grey" : "colour"}`);
    write(this.seed, `seed ${state.seed}`);
    offer(this.shown.node, state.choices, state.shown);
    const names = state.names.map((name) => [name, name]);
    offer(this.picture.node, names, state.picture);
    offer(this.partner.node, names, state.partner);
    offer(this.adding.node, [["", "transform …"], ...state.missing], "");
    this.adding.node.value = "";
    this.root.classList.toggle("mixing", this.gallery.mixing);
    this.partner.box.hidden = !this.gallery.mixing;
    this.adding.box.hidden = this.gallery.mixing;
    this.knobs.show(state.knobs, this.link.behind);
    write(this.code, state.code);
    this.showNote();
    this.canvas.setAttribute("aria-label", state.alt);
    this.gallery.surface.redraw();
  }

  /** The line below the pictures: what went wrong, or what the draw under the cursor is, or what can be done. */
  showNote() {
    const { cursor, mixing } = this.gallery;
    const resting = mixing ? "The soft label says how much of each class is in the picture." : "Point at a draw, or take the arrow keys, to read what was drawn for it.";
    tell(this.note, this.state, this.said || (cursor === null || mixing ? resting : this.gallery.spoken(cursor)));
    this.said = "";
  }

  add() {
    const transform = this.adding.node.value;
    if (transform) this.link.ask({ do: "add", transform });
  }

  /** Look at a draw (null: at none). */
  look(draw) {
    if (this.gallery.cursor === draw) return;
    this.gallery.cursor = draw;
    this.showNote();
    this.gallery.surface.redraw();
  }

  listen() {
    this.canvas.addEventListener("pointermove", ({ offsetX, offsetY }) => this.state && this.look(this.gallery.at(offsetX, offsetY)));
    for (const end of ["pointerleave", "blur"]) this.canvas.addEventListener(end, () => this.state && this.look(null));
    this.canvas.addEventListener("keydown", (event) => this.onKey(event));
  }

  onKey(event) {
    if (!this.state || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "n" || event.key === "N") return this.draw.click();
    if (event.key === "Escape") return this.look(null);
    const { cursor, columns, mixing } = this.gallery;
    const at = cursor ?? -1;
    const goal = { ArrowLeft: at - 1, ArrowRight: at + 1, ArrowUp: at - columns, ArrowDown: at + columns, Home: 0, End: 10 }[event.key];
    if (goal === undefined || mixing) return;
    event.preventDefault();
    this.look(Math.min(Math.max(goal, 0), this.state.words.length - 1));
    this.voice.textContent = this.gallery.spoken(this.gallery.cursor);
  }

  async copy() {
    try {
      await navigator.clipboard.writeText(this.state.code);
      this.said = "copied";
    } catch {
      getSelection().selectAllChildren(this.code); // no clipboard on this page (plain http, say): it is marked instead
      this.said = "the code is marked: copy it";
    }
    this.voice.textContent = this.said;
    this.showNote();
  }

  dispose() {
    this.link.dispose();
    this.gallery.surface.dispose();
  }
}

export default widget(ViewPage);
