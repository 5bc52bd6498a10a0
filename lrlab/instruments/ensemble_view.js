// The ensemble view's page: members as columns, what each says of hard examples, and what the whole of them is worth. It
// keeps no state of its own; ensemble_view.py describes the messages.

import { Surface, count, dot, line, linear, linearTicks, percent, short, within, xAxis, yAxis } from "./canvas.js";
import { KEYS, button, h, offer, select, write } from "./controls.js";
import { Link } from "./link.js";

const ROOM = 520; // pixels: a table that needs more gets the whole width
const SHORT = { truth: 64, answer: 45 }; // pixels of a column where the classes have short names, such as digits
const LONG = { truth: 124, answer: 64 };
const WHOLE = "accent";
const SCORES = [
  { key: "accuracy", name: "accuracy", words: percent, tick: (x) => `${short(100 * x)} %`, better: "right" },
  { key: "loss", name: "loss", words: (x) => (x >= 1e-3 ? x.toPrecision(3) : short(x)), tick: (x) => short(x), better: "left" },
  { key: "ece", name: "calibration error (ECE)", words: percent, tick: (x) => `${short(100 * x)} %`, better: "left" },
];

/** A change with its sign, in percentage points or plainly. */
function signed(change, { key }) {
  const size = key === "loss" ? short(Math.abs(change), 2) : (100 * Math.abs(change)).toFixed(1);
  if (Number(size) === 0) return "±0";
  return `${change < 0 ? "−" : "+"}${size}`;
}

/** Bytes [count, height, width, channels] as addresses of pictures. */
function addresses(view, [number, height, width, channels]) {
  const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
  const canvas = h("canvas", { width, height });
  const ctx = canvas.getContext("2d");
  return Array.from({ length: number }, (_, n) => {
    const image = new ImageData(width, height);
    for (let i = 0; i < height * width; i++) {
      const from = (n * height * width + i) * channels;
      for (let c = 0; c < 3; c++) image.data[4 * i + c] = bytes[from + (channels === 3 ? c : 0)];
      image.data[4 * i + 3] = 255;
    }
    ctx.putImageData(image, 0, 0);
    return canvas.toDataURL();
  });
}

function diamond(ctx, x, y, size, fill, rim) {
  within(ctx, { fillStyle: fill, strokeStyle: rim, lineWidth: 1.5 }, () => {
    ctx.beginPath();
    [[0, -size], [size, 0], [0, size], [-size, 0]].forEach(([dx, dy]) => ctx.lineTo(x + dx, y + dy));
    ctx.closePath();
    ctx.fill();
    ctx.stroke();
  });
}

// ---- The members and their answers -----------------------------------------------------------------------------------

const MARKS = { right: "M2.500 8.500l4 4 7-9", wrong: "M3 3l10 10M13 3L3 13" };

/** One answer: a tick or a cross, the class, and how sure it is. */
class Answer {
  constructor() {
    const space = "http://www.w3.org/2000/svg";
    this.path = document.createElementNS(space, "path");
    const mark = document.createElementNS(space, "svg");
    mark.setAttribute("viewBox", "0 0 16 16");
    mark.setAttribute("aria-hidden", "true");
    mark.append(this.path);
    this.name = h("span", {});
    this.spoken = h("small", { class: "voice" });
    this.bar = h("i", {});
    this.node = h("div", { class: "says" }, mark, this.name, this.bar, this.spoken);
  }

  show(name, sure, right, who) {
    const verdict = right ? "right" : "wrong";
    this.node.classList.toggle("right", right);
    this.path.setAttribute("d", MARKS[verdict]);
    this.bar.style.setProperty("--sure", `${100 * sure}%`);
    this.node.title = `${who}: ${name}, ${percent(sure)} sure`;
    write(this.name, name);
    write(this.spoken, ` ${verdict}, ${percent(sure)} sure`);
  }
}

class Table {
  /** `choose(members)` is called with the numbers of those that shall be in it. */
  constructor(choose) {
    this.choose = choose;
    this.table = h("table", { "aria-label": "What each member says of hard examples" });
    this.node = h("div", { class: "members" }, this.table);
    this.node.addEventListener("keydown", (event) => this.onKey(event));
  }

  build({ names, classes, strip }) {
    const { truth, answer } = classes.some((name) => name.length > 3) ? LONG : SHORT;
    this.needed = truth + answer * (names.length + 1);
    this.table.classList.toggle("long", names.some((name) => name.length > 9));
    this.table.style.setProperty("--truth", `${truth}px`);
    this.table.style.setProperty("--needed", `${this.needed}px`);
    this.buttons = names.map((name, number) => {
      const own = h("em", {});
      const node = h("button", { type: "button", class: "member", title: name, onclick: () => this.toggle(number), ...KEYS }, this.name(name), own);
      node.own = own;
      return node;
    });
    this.together = h("em", {});
    this.columns = names.length + 1;
    this.rows = strip.map(() => this.row());
    const head = h("tr", {}, h("th", { class: "of", scope: "col" }, "truth"),
      ...this.buttons.map((node) => h("th", { scope: "col" }, node)), h("th", { class: "whole", scope: "col" }, h("b", {}, "whole"), this.together));
    this.table.replaceChildren(h("thead", {}, head), h("tbody", {}, ...this.rows.map((row) => row.node)));
    this.aim(0);
  }

  /** A name in two parts, which stand one above the other where there is little room. */
  name(name) {
    const parts = name.match(/^(.*\S)(\s+\S+)$/)?.slice(1) ?? [name];
    const [, first, last] = name.match(/^(.+?,)(\s.*)$/) ?? [, ...parts];
    return h("b", {}, h("span", {}, first), h("span", {}, last ?? ""));
  }

  row() {
    const image = h("img", { alt: "" });
    const truth = h("span", {});
    const answers = Array.from({ length: this.columns }, () => new Answer());
    const cells = answers.map((answer) => h("td", {}, answer.node));
    cells.at(-1).className = "whole";
    return { node: h("tr", {}, h("th", { class: "of", scope: "row" }, h("div", {}, image, truth)), ...cells), image, truth, answers, cells };
  }

  show(state, pictures, members) {
    if (!this.rows) this.build(state);
    const { names, classes, alone, whole, strip } = state;
    this.members = members;
    this.buttons.forEach((node, m) => {
      node.setAttribute("aria-pressed", members.includes(m));
      write(node.own, percent(alone[m].accuracy));
    });
    write(this.together, percent(whole.accuracy));
    strip.forEach(({ number, truth, said }, i) => {
      const { image, truth: words, answers, cells } = this.rows[i];
      image.hidden = !pictures;
      if (pictures && image.src !== pictures[i]) image.src = pictures[i];
      image.classList.toggle("small", image.naturalWidth < 34);
      const name = pictures ? classes[truth] : `${number}: ${classes[truth]}`;
      write(words, name);
      words.title = `example ${number}: ${classes[truth]}`;
      said.forEach(([k, sure], m) => {
        answers[m].show(classes[k], sure, k === truth, names[m] ?? "whole");
        cells[m].classList.toggle("out", m < names.length && !members.includes(m));
      });
    });
  }

  toggle(number) {
    this.aim(number);
    this.choose(this.members.includes(number) ? this.members.filter((m) => m !== number) : [...this.members, number]);
  }

  /** Tab goes to one member, arrows from one to the next. */
  aim(number, focus) {
    this.buttons.forEach((node, m) => (node.tabIndex = m === number ? 0 : -1));
    if (focus) this.buttons[number].focus();
  }

  onKey(event) {
    const at = this.buttons.indexOf(document.activeElement);
    const last = this.buttons.length - 1;
    const goal = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: last }[event.key];
    if (at < 0 || goal === undefined) return;
    event.preventDefault();
    this.aim(Math.min(Math.max(goal, 0), last), true);
  }
}

// ---- The scores ------------------------------------------------------------------------------------------------------

const NARROW = 310; // px: a panel where some words are left out; the dots say as much

class ScorePicture {
  constructor(canvas) {
    this.canvas = canvas;
    this.surface = new Surface(canvas, (...args) => this.paint(...args));
  }

  paint(ctx, width, height, colour) {
    if (!this.state) return;
    Object.assign(ctx, { font: `12px ${colour("font")}`, textBaseline: "middle", lineJoin: "round" });
    this.legend(ctx, width, colour);
    const room = (height - 24) / SCORES.length;
    SCORES.forEach((score, i) => this.strip(ctx, score, { y: 24 + i * room, width, height: room }, colour));
  }

  legend(ctx, width, colour) {
    let x = 2;
    const entry = (draw, words, fill) => {
      draw(x + 5, 9);
      within(ctx, { fillStyle: fill }, () => ctx.fillText(words, x + 15, 9));
      x += 15 + ctx.measureText(words).width + 16;
    };
    entry((px, py) => diamond(ctx, px, py, 6, colour(WHOLE), colour("paper")), "whole", colour(WHOLE));
    entry((px, py) => dot(ctx, px, py, 4.5, colour("ghost"), colour("paper")), "members", colour("muted"));
    entry((px, py) => dot(ctx, px, py, 3.5, colour("paper"), colour("ghost")), "out", colour("muted"));
    entry((px, py) => within(ctx, { strokeStyle: colour("ink"), lineWidth: 2 }, () => line(ctx, 2, (i) => [px, py + (i ? 6 : -6)])), width < NARROW ? "mean" : "their mean", colour("muted"));
  }

  /** The span of a score: that of all members and of the whole as it is and was, so that it moves little. */
  span(key) {
    const { alone, whole, before } = this.state;
    const values = [...alone, whole, ...(before ? [before] : [])].map((scores) => scores[key]);
    const [low, high] = [Math.min(...values), Math.max(...values)];
    const room = Math.max((high - low) * 0.08, 1e-3);
    return [low - room, high + room];
  }

  strip(ctx, score, { y: top, width, height }, colour) {
    const { alone, members, whole, mean, best, before } = this.state;
    const { key, name, words, tick, better } = score;
    const domain = this.span(key);
    const x = linear(domain, [12, width - 12]);
    const middle = top + height * 0.58;
    this.headline(ctx, score, { top: top + 10, width, whole: words(whole[key]), mean: words(mean[key]), best: words(best[key]) }, colour);
    within(ctx, { strokeStyle: colour("edge"), lineWidth: 1 }, () => line(ctx, 2, (i) => [i ? width - 2 : 2, Math.round(middle) + 0.5]));
    const ticks = linearTicks(domain, Math.max(2, Math.min(6, Math.floor(width / 90))));
    xAxis(ctx, middle + 10, x, ticks, tick, colour);
    within(ctx, { strokeStyle: colour("edge"), lineWidth: 1 }, () => ticks.forEach((at) => line(ctx, 2, (i) => [Math.round(x(at)) + 0.5, middle + (i ? 5 : 0)])));
    alone.forEach((scores, m) => !members.includes(m) && dot(ctx, x(scores[key]), middle, 3.5, colour("paper"), colour("ghost")));
    within(ctx, { globalAlpha: 0.85 }, () => members.forEach((m) => dot(ctx, x(alone[m][key]), middle, 4.5, colour("ghost"), colour("paper"))));
    within(ctx, { strokeStyle: colour("ink"), lineWidth: 2 }, () => line(ctx, 2, (i) => [x(mean[key]), middle + (i ? 8 : -8)]));
    if (before && Math.abs(x(before[key]) - x(whole[key])) > 8) this.path(ctx, x(before[key]), x(whole[key]), middle, colour);
    diamond(ctx, x(whole[key]), middle, 7.5, colour(WHOLE), colour("paper"));
  }

  /** Where the whole was before the last change. */
  path(ctx, from, to, y, colour) {
    within(ctx, { strokeStyle: colour(WHOLE), lineWidth: 1.5, dash: [3, 2] }, () => line(ctx, 2, (i) => [i ? to : from, y]));
    diamond(ctx, from, y, 4.5, colour("paper"), colour(WHOLE));
  }

  headline(ctx, { key, name, better }, { top, width, whole, mean, best }, colour) {
    within(ctx, { textAlign: "left", font: `600 12px ${colour("font")}` }, () => {
      ctx.fillStyle = colour("ink");
      const title = key === "ece" && width < 480 ? "ECE" : name;
      ctx.fillText(title, 2, top);
      const after = 2 + ctx.measureText(title).width;
      Object.assign(ctx, { fillStyle: colour("muted"), font: `12px ${colour("font")}` });
      if (width > 400) ctx.fillText(better === "right" ? "better →" : "← better", after + 12, top);
    });
    within(ctx, { textAlign: "right" }, () => {
      let right = width - 2;
      const others = [[`best ${best}`, "muted"], [`mean ${mean}`, "muted"]].slice(width < NARROW ? 1 : 0);
      for (const [words, fill] of [...others, [whole, WHOLE]]) {
        ctx.font = `${fill === WHOLE ? "600 13px" : "12px"} ${colour("font")}`;
        ctx.fillStyle = colour(fill);
        ctx.fillText(words, right, top);
        right -= Math.max(ctx.measureText(words).width, fill === WHOLE ? 0 : 76) + 12;
      }
    });
  }
}

// ---- The reliability diagram -----------------------------------------------------------------------------------------

const PLOT = { left: 44, right: 20, top: 48, bottom: 38 };

class ReliabilityPicture {
  constructor(canvas) {
    this.canvas = canvas;
    this.surface = new Surface(canvas, (...args) => this.paint(...args));
  }

  paint(ctx, width, height, colour) {
    if (!this.state) return;
    Object.assign(ctx, { font: `12px ${colour("font")}`, textBaseline: "middle", lineJoin: "round" });
    const frame = { x: PLOT.left, y: PLOT.top, width: width - PLOT.left - PLOT.right, height: height - PLOT.top - PLOT.bottom };
    const x = linear([0, 1], [frame.x, frame.x + frame.width]);
    const y = linear([0, 1], [frame.y + frame.height, frame.y]);
    const { whole, reliability, pooled } = this.state;
    const title = width > 300 ? "accuracy at each confidence" : "accuracy";
    within(ctx, { textAlign: "left", fillStyle: colour("ink") }, () => ctx.fillText(title, 2, 9));
    within(ctx, { textAlign: "right", fillStyle: colour(WHOLE), font: `600 13px ${colour("font")}` }, () => ctx.fillText(`ECE ${percent(whole.ece)}`, width - 2, 9));
    yAxis(ctx, frame, y, [0, 0.25, 0.5, 0.75, 1], (a) => `${100 * a} %`, colour);
    xAxis(ctx, frame.y + frame.height + 6, x, frame.width > 240 ? [0, 0.25, 0.5, 0.75, 1] : [0, 0.5, 1], (a) => `${100 * a} %`, colour);
    within(ctx, { textAlign: "center", fillStyle: colour("muted") }, () => ctx.fillText("confidence", frame.x + frame.width / 2, height - 8));
    this.bars(ctx, x, y, reliability, colour);
    within(ctx, { strokeStyle: colour("muted"), lineWidth: 1.25, dash: [5, 4] }, () => line(ctx, 2, (i) => [x(i), y(i)]));
    this.members(ctx, x, y, pooled, colour);
    this.legend(ctx, colour);
  }

  /** A bar for each bin: how often it is right; hatched up or down to how sure it is. Few examples make it pale. */
  bars(ctx, x, y, [examples, confidence, accuracy], colour) {
    const most = Math.max(...examples);
    examples.forEach((n, b) => {
      if (!n) return;
      const [left, right] = [x(b / examples.length) + 1, x((b + 1) / examples.length) - 1];
      const [own, sure] = [y(accuracy[b]), y(confidence[b])];
      within(ctx, { fillStyle: colour(WHOLE), globalAlpha: 0.3 + 0.6 * Math.sqrt(n / most) }, () => ctx.fillRect(left, own, right - left, y(0) - own));
      const gap = { x: left, y: Math.min(own, sure), width: right - left, height: Math.abs(own - sure) };
      within(ctx, { strokeStyle: colour("wrong"), lineWidth: 1, clip: gap }, () => {
        for (let at = gap.y - gap.width; at < gap.y + gap.height + gap.width; at += 5) line(ctx, 2, (i) => [i ? right : left, at + (i ? 0 : gap.width)]);
      });
      within(ctx, { strokeStyle: colour("wrong"), lineWidth: 1 }, () => ctx.strokeRect(gap.x + 0.5, gap.y, gap.width - 1, gap.height));
    });
  }

  members(ctx, x, y, [examples, confidence, accuracy], colour) {
    examples.forEach((n, b) => n && dot(ctx, x(confidence[b]), y(accuracy[b]), 3.5, colour("paper"), colour("muted")));
  }

  legend(ctx, colour) {
    const at = 30;
    within(ctx, { fillStyle: colour(WHOLE), globalAlpha: 0.9 }, () => ctx.fillRect(2, at - 5, 10, 10));
    within(ctx, { strokeStyle: colour("wrong"), lineWidth: 1 }, () => {
      ctx.strokeRect(66.5, at - 4.5, 9, 9);
      line(ctx, 2, (i) => [66 + (i ? 9 : 1), at + (i ? -4 : 4)]);
    });
    dot(ctx, 121, at, 3.5, colour("paper"), colour("muted"));
    const words = [["whole", 18, WHOLE], ["gap", 82, "wrong"], ["members", 131, "muted"]];
    within(ctx, { textAlign: "left" }, () => words.forEach(([word, x, fill]) => Object.assign(ctx, { fillStyle: colour(fill) }).fillText(word, x, at)));
  }

  get spoken() {
    const [examples, confidence, accuracy] = this.state.reliability;
    const told = examples.flatMap((n, b) => (n ? [`${count(n)} at ${percent(confidence[b])}: ${percent(accuracy[b])} right`] : []));
    return `Reliability diagram of the whole, ECE ${percent(this.state.whole.ece)}. ${told.join("; ")}`;
  }
}

// ---- The agreement map -----------------------------------------------------------------------------------------------

class AgreementPicture {
  cursor = null; // the pair that is looked at, [row, column]

  constructor(canvas) {
    this.canvas = canvas;
    this.surface = new Surface(canvas, (...args) => this.paint(...args));
  }

  get frame() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    const ctx = this.canvas.getContext("2d");
    const names = Math.min(Math.max(...this.state.names.map((name) => ctx.measureText(name).width)) + 10, width * 0.35);
    const n = this.state.names.length;
    const below = Math.max(...this.columns.map((name) => ctx.measureText(name).width));
    const slanted = below > (width - names) / n - 4;
    const side = Math.floor(Math.min((width - names - 2) / n, (height - 26 - (slanted ? Math.min(below, 62) : 22)) / n, 74));
    return { x: names, y: 24, side, n, slanted, names };
  }

  /** The names below the columns: where all begin with the same word, as seeds do, without it. */
  get columns() {
    const { names } = this.state;
    const [first] = names[0].split(" ");
    const shared = names.length > 6 && names.every((name) => name.startsWith(`${first} `));
    return shared ? names.map((name) => name.slice(first.length + 1)) : names;
  }

  paint(ctx, width, height, colour) {
    if (!this.state) return;
    Object.assign(ctx, { font: `12px ${colour("font")}`, textBaseline: "middle", lineJoin: "round" });
    const { agreement, members, names } = this.state;
    const frame = this.frame;
    const others = agreement.flatMap((row, i) => row.filter((_, j) => i !== j));
    const shade = linear([Math.min(...others), Math.max(...others)], [0.06, 0.5]);
    within(ctx, { textAlign: "left", fillStyle: colour("ink") }, () => ctx.fillText("same answer, % of the examples", 2, 9, width - 4));
    for (let i = 0; i < frame.n; i++) {
      for (let j = 0; j < frame.n; j++) {
        const inside = members.includes(i) && members.includes(j);
        within(ctx, { globalAlpha: inside ? 1 : 0.35 }, () => this.cell(ctx, frame, i, j, agreement[i][j], shade, colour));
      }
    }
    if (this.cursor) {
      const [i, j] = this.cursor;
      within(ctx, { strokeStyle: colour("ink"), lineWidth: 2 }, () => ctx.strokeRect(frame.x + j * frame.side, frame.y + i * frame.side, frame.side - 1, frame.side - 1));
    }
    const { columns } = this;
    names.forEach((name, m) => this.name(ctx, frame, [name, columns[m]], m, members.includes(m), colour));
  }

  cell(ctx, { x, y, side }, i, j, share, shade, colour) {
    const [left, top] = [x + j * side, y + i * side];
    if (i === j) return void within(ctx, { fillStyle: colour("grid") }, () => ctx.fillRect(left, top, side - 1, side - 1));
    within(ctx, { fillStyle: colour(WHOLE), globalAlpha: ctx.globalAlpha * shade(share) }, () => ctx.fillRect(left, top, side - 1, side - 1));
    const words = side >= 36 ? (100 * share).toFixed(1) : (100 * share).toFixed(0);
    const font = `${side >= 22 ? 12 : 10}px ${colour("font")}`;
    if (side >= 13) within(ctx, { textAlign: "center", fillStyle: colour("ink"), font }, () => ctx.fillText(words, left + side / 2, top + side / 2 + 0.5, side - 2));
  }

  name(ctx, { x, y, side, n, slanted, names }, [name, column], m, inside, colour) {
    within(ctx, { fillStyle: colour(inside ? "ink" : "muted"), globalAlpha: inside ? 1 : 0.6, textAlign: "right" }, () => {
      if (side >= 12) ctx.fillText(name, x - 7, y + (m + 0.5) * side, names - 8);
      const bottom = y + n * side;
      if (side < 22) ctx.font = `11px ${colour("font")}`;
      if (!slanted) return void Object.assign(ctx, { textAlign: "center" }) || ctx.fillText(column, x + (m + 0.5) * side, bottom + 11, side);
      ctx.translate(x + (m + 0.5) * side, bottom + 5);
      ctx.rotate(-Math.PI / 3);
      ctx.fillText(column, 0, 0, 68);
    });
  }

  /** The pair at a place of the canvas, or null. */
  at(px, py) {
    if (!this.state) return null;
    const { x, y, side, n } = this.frame;
    const [i, j] = [Math.floor((py - y) / side), Math.floor((px - x) / side)];
    return i >= 0 && j >= 0 && i < n && j < n ? [i, j] : null;
  }

  spoken([i, j]) {
    const { names, agreement, alone } = this.state;
    if (i === j) return `${names[i]}: ${percent(alone[i].accuracy)} right, loss ${short(alone[i].loss)}, ECE ${percent(alone[i].ece)}.`;
    return `${names[i]} and ${names[j]} give the same answer to ${percent(agreement[i][j])} of the examples.`;
  }
}

// ---- The page --------------------------------------------------------------------------------------------------------

class EnsemblePage {
  constructor(model, el) {
    this.build(el);
    this.link = new Link(model, (message, buffers) => this.news(message, buffers), this.root);
  }

  build(el) {
    this.about = h("span", { class: "about" });
    this.cost = h("span", { class: "cost" });
    const canvas = (name, more = {}) => h("canvas", { role: "img", class: name, "aria-label": name, ...more });
    this.table = new Table((members) => this.choose(members));
    this.canvas = canvas("scores");
    this.scores = new ScorePicture(this.canvas);
    this.reliability = new ReliabilityPicture(canvas("reliability"));
    this.agreement = new AgreementPicture(canvas("agreement", { tabindex: 0, ...KEYS }));
    this.pictures = [this.scores, this.reliability, this.agreement];
    this.stage = h("div", { class: "stage" }, this.table.node, ...this.pictures.map((picture) => picture.canvas));
    this.note = h("p", { class: "note" });
    this.voice = h("div", { class: "voice", "aria-live": "polite" });
    this.root = h("section", { class: "lrlab ensemble", "aria-label": "Ensemble view" },
      h("header", {}, h("strong", {}, "Ensemble view"), this.about, h("span", { class: "numbers" }, this.cost)),
      this.buildBar(), this.stage, h("footer", {}, this.note), this.voice);
    this.listen();
    el.append(this.root);
  }

  buildBar() {
    const every = () => this.state.names.map((_, m) => m);
    const accuracy = (m) => this.state.alone[m].accuracy;
    const best = () => every().reduce((leader, m) => (accuracy(m) > accuracy(leader) ? m : leader));
    this.average = select("average of", () => this.link.ask({ do: "average", value: this.average.node.value }, "average"));
    this.images = select("examples", () => this.link.ask({ do: "show", images: this.images.node.value }, "images"));
    const who = h("div", { role: "group", "aria-label": "members" },
      button("all in", "Put all members in", () => this.choose(every())),
      button("best alone", "Leave only the member with the greatest accuracy", () => this.choose([best()])));
    return h("div", { class: "bar" }, who, h("div", { class: "choices" }, this.average.box, this.images.box));
  }

  /** Ask for these members. Who clicks faster than the kernel answers is not held up: the columns follow the hand. */
  choose(members) {
    this.wanted = [...members].sort((a, b) => a - b);
    this.link.ask({ do: "only", members: this.wanted }, "members");
    this.table.show(this.state, this.images.addresses, this.wanted);
  }

  news({ state, fresh, shape }, buffers) {
    if (!fresh && !this.state) return; // part of a story whose beginning is still on its way
    const before = this.state;
    this.state = state;
    for (const picture of this.pictures) picture.state = state;
    if (shape) this.images.addresses = addresses(buffers[0], shape);
    if (!this.link?.behind) this.wanted = null;
    this.show();
    if (before && JSON.stringify([before.members, before.average]) !== JSON.stringify([state.members, state.average])) this.say(this.spoken());
  }

  show() {
    const { state } = this;
    write(this.about, `${state.members.length} of ${state.names.length} members · ${count(state.examples)} examples of ${state.title}`);
    write(this.cost, this.price());
    offer(this.average.node, state.averages, state.average);
    offer(this.images.node, state.choices, state.images);
    this.table.show(state, this.images.addresses, this.wanted ?? state.members);
    this.stage.classList.toggle("many", this.table.needed > ROOM);
    this.tell();
    this.canvas.setAttribute("aria-label", this.summary());
    this.reliability.canvas.setAttribute("aria-label", this.reliability.spoken);
    this.agreement.canvas.setAttribute("aria-label", `Agreement map of ${state.names.length} members; the arrow keys go from pair to pair`);
    for (const picture of this.pictures) picture.surface.redraw();
  }

  price() {
    const { members, steps } = this.state;
    const passes = `${members.length} forward pass${members.length === 1 ? "" : "es"} an example`;
    return steps === null ? passes : `${passes} · ${count(steps)} training steps`;
  }

  /** The line below: what went wrong, or the pair under the cursor, or what the whole gains. */
  tell() {
    const { problem } = this.state;
    write(this.note, problem || (this.agreement.cursor ? this.agreement.spoken(this.agreement.cursor) : this.gains()));
    this.note.className = `note ${problem ? "problem" : ""}`;
    if (problem) this.note.setAttribute("role", "alert");
    else this.note.removeAttribute("role");
  }

  gains() {
    const { whole, mean, before, members, names } = this.state;
    const changes = (from) => SCORES.map((score) => `${score.key === "ece" ? "ECE" : score.key} ${signed(whole[score.key] - from[score.key], score)}${score.key === "loss" ? "" : " points"}`).join(", ");
    if (before) return `The last change: ${changes(before)}.`;
    if (members.length === 1) return `${names[members[0]]} alone. Click another to put it in.`;
    return `The whole against the mean of its members: ${changes(mean)}. Click one to take it out.`;
  }

  summary() {
    const { members, names, average } = this.state;
    const who = members.map((m) => names[m]).join(", ");
    return `Ensemble view, ${members.length} of ${names.length} members (${who}), average of ${average}: ${this.told()}`;
  }

  told() {
    const { whole, mean, best } = this.state;
    return SCORES.map(({ key, words }) => `${key === "ece" ? "ECE" : key} ${words(whole[key])} (mean ${words(mean[key])}, best ${words(best[key])})`).join(", ");
  }

  spoken() {
    const { members, names, whole } = this.state;
    return `${members.length} of ${names.length} members: ${SCORES.map(({ key, words }) => `${key} ${words(whole[key])}`).join(", ")}`;
  }

  say(words) {
    this.voice.textContent = words;
  }

  listen() {
    const { canvas } = this.agreement;
    canvas.addEventListener("pointermove", ({ offsetX, offsetY }) => this.look(this.agreement.at(offsetX, offsetY)));
    for (const end of ["pointerleave", "blur"]) canvas.addEventListener(end, () => this.look(null));
    canvas.addEventListener("keydown", (event) => this.onKey(event));
  }

  look(pair) {
    if (!this.state || String(pair) === String(this.agreement.cursor)) return;
    this.agreement.cursor = pair;
    this.tell();
    this.agreement.surface.redraw();
  }

  onKey(event) {
    if (!this.state || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape") return this.look(null);
    const move = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    if (!move) return;
    event.preventDefault();
    const last = this.state.names.length - 1;
    const from = this.agreement.cursor ?? [0, 0];
    this.look(from.map((at, axis) => Math.min(Math.max(at + move[axis], 0), last)));
    this.say(this.agreement.spoken(this.agreement.cursor));
  }

  dispose() {
    this.link.dispose();
    for (const picture of this.pictures) picture.surface.dispose();
  }
}

export default {
  render({ model, el }) {
    const page = new EnsemblePage(model, el);
    return () => page.dispose();
  },
};
