// A small line chart: linear or logarithmic upwards, a title, units on both axes, a cursor.

import { el, svg, number, powerOfTen } from "../common.js";

const DASHES = ["", "7 4", "2 3", "9 3 2 3"];

function ticks(low, high, count = 5) {
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough);
  const found = [];
  for (let value = Math.ceil(low / step - 1e-9) * step; value <= high + 1e-9 * step; value += step) found.push(value);
  return found;
}

function logTicks(low, high) {
  const every = Math.max(1, Math.ceil((Math.floor(high) - Math.ceil(low)) / 6));
  const found = [];
  for (let power = Math.ceil(low); power <= high + 1e-9; power += every) found.push(power);
  return found;
}

/** A colour and a dash for each line: by its place, or as it says. */
function look(one, index) {
  const place = (one.look ?? index) % DASHES.length;
  return { class: `line line-${place}`, "stroke-dasharray": one.dash ?? DASHES[place] };
}

/**
 * @param {object} told  room (the element it will stand in), title, x and y (what the axes show), log, from (the first x),
 *   series: [{name, values, look, dash}]; widest, height; cursor (an x); bounds [low, high]
 */
export function chart({ room, title, x, y, log = false, from = 0, series, widest = 520, height = 190, cursor = null, bounds = null }) {
  const width = Math.min(widest, Math.max(280, room.clientWidth || widest));
  const left = 60, bottom = 40, top = 10, right = 12;
  const up = (value) => (log ? (value > 0 ? Math.log10(value) : NaN) : value);
  const known = series.flatMap((one) => [...one.values].map(up)).filter(Number.isFinite);
  let [low, high] = bounds ?? [Math.min(...known), Math.max(...known)];
  if (!known.length) [low, high] = [0, 1];
  if (high - low < 1e-9) [low, high] = [low - 0.5, high + 0.5];
  const last = from + Math.max(1, ...series.map((one) => one.values.length - 1));
  const px = (at) => left + ((at - from) / (last - from)) * (width - left - right);
  const py = (at) => top + ((high - at) / (high - low)) * (height - top - bottom);
  const drawn = svg("svg", { viewBox: `0 0 ${width} ${height}`, class: "chart", role: "img", "aria-label": title });
  drawn.style.maxWidth = `${1.2 * width}px`;  // letters of about the page's size
  for (const at of log ? logTicks(low, high) : ticks(low, high)) {
    drawn.append(svg("line", { x1: left, x2: width - right, y1: py(at), y2: py(at), class: "grid" }));
    drawn.append(svg("text", { x: left - 6, y: py(at) + 4, "text-anchor": "end" },
      log ? powerOfTen(at) : number(at, high - low < 2 ? 2 : 0)));
  }
  for (const at of ticks(from, last, width / 80).filter(Number.isInteger)) {
    drawn.append(svg("text", { x: px(at), y: height - bottom + 15, "text-anchor": "middle" }, String(at)));
  }
  drawn.append(svg("text", { x: (left + width - right) / 2, y: height - 6, "text-anchor": "middle" }, x));
  drawn.append(svg("text", { transform: `translate(11 ${(top + height - bottom) / 2}) rotate(-90)`, "text-anchor": "middle" }, y));
  series.forEach((one, index) => {
    const points = [];
    let pen = "M";
    one.values.forEach((value, i) => {
      const at = up(value);
      if (!Number.isFinite(at)) { pen = "M"; return; }
      points.push(`${pen}${px(from + i).toFixed(1)} ${py(Math.min(high, Math.max(low, at))).toFixed(1)}`);
      pen = "L";
    });
    drawn.append(svg("path", { d: points.join(""), ...look(one, index) }));
  });
  const line = svg("line", { y1: top, y2: height - bottom, class: "cursor", x1: 0, x2: 0 });
  drawn.append(line);
  const moveTo = (at) => {
    line.toggleAttribute("hidden", at === null);
    line.style.display = at === null ? "none" : "";
    if (at !== null) { line.setAttribute("x1", px(at)); line.setAttribute("x2", px(at)); }
  };
  moveTo(cursor);
  const keys = series.length > 1 ? el("figcaption", { class: "keys" }, ...series.map((one, index) => el("span", {},
    svg("svg", { width: 26, height: 8, "aria-hidden": "true" }, svg("line", { x1: 0, x2: 26, y1: 4, y2: 4, ...look(one, index) })), one.name))) : null;
  return { node: el("figure", {}, drawn, keys), moveTo };
}
