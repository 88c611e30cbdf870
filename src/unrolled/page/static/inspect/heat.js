// A heat map on a canvas: one cell for each row and column, a cross at the chosen one.

import { el, colour } from "../common.js";

const SHADES = 256;

/** The scale's colours as pixels; the last is for what is not there. */
function palette(scale) {
  const one = el("canvas", { width: 1, height: 1 }).getContext("2d", { willReadFrequently: true });
  const pixels = new Uint32Array(SHADES + 1);
  for (let i = 0; i <= SHADES; i += 1) {
    one.fillStyle = i < SHADES ? scale.colour(i / (SHADES - 1)) : colour("none");
    one.fillRect(0, 0, 1, 1);
    pixels[i] = new Uint32Array(one.getImageData(0, 0, 1, 1).data.buffer)[0];
  }
  return pixels;
}

export class Heat {
  /**
   * @param {object} told  label; text() of the chosen cell; onhover(cell | null), onpick(cell), onmove(rows, columns)
   */
  constructor(told) {
    this.told = told;
    this.cell = [0, 0];
    this.canvas = el("canvas", {
      class: "heat", tabindex: "0", role: "slider", "aria-label": told.label, "aria-orientation": "vertical",
      "aria-valuemin": "0", "aria-valuenow": "0",
      onpointermove: (event) => told.onhover(this.#under(event)),
      onpointerleave: () => told.onhover(null),
      onclick: (event) => told.onpick(this.#under(event)),
      onkeydown: (event) => this.#key(event),
    });
    this.image = null;
    new ResizeObserver(() => this.redraw()).observe(this.canvas);
  }

  /** Draw `value(row, column)` by a scale; NaN and what is off the scale in the colour of nothing. */
  draw(rows, columns, value, scale) {
    [this.rows, this.columns] = [rows, columns];
    const shades = palette(scale);
    const picture = new ImageData(columns, rows);
    const pixels = new Uint32Array(picture.data.buffer);
    for (let row = 0; row < rows; row += 1) {
      for (let column = 0; column < columns; column += 1) {
        const place = scale.place(value(row, column));
        pixels[row * columns + column] = shades[place === null ? SHADES : Math.round(place * (SHADES - 1))];
      }
    }
    this.image = el("canvas", { width: columns, height: rows });
    this.image.getContext("2d").putImageData(picture, 0, 0);
    this.canvas.setAttribute("aria-valuemax", rows - 1);
    this.redraw();
  }

  /** Move the cross. */
  at(row, column) {
    this.cell = [row, column];
    this.canvas.setAttribute("aria-valuenow", Math.max(0, row));
    this.canvas.setAttribute("aria-valuetext", this.told.text());
    this.redraw();
  }

  redraw() {
    if (!this.image) return;
    const { canvas, image, rows, columns } = this;
    const dots = devicePixelRatio || 1;
    const width = Math.round(canvas.clientWidth * dots), height = Math.round(canvas.clientHeight * dots);
    if (!width || !height) return;
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    const brush = canvas.getContext("2d");
    brush.imageSmoothingEnabled = false;
    brush.drawImage(image, 0, 0, width, height);
    const [row, column] = this.cell;
    const boxes = [];
    if (row >= 0) boxes.push([0, (row * height) / rows, width, height / rows]);
    if (column >= 0) boxes.push([(column * width) / columns, 0, width / columns, height]);
    for (const [thick, ink] of [[2 * dots, "rgb(0 0 0 / .6)"], [1 * dots, "rgb(255 255 255 / .9)"]]) {
      brush.lineWidth = thick;
      brush.strokeStyle = ink;
      for (const [x, y, wide, high] of boxes) brush.strokeRect(x - dots, y - dots, wide + 2 * dots, high + 2 * dots);
    }
  }

  #under(event) {
    const box = this.canvas.getBoundingClientRect();
    const clip = (share, count) => Math.min(count - 1, Math.max(0, Math.floor(share * count)));
    return [clip((event.clientY - box.top) / box.height, this.rows), clip((event.clientX - box.left) / box.width, this.columns)];
  }

  #key(event) {
    const far = event.shiftKey ? 10 : 1;
    const move = {
      ArrowUp: [-far, 0], ArrowDown: [far, 0], ArrowLeft: [0, -far], ArrowRight: [0, far],
      PageUp: [-10, 0], PageDown: [10, 0],
    }[event.key];
    if (!move) return;
    event.preventDefault();
    this.told.onmove(...move);
  }
}
