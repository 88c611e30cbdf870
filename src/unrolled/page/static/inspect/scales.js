// What a number looks like: a place on a scale, and the scale's colours.

import { el, svg, number, powerOfTen, isDark, Decades } from "../common.js";

const mix = (a, b, share) => a.map((from, i) => Math.round(from + share * (b[i] - from)));
const rgb = (colour) => `rgb(${colour.join(",")})`;

// Blue and orange: told apart by every eye; in between the colour of the page.
const ENDS = { light: [[22, 92, 168], [247, 246, 243], [196, 92, 0]], dark: [[96, 172, 255], [28, 31, 36], [255, 160, 64]] };

// From the colour of the page to what stands out most; lightness only rises, or only falls.
const RAMP = {
  light: [[255, 255, 255], [232, 246, 177], [127, 205, 187], [44, 127, 184], [37, 52, 148], [8, 20, 70]],
  dark: [[28, 31, 36], [52, 44, 110], [42, 110, 142], [34, 160, 132], [140, 212, 76], [253, 231, 60]],
};

function sequential(place) {
  const ramp = RAMP[isDark() ? "dark" : "light"];
  const at = place * (ramp.length - 1), i = Math.min(Math.floor(at), ramp.length - 2);
  return mix(ramp[i], ramp[i + 1], at - i);
}

const inkOnSequential = (place) => (isDark() === place < 0.55 ? "#fff" : "#111");

function diverging(place) {
  const [low, middle, high] = ENDS[isDark() ? "dark" : "light"];
  return place < 0.5 ? mix(middle, low, 1 - 2 * place) : mix(middle, high, 2 * place - 1);
}

function inkOnDiverging(place) {
  const strong = Math.abs(place - 0.5) > 0.3;
  return isDark() ? (strong ? "#10131a" : "#f2f0ec") : (strong ? "#fff" : "#1c2025");
}

/** From `low` to `high` in even steps; around 0 in two colours where there are both signs. */
export class Linear {
  constructor(low, high) {
    this.signed = low < 0;
    this.high = this.signed ? Math.max(-low, high) : high;
    this.low = this.signed ? -this.high : low;
    if (!(this.high > this.low)) this.high = this.low + 1;
  }

  place(value) {
    if (!Number.isFinite(value)) return null;
    return Math.min(1, Math.max(0, (value - this.low) / (this.high - this.low)));
  }

  colour(place) {
    return rgb(this.signed ? diverging(place) : sequential(place));
  }

  paint(value) {
    const place = this.place(value);
    if (place === null) return { fill: "transparent", ink: "var(--ink)" };
    return { fill: this.colour(place), ink: this.signed ? inkOnDiverging(place) : inkOnSequential(place) };
  }

  legend(title) {
    const ends = [this.low, this.signed ? 0 : null, this.high];
    return bar(title, (place) => this.colour(place), ends.map((v) => (v === null ? "" : number(v, 2))),
      `${title}: from ${number(this.low, 2)} to ${number(this.high, 2)}`);
  }
}

/** So many decades, from the colour of the page to what stands out most. */
export class Logarithmic extends Decades {
  colour(place) {
    return rgb(sequential(place));
  }

  paint(value) {
    const place = this.place(value);
    if (place === null) return null;
    return { fill: this.colour(place), ink: inkOnSequential(place) };
  }

  legend(title) {
    const every = Math.ceil((this.top - this.bottom) / 4), ends = [];
    for (let power = this.bottom; power <= this.top; power += every) ends.push(powerOfTen(power));
    ends[0] = `≤${ends[0]}`;
    return bar(title, (place) => this.colour(place), ends,
      `${title}: from ${powerOfTen(this.bottom)} or less to ${powerOfTen(this.top)}, logarithmic`);
  }
}

function bar(title, colour, ends, words) {
  const width = 180, left = 22, parts = 45;
  const drawn = svg("svg", { width: width + 2 * left, height: 30, "aria-hidden": "true" });
  for (let i = 0; i < parts; i += 1) {
    drawn.append(svg("rect", {
      x: left + (i * width) / parts, y: 0, width: width / parts + 0.6, height: 11, fill: colour(i / (parts - 1)),
    }));
  }
  drawn.append(svg("rect", { x: left, y: 0.5, width, height: 10.5, class: "edge" }));
  ends.forEach((text, i) => {
    drawn.append(svg("text", { x: left + (i * width) / (ends.length - 1), y: 26, "text-anchor": "middle" }, text));
  });
  return el("div", { class: "legend", role: "img", "aria-label": words },
    el("span", { "aria-hidden": "true" }, title), drawn);
}
