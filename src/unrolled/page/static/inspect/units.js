// States and gates: all units as a heat map, one of them along the text, and which follow what.

import { el, number } from "../common.js";
import { Grid, quantile } from "./arrays.js";
import { chart } from "./chart.js";
import { Heat } from "./heat.js";
import { Linear } from "./scales.js";
import { layer, quoted, value as valueName } from "./words.js";

export class Units {
  /** @param {object} panel  run, shared, question(path, body), changed() */
  constructor(panel, features) {
    this.panel = panel;
    this.features = features;
    this.unit = 0;
    this.order = [];
    this.values = null;
    this.heat = new Heat({
      label: "Units (up and down) through the steps (left and right)",
      text: () => this.#words(this.unit, panel.shared.now),
      onhover: (cell) => this.#hover(cell),
      onpick: ([row, step]) => { this.pick(this.order[row]); panel.shared.pick(step); },
      onmove: (rows, columns) => {
        if (rows) this.pick(this.order[Math.min(this.order.length - 1, Math.max(0, this.order.indexOf(this.unit) + rows))]);
        if (columns) panel.shared.pick(panel.shared.now + columns);
      },
    });
    this.strand = el("select", { onchange: () => { this.#listValues(); this.load(); } });
    this.value = el("select", { onchange: () => this.load() });
    this.sort = el("select", { onchange: () => this.#sort() },
      el("option", { value: "spread" }, "how much it changes"),
      el("option", { value: "index" }, "number"),
      el("option", { value: "now" }, "value at the chosen step"),
      el("optgroup", { label: "how well it follows (r over this sample)" },
        ...features.map((name, i) => el("option", { value: `r${i}` }, name))));
    this.own = el("input", { type: "checkbox", onchange: () => this.draw() });
    this.number = el("input", { type: "number", min: 0, value: 0, onchange: () => this.pick(Number(this.number.value)) });
    this.legend = el("div");
    this.axis = el("div", { class: "axis figures", "aria-hidden": "true" });
    this.under = el("p", { class: "small soft figures under-map" }, "\u00a0");
    this.along = el("div", { class: "along" });
    this.follows = el("p", { class: "small" });
    this.feature = el("select", { onchange: () => this.#list() });
    this.found = el("ol", { class: "found" });
    this.finder = el("div", { class: "finder" },
      el("h3", {}, "Find a unit that follows…"),
      el("label", {}, el("span", { class: "hidden-text" }, "What it follows"), this.feature), this.found);
    this.node = el("section", { class: "card" },
      el("h2", {}, "States and gates"),
      el("div", { class: "row" },
        el("label", {}, "Layer ", this.strand), el("label", {}, "Value ", this.value),
        el("label", {}, "Units in order of ", this.sort),
        el("label", { class: "inline own" }, this.own, "each on a scale of its own")),
      el("div", { class: "sides" },
        el("div", { class: "wide" }, el("div", { class: "framed units-map" }, this.heat.canvas), this.axis, this.under, this.legend),
        el("div", {},
          el("div", { class: "row" }, el("label", {}, "Unit ", this.number),
            el("button", { type: "button", onclick: () => { panel.shared.colourBy("unit"); panel.reading.scrollIntoView({ block: "start" }); } }, "See it in the text")),
          this.along, this.follows, this.finder)));
  }

  /** A new sample was read. */
  async show(found, marks) {
    this.inspected = found;
    this.marks = new Grid(marks);
    const names = found.strands.map((strand) => strand.name);
    const before = this.strand.value;
    this.strand.replaceChildren(...names.map((name) => el("option", { value: name }, layer(name))));
    this.strand.value = names.includes(before) ? before : names.at(-1);
    this.#listValues();
    await this.load();
  }

  #listValues() {
    const strand = this.inspected.strands.find((one) => one.name === this.strand.value);
    const before = this.value.value, names = [...strand.states, ...strand.gates];
    const option = (name) => el("option", { value: name }, valueName(name));
    this.value.replaceChildren(
      el("optgroup", { label: "states" }, ...strand.states.map(option)),
      el("optgroup", { label: "gates" }, ...strand.gates.map(option)));
    this.value.value = names.includes(before) ? before : names[0];
  }

  async load() {
    const found = await this.panel.question("/api/inspect/values", { strand: this.strand.value, value: this.value.value });
    if (!found) return;
    this.values = new Grid(found.values);
    this.r = new Grid(found.r);
    const steps = this.values.rows, units = this.values.columns;
    this.number.max = units - 1;
    this.unit = Math.min(this.unit, units - 1);
    this.spread = Float32Array.from({ length: units }, (_, unit) => {
      const own = this.values.column(unit);
      const mean = own.reduce((sum, v) => sum + v, 0) / steps;
      return own.reduce((sum, v) => sum + (v - mean) ** 2, 0);
    });
    this.largest = Float32Array.from({ length: units }, (_, unit) => Math.max(...this.values.column(unit).map(Math.abs)));
    const low = this.values.data.reduce((least, v) => Math.min(least, v), 0);
    const most = this.values.data.reduce((largest, v) => Math.max(largest, v), 0);
    // What lies between 0 and 1 is a gate; a state's rare extremes must not pale the rest.
    this.gate = low >= 0 && most <= 1;
    const size = quantile(this.values.data.map(Math.abs), 0.98);
    this.scale = this.gate ? new Linear(0, 1) : new Linear(low < 0 ? -size : 0, size);
    if (this.panel.fresh) this.unit = this.spread.indexOf(Math.max(...this.spread));
    this.panel.fresh = false;
    this.#sort();
    this.pick(this.unit);
  }

  #sort() {
    if (!this.values) return;
    const units = [...this.spread.keys()];
    const by = this.sort.value, step = this.panel.shared.step ?? 0;
    this.sorted = this.panel.shared.step;
    const key = {
      index: (unit) => unit,
      spread: (unit) => -this.spread[unit],
      now: (unit) => -this.values.at(Math.min(step, this.values.rows - 1), unit),
    }[by] ?? ((unit) => -this.r.at(Number(by.slice(1)), unit));
    const keys = units.map(key);
    this.order = units.sort((a, b) => keys[a] - keys[b] || a - b);
    this.draw();
  }

  /** Draw anew: also when the colours of the page change. */
  draw() {
    if (!this.values) return;
    const { values, order, gate } = this, own = this.own.checked && !gate;
    const shares = own && this.largest.map((size) => 1 / (size || 1));
    const scale = own ? new Linear(this.scale.low < 0 ? -1 : 0, 1) : this.scale;
    this.heat.draw(order.length, values.rows,
      (row, step) => values.at(step, order[row]) * (own ? shares[order[row]] : 1), scale);
    this.axis.replaceChildren(el("span", {}, "step 0"), el("span", {}, `${order.length} units, one a row`), el("span", {}, `step ${values.rows - 1}`));
    const title = `${valueName(this.value.value)}, ${layer(this.strand.value)}${own ? ", share of the unit's largest" : ""}`;
    this.legend.replaceChildren(scale.legend(title));
    this.step();
  }

  pick(unit) {
    if (!this.values || !(unit >= 0 && unit < this.values.columns)) return;
    this.unit = Math.round(unit);
    this.number.value = this.unit;
    const own = this.values.column(this.unit);
    this.line = chart({
      room: this.along,
      title: `Unit ${this.unit} of the ${valueName(this.value.value)} in ${layer(this.strand.value)} along the text`,
      x: "step", y: `${this.value.value}[${this.unit}]`, series: [{ name: "value", values: own }],
      widest: 330, height: 150, bounds: this.gate ? [0, 1] : null,
    });
    this.along.replaceChildren(this.line.node);
    const best = this.features.map((name, i) => [name, this.r.at(i, this.unit)])
      .filter(([, r]) => Math.abs(r) >= 0.1).sort((a, b) => Math.abs(b[1]) - Math.abs(a[1])).slice(0, 3);
    this.follows.textContent = best.length
      ? `In this sample it goes with: ${best.map(([name, r]) => `${name} (r = ${number(r, 2)})`).join(", ")}.`
      : "In this sample it goes with none of the features that the page knows.";
    this.#press();
    this.panel.changed();
  }

  /** Show which of the units found is the chosen one. */
  #press() {
    for (const button of this.found.querySelectorAll("button")) {
      button.setAttribute("aria-pressed", button.dataset.unit === `${this.strand.value} ${this.value.value} ${this.unit}`);
    }
  }

  /** The chosen step, or the one under the pointer, has changed. */
  step() {
    if (!this.values) return;
    const step = Math.min(this.panel.shared.now, this.values.rows - 1);
    if (this.sort.value === "now" && this.sorted !== this.panel.shared.step) { this.#sort(); return; }
    this.heat.at(this.order.indexOf(this.unit), step);
    this.line?.moveTo(step);
    this.under.textContent = this.#words(this.unit, step);
  }

  /** The chosen unit's colours in the text. */
  paint(step) {
    if (!this.values || step >= this.values.rows) return null;
    return this.unitScale().paint(this.values.at(step, this.unit));
  }

  #own = null;

  /** Of one unit: its own extremes, so that a small one is seen as well. */
  unitScale() {
    const key = `${this.strand.value} ${this.value.value} ${this.unit}`;
    if (this.#own?.key !== key || this.#own.values !== this.values) {
      const own = this.values.column(this.unit);
      const scale = this.gate ? new Linear(0, 1) : new Linear(Math.min(0, ...own), Math.max(0, ...own));
      this.#own = { key, values: this.values, scale };
    }
    return this.#own.scale;
  }

  unitTitle() {
    return `unit ${this.unit}, ${valueName(this.value.value)}, ${layer(this.strand.value)}`;
  }

  /** What the server found over unseen text. */
  showFound(features) {
    this.best = features;
    const names = Object.keys(features ?? {});
    this.finder.hidden = !names.length;
    const before = this.feature.value;
    this.feature.replaceChildren(...names.map((name) => el("option", { value: name },
      `${name} (|r| up to ${number(Math.abs(features[name][0].r), 2)})`)));
    if (names.includes(before)) this.feature.value = before;
    this.#list();
  }

  #list() {
    const units = this.best?.[this.feature.value] ?? [];
    this.found.replaceChildren(...units.map((unit) => el("li", {}, el("button", {
      type: "button", class: "unit", "data-unit": `${unit.strand} ${unit.state} ${unit.number}`, onclick: () => this.#goTo(unit),
    }, `${unit.state} ${unit.number}, ${layer(unit.strand)}`, el("span", { class: "soft figures" }, ` r = ${number(unit.r, 2)}`)))));
    this.#press();
  }

  async #goTo(unit) {
    if (this.strand.value !== unit.strand || this.value.value !== unit.state) {
      this.strand.value = unit.strand;
      this.#listValues();
      this.value.value = unit.state;
      await this.load();
    }
    this.pick(unit.number);
    this.panel.shared.colourBy("unit");
  }

  #hover(cell) {
    this.panel.shared.hoverAt(cell && cell[1]);
    if (cell) this.under.textContent = this.#words(this.order[cell[0]], cell[1]);
  }

  #words(unit, step) {
    if (!this.values || step >= this.values.rows) return "";
    const name = quoted(this.inspected.names[step]);
    return `Unit ${unit} after step ${step} ${name}: ${this.value.value} = ${number(this.values.at(step, unit), 3)}`;
  }
}
