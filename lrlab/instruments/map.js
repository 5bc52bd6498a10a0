// A map seen from above: its contours and their shading, drawn once and kept; markers and arrows on top of it.

import { dot, line, linear, within } from "./canvas.js";

/** The scales of a map over `window` in `frame`. */
export function scalesOf([[left, right], [bottom, top]], frame) {
  return {
    x: linear([left, right], [frame.x, frame.x + frame.width]),
    y: linear([bottom, top], [frame.y + frame.height, frame.y]),
  };
}

/** The ground: shading and contours. It is painted when the size or the theme changes, and copied otherwise. */
export class Ground {
  /** `lengths`: for each level, the points of each of its lines; `points`: all of them in turn; `depth`: bytes in rows. */
  constructor({ window, lengths, depth }, points, bytes) {
    this.window = window;
    this.lengths = lengths;
    this.points = points;
    this.rows = depth[0];
    this.columns = depth[1];
    this.depth = bytes;
  }

  draw(ctx, frame, colour) {
    const density = ctx.getTransform().a;
    const [ink, shade] = [colour("muted"), colour("accent")];
    const key = [frame.width, frame.height, density, ink, shade].join();
    if (this.key !== key) {
      this.key = key;
      this.picture = this.paint(frame, density, ink, shade);
    }
    ctx.drawImage(this.picture, frame.x, frame.y, frame.width, frame.height);
  }

  paint({ width, height }, density, stroke, shade) {
    const picture = document.createElement("canvas");
    picture.width = Math.round(width * density);
    picture.height = Math.round(height * density);
    const ctx = picture.getContext("2d");
    ctx.scale(picture.width / width, picture.height / height);
    within(ctx, { imageSmoothingQuality: "high" }, () => ctx.drawImage(this.shading(shade), 0, 0, width, height));
    const { x, y } = scalesOf(this.window, { x: 0, y: 0, width, height });
    let first = 0;
    this.lengths.forEach((level, number) => {
      // Every fifth is stronger, as on a hiker's map.
      const strong = number % 5 === 0;
      within(ctx, { strokeStyle: stroke, lineJoin: "round", lineWidth: strong ? 1 : 0.75, globalAlpha: strong ? 0.6 : 0.32 }, () => {
        for (const n of level) {
          line(ctx, n, (i) => [x(this.points[2 * (first + i)]), y(this.points[2 * (first + i) + 1])]);
          first += n;
        }
      });
    });
    return picture;
  }

  /** The deeper, the more of the colour; a small picture that is stretched smoothly. */
  shading(fill) {
    const picture = document.createElement("canvas");
    [picture.width, picture.height] = [this.columns, this.rows];
    const ctx = picture.getContext("2d");
    ctx.fillStyle = fill;
    ctx.fillRect(0, 0, this.columns, this.rows);
    const image = ctx.getImageData(0, 0, this.columns, this.rows);
    for (let row = 0; row < this.rows; row++) {
      for (let column = 0; column < this.columns; column++) {
        // The kernel's first row is the lowest, a picture's the highest.
        const deep = this.depth[(this.rows - 1 - row) * this.columns + column];
        image.data[4 * (row * this.columns + column) + 3] = 0.3 * deep;
      }
    }
    ctx.putImageData(image, 0, 0);
    return picture;
  }
}

// The shape of each racer's marker: corners, and the turn of the first one from the top, in degrees.
const SHAPES = [null, [4, 45], [3, 0], [4, 0], [3, 180], [5, 0], [6, 0]];

/** The marker of a number, one shape for each colour of the theme. */
export function marker(ctx, slot, x, y, radius, fill, rim) {
  const shape = SHAPES[slot % SHAPES.length];
  if (!shape) return dot(ctx, x, y, radius, fill, rim);
  const [corners, turn] = shape;
  const reach = radius * (corners < 5 ? 1.3 : 1.1); // as much ink as a disc
  ctx.beginPath();
  for (let i = 0; i < corners; i++) {
    const angle = ((turn - 90 + (360 * i) / corners) * Math.PI) / 180;
    ctx.lineTo(x + reach * Math.cos(angle), y + reach * Math.sin(angle));
  }
  ctx.closePath();
  ctx.fillStyle = fill;
  ctx.fill();
  ctx.lineWidth = 1.5;
  ctx.strokeStyle = rim;
  ctx.stroke();
  return undefined;
}

/** An arrow with a halo, so that it stands out from the paths. */
export function arrow(ctx, [x0, y0], [x1, y1], stroke, halo, dash = []) {
  const angle = Math.atan2(y1 - y0, x1 - x0);
  const head = Math.min(9, 0.6 * Math.hypot(x1 - x0, y1 - y0));
  const barb = (side) => [x1 - head * Math.cos(angle + side), y1 - head * Math.sin(angle + side)];
  const [left, right] = [barb(0.45), barb(-0.45)];
  const shaft = [x1 - 0.8 * head * Math.cos(angle), y1 - 0.8 * head * Math.sin(angle)];
  for (const [strokeStyle, extra, pattern] of [[halo, 3, []], [stroke, 0, dash]]) {
    within(ctx, { strokeStyle, fillStyle: strokeStyle, lineWidth: 2 + extra, lineJoin: "round", dash: pattern }, () => {
      line(ctx, 2, (i) => (i ? shaft : [x0, y0]));
      ctx.setLineDash([]);
      ctx.lineWidth = 1 + extra;
      ctx.beginPath();
      [[x1, y1], left, right].forEach((corner) => ctx.lineTo(...corner));
      ctx.closePath();
      ctx.stroke();
      ctx.fill();
    });
  }
}

/** A small cross, for a minimum. */
export function cross(ctx, x, y, reach, stroke) {
  within(ctx, { strokeStyle: stroke, lineWidth: 1.5 }, () => {
    line(ctx, 2, (i) => [x + (i ? reach : -reach), y + (i ? reach : -reach)]);
    line(ctx, 2, (i) => [x + (i ? reach : -reach), y + (i ? -reach : reach)]);
  });
}
