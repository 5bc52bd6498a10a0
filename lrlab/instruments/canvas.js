// The drawing core that every instrument shares: numbers as text, scales, ticks, a sharp canvas, and a few marks.
// Nothing in here knows what is being drawn.

// ---- Numbers as text ---------------------------------------------------------------------------------------------

/** Three significant digits, without an exponent where that is readable: 0.0112, 1,240, 2e-7. */
export function short(x, digits = 3) {
  if (!Number.isFinite(x)) return "–";
  const rounded = Number(x.toPrecision(digits));
  const size = Math.abs(rounded);
  if (size !== 0 && (size < 1e-5 || size >= 1e6)) return rounded.toExponential().replace("e+", "e");
  return size < 1e-5 ? "0" : rounded.toLocaleString("en", { maximumSignificantDigits: digits });
}

/** The numbers of an axis alike: where some need an exponent, all small ones have it: 1e-5, 1e-4, 0.01. */
export function alike(ticks) {
  const exponents = ticks.some((tick) => tick > 0 && tick < 1e-4);
  return (x) => (exponents && x > 0 && x < 0.005 ? Number(x.toPrecision(3)).toExponential() : short(x));
}

/** A count with thousands separated: 1,240. */
export const count = (n) => Math.round(n).toLocaleString("en");

/** A fraction of 1 as a percentage with one decimal: 97.2 %. */
export const percent = (x) => (Number.isFinite(x) ? `${(100 * x).toFixed(1)} %` : "–");

// ---- Scales: from a value to a pixel, and back ---------------------------------------------------------------------

const same = (x) => x;

/** A scale that is straight in `warp(value)`. */
function scale(warp, unwarp, [low, high], [from, to]) {
  const start = warp(low);
  const slope = (to - from) / (warp(high) - start || 1);
  const pixel = (value) => from + (warp(value) - start) * slope;
  pixel.value = (at) => unwarp(start + (at - from) / slope);
  return pixel;
}

export const linear = (domain, range) => scale(same, same, domain, range);

export const logarithmic = (domain, range) => scale(Math.log10, (d) => 10 ** d, domain, range);

// An accuracy of 1 would lie infinitely far up.
const nines = (a) => -Math.log10(Math.max(1 - a, 5e-4));

/** For accuracies: every tenfold fewer errors is one step up, so 97 % and 99 % are as far apart as 70 % and 90 %. */
export const accuracy = (domain, range) => scale(nines, (d) => 1 - 10 ** -d, domain, range);

// ---- Round numbers for axes ----------------------------------------------------------------------------------------

const ROUND = [1, 2, 5, 10];

/** The round number (1, 2, 5 times a power of ten) at or below x. */
export function roundDown(x) {
  const power = 10 ** Math.floor(Math.log10(x) + 1e-9);
  return power * ROUND.filter((m) => m * power <= x * (1 + 1e-9)).pop();
}

/** The round number at or above x. */
export function roundUp(x) {
  const power = 10 ** Math.floor(Math.log10(x) + 1e-9);
  return power * ROUND.find((m) => m * power >= x * (1 - 1e-9));
}

/** The end of a growing axis. It moves in steps of a quarter or so: the picture rests in between. */
export function roomFor(n) {
  const power = 10 ** Math.floor(Math.log10(Math.max(n, 1)) + 1e-9);
  return power * [1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10].find((m) => m * power >= n * (1 - 1e-9));
}

/** Round ticks on a straight axis, about `wanted` of them. */
export function linearTicks([low, high], wanted) {
  const step = roundUp((high - low) / wanted);
  const ticks = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high * (1 + 1e-9); i++) ticks.push(i * step || 0); // never -0
  return ticks;
}

/** Ticks on a logarithmic axis: 1-2-5 while there is room for `wanted`, powers of ten (or of 100 ...) beyond. */
export function logTicks([low, high], wanted) {
  const first = Math.floor(Math.log10(low) + 1e-9);
  const last = Math.ceil(Math.log10(high) - 1e-9);
  const inside = (x) => x >= low * (1 - 1e-9) && x <= high * (1 + 1e-9);
  const powers = [];
  for (let p = first; p <= last; p++) powers.push(p);
  const all = powers.flatMap((p) => [1, 2, 5].map((m) => m * 10 ** p)).filter(inside);
  if (all.length <= wanted) return all;
  const tens = powers.map((p) => 10 ** p).filter(inside);
  const every = Math.ceil(tens.length / wanted);
  return tens.filter((_, i) => i % every === 0);
}

// ---- The surface: a canvas that is sharp, follows the theme, and paints at most once a frame -----------------------

export class Surface {
  /** `paint(ctx, width, height, colour)` draws everything; `colour("ink")` reads the theme's variable --lrlab-ink. */
  constructor(canvas, paint) {
    this.canvas = canvas;
    this.paint = paint;
    this.colours = new Map();
    this.frame = 0;
    this.sizes = new ResizeObserver(() => this.redraw());
    this.sizes.observe(canvas);
    // JupyterLab changes its theme by attributes of the body; a page elsewhere follows the system.
    this.themes = new MutationObserver(() => this.restyle());
    this.themes.observe(document.body, { attributes: true });
    this.system = matchMedia("(prefers-color-scheme: dark)");
    this.onSystem = () => this.restyle();
    this.system.addEventListener("change", this.onSystem);
    for (const change of ["focus", "blur"]) canvas.addEventListener(change, () => this.redraw()); // a mark may show it
  }

  restyle() {
    this.colours.clear();
    this.redraw();
  }

  redraw() {
    if (!this.frame) this.frame = requestAnimationFrame(() => this.draw());
  }

  draw() {
    this.frame = 0;
    const { clientWidth: width, clientHeight: height } = this.canvas;
    if (!width || !height) return;
    const density = window.devicePixelRatio || 1;
    // Setting the size clears the canvas and costs a new buffer, so it is set only when it has changed.
    if (this.canvas.width !== Math.round(width * density) || this.canvas.height !== Math.round(height * density)) {
      this.canvas.width = Math.round(width * density);
      this.canvas.height = Math.round(height * density);
    }
    const ctx = this.canvas.getContext("2d");
    ctx.setTransform(density, 0, 0, density, 0, 0);
    ctx.clearRect(0, 0, width, height);
    Object.assign(ctx, { font: `12px ${this.colour("font")}`, textBaseline: "middle", lineJoin: "round" });
    this.paint(ctx, width, height, (name) => this.colour(name));
  }

  colour(name) {
    if (!this.colours.size) this.style = getComputedStyle(this.canvas);
    if (!this.colours.has(name)) this.colours.set(name, this.style.getPropertyValue(`--lrlab-${name}`).trim());
    return this.colours.get(name);
  }

  dispose() {
    cancelAnimationFrame(this.frame);
    this.sizes.disconnect();
    this.themes.disconnect();
    this.system.removeEventListener("change", this.onSystem);
  }
}

// ---- Marks ---------------------------------------------------------------------------------------------------------

/** Run `draw` with these canvas properties set, and leave the context as it was. */
export function within(ctx, properties, draw) {
  ctx.save();
  const { dash, clip, ...plain } = properties;
  Object.assign(ctx, plain);
  if (dash) ctx.setLineDash(dash);
  if (clip) {
    ctx.beginPath();
    ctx.rect(clip.x, clip.y, clip.width, clip.height);
    ctx.clip();
  }
  draw(ctx);
  ctx.restore();
}

/** A line through `n` points; `at(i)` gives [x, y]. A point that is not finite is left out and bridged. */
export function line(ctx, n, at) {
  ctx.beginPath();
  let pen = false;
  for (let i = 0; i < n; i++) {
    const [x, y] = at(i);
    if (!Number.isFinite(y)) continue;
    if (pen) ctx.lineTo(x, y);
    else ctx.moveTo(x, y);
    pen = true;
  }
  ctx.stroke();
}

/** A vertical line at a pixel. */
export function upright(ctx, at, top, bottom, look) {
  within(ctx, { lineWidth: 1, ...look }, () => line(ctx, 2, (i) => [Math.round(at) + 0.5, i ? bottom : top]));
}

/** Diagonal stripes: what they cover is told by its pattern, not by its colour alone. */
export function hatch(ctx, { x, y, width, height }, stroke) {
  within(ctx, { strokeStyle: stroke, lineWidth: 1, globalAlpha: 0.7, clip: { x, y, width, height } }, () => {
    for (let at = Math.floor((x - height - y) / 7) * 7; at < x + width - y; at += 7) {
      line(ctx, 2, (i) => (i ? [at + y + height, y] : [at + y, y + height])); // one pattern over neighbours
    }
  });
}

/** A filled disc with a rim in the paper's colour, so that it stands out from the line it lies on. */
export function dot(ctx, x, y, radius, fill, rim) {
  ctx.beginPath();
  ctx.arc(x, y, radius, 0, 2 * Math.PI);
  ctx.fillStyle = fill;
  ctx.fill();
  ctx.lineWidth = 1.5;
  ctx.strokeStyle = rim;
  ctx.stroke();
}

/** Text with a halo in the paper's colour, readable on top of lines. */
export function text(ctx, words, x, y, fill, halo) {
  ctx.lineJoin = "round";
  ctx.lineWidth = 4;
  ctx.strokeStyle = halo;
  ctx.strokeText(words, x, y);
  ctx.fillStyle = fill;
  ctx.fillText(words, x, y);
}

/** Words in a box, in the ink's colour: where the cursor stands on an axis. */
export function tag(ctx, words, x, y, colour) {
  within(ctx, { textAlign: "center", fillStyle: colour("ink") }, () => {
    const half = ctx.measureText(words).width / 2 + 6;
    ctx.fillRect(x - half, y - 9, 2 * half, 17);
    ctx.fillStyle = colour("paper");
    ctx.fillText(words, x, y);
  });
}

/** Words that are cut off where they would be wider than this. */
export function cut(ctx, words, width) {
  if (ctx.measureText(words).width <= width) return words;
  let n = words.length;
  while (n > 1 && ctx.measureText(`${words.slice(0, n)}…`).width > width) n--;
  return `${words.slice(0, n)}…`;
}

/** Move labels that would overlap apart vertically: those closer than `reach` sideways keep a `gap`, inside [top, bottom]. */
export function spread(labels, gap, top, bottom, reach = Infinity) {
  const groups = [];
  for (const label of [...labels].sort((a, b) => a.x - b.x)) {
    const group = groups.at(-1);
    if (group && label.x - group.at(-1).x < reach) group.push(label);
    else groups.push([label]);
  }
  for (const group of groups) {
    group.sort((a, b) => a.y - b.y);
    group.reduce((above, label) => (label.y = Math.max(label.y, above + gap)), top - gap);
    group.reduceRight((below, label) => (label.y = Math.min(label.y, below - gap)), bottom + gap);
  }
  return labels;
}

/** Horizontal rules with their numbers to the left of `frame`. */
export function yAxis(ctx, frame, y, ticks, format, colour) {
  within(ctx, { textAlign: "right", textBaseline: "middle", lineWidth: 1 }, () => {
    const words = format === short ? alike(ticks) : format;
    let above = Infinity;
    for (const tick of ticks) {
      const at = Math.round(y(tick)) + 0.5;
      if (above - at < 14) continue; // its number would overlap the last one
      above = at;
      ctx.strokeStyle = colour("grid");
      ctx.beginPath();
      ctx.moveTo(frame.x, at);
      ctx.lineTo(frame.x + frame.width, at);
      ctx.stroke();
      ctx.fillStyle = colour("muted");
      ctx.fillText(words(tick), frame.x - 8, at);
    }
  });
}

/** The numbers of a horizontal axis, centred under their places. */
export function xAxis(ctx, top, x, ticks, format, colour) {
  within(ctx, { textAlign: "center", textBaseline: "top", fillStyle: colour("muted") }, () => {
    const words = format === short ? alike(ticks) : format;
    for (const tick of ticks) ctx.fillText(words(tick), x(tick), top);
  });
}
