// Influence: from which steps a prediction's loss is reached, as a matrix and against the lag.

import { el, number } from "../common.js";
import { Grid } from "./arrays.js";
import { chart } from "./chart.js";
import { Heat } from "./heat.js";
import { Logarithmic } from "./scales.js";
import { layer, quoted, value as valueName } from "./words.js";

const COARSE = 40;  // rows of the first, quick picture
const BLOCK = 100;  // rows of each question after it

export class Reach {
  /** @param {object} panel  run, shared, question(path, body), changed() */
  constructor(panel) {
    this.panel = panel;
    this.size = 0;
    this.heat = new Heat({
      label: "Influence matrix: the step of the loss (up and down), the step it is traced back to (left and right)",
      text: () => this.#words(...this.heat.cell),
      onhover: (cell) => this.#hover(cell),
      onpick: ([row]) => panel.shared.pick(row),
      onmove: (rows, columns) => {
        const row = Math.min(panel.shared.now, this.size - 1), column = this.heat.cell[1];
        if (rows) panel.shared.pick(Math.min(this.size - 1, row + rows));
        else this.#look(row, Math.min(row, Math.max(0, (column < 0 ? row : column) + columns)));
      },
    });
    this.of = el("select", { onchange: () => this.load() });
    this.legend = el("div");
    this.axis = el("div", { class: "axis figures", "aria-hidden": "true" });
    this.state = el("p", { class: "small soft", "aria-live": "polite" });
    this.under = el("p", { class: "small soft figures under-map" }, "\u00a0");
    this.lags = el("div");
    this.picture = el("div", {},
      el("div", { class: "framed square" }, this.heat.canvas),
      this.axis, this.under, this.legend,
      el("h3", {}, "Against the lag"), this.lags);
    this.node = el("section", { class: "card" },
      el("h2", {}, "Influence"),
      el("p", { class: "small soft" }, "Row t, column k: ‖∂ℓₜ/∂sₖ‖, how much the loss of step t (in bits) changes with what "
        + "stood at step k. The diagonal is the present; to the left lies the past. Strong colours far from the diagonal are memory."),
      el("div", { class: "row" }, el("label", {}, "Traced back to ", this.of)),
      this.state,
      this.picture);
  }

  /** A new sample was read. */
  list(found) {
    this.names = found.names;
    this.size = Math.max(0, found.names.length - 1);
    const before = this.of.value;
    const options = [[`${found.strands[0].name} x`, "the characters (inputs of layer 1)"]];
    for (const strand of found.strands) {
      for (const state of strand.states) {
        options.push([`${strand.name} ${state}`, `${valueName(state)}, ${layer(strand.name)}`]);
      }
    }
    this.of.replaceChildren(...options.map(([key, name]) => el("option", { value: key }, name)));
    if (options.some(([key]) => key === before)) this.of.value = before;
    this.picture.hidden = this.size < 1;
    this.#clear();
  }

  #clear() {
    this.rows = Array.from({ length: this.size }, () => null);
    this.node.classList.toggle("waiting", true);
  }

  /** First some rows, at once; then all, block by block, the chosen step's first. */
  async load() {
    if (this.size < 1) {
      this.state.textContent = "For a loss to reach back there must be at least two characters.";
      return;
    }
    this.#clear();
    const all = this.rows, { turn } = this.panel;
    const [strand, value] = this.of.value.split(" ");
    const question = (rows) => this.panel.question("/api/inspect/influence", { strand, value, every: 0, ...rows }, turn);
    const every = Math.max(1, Math.floor(this.size / COARSE));
    this.state.textContent = "computing…";
    if (!this.#take(all, await question({ every }))) return;
    if (every > 1) {
      const blocks = [];
      for (let start = 0; start < this.size; start += BLOCK) blocks.push(start);
      const chosen = Math.floor(Math.min(this.panel.shared.now, this.size - 1) / BLOCK) * BLOCK;
      blocks.sort((a, b) => Number(b === chosen) - Number(a === chosen) || b - a);
      for (const [done, start] of blocks.entries()) {
        this.state.textContent = `One row in ${every} so far; the others are being computed (${done} of ${blocks.length} parts).`;
        if (!this.#take(all, await question({ start, count: BLOCK }))) return;
      }
    }
    this.state.textContent = "";
  }

  #take(rows, found) {
    if (!found || rows !== this.rows) return false;  // asked for something else meanwhile
    const matrix = new Grid(found.matrix);
    found.steps.forEach((step, row) => { rows[step] = matrix.row(row); });
    this.node.classList.toggle("waiting", false);
    this.draw();
    this.panel.changed();
    return true;
  }

  draw() {
    if (!this.rows?.some(Boolean)) return;
    let most = 0;
    for (const row of this.rows) if (row) for (const value of row) if (value > most) most = value;
    this.scale = new Logarithmic(most, this.panel.shared.decades);
    // Where a row is still missing the next one stands for it.
    const shown = [...this.rows];
    for (let t = this.size - 2; t >= 0; t -= 1) shown[t] ??= shown[t + 1];
    this.heat.draw(this.size, this.size, (t, k) => (k <= t && shown[t] ? shown[t][k] : NaN), this.scale);
    this.axis.replaceChildren(el("span", {}, "k = 0"), el("span", {}, "t downwards, k to the right"), el("span", {}, `k = ${this.size - 1}`));
    this.legend.replaceChildren(this.scale.legend("bits per unit"));
    this.lags.replaceChildren(chart({
      room: this.lags,
      title: "Mean influence against the lag, logarithmic", x: "lag t − k, steps", y: "mean influence", log: true,
      series: [{ name: "mean", values: this.byLag() }], height: 190,
    }).node);
    this.step();
  }

  /** Mean over the rows that are known, lag 0 first. */
  byLag() {
    const sums = new Float64Array(this.size), counts = new Float64Array(this.size);
    this.rows.forEach((row, t) => {
      for (let lag = 0; row && lag <= t; lag += 1) { sums[lag] += row[t - lag]; counts[lag] += 1; }
    });
    return Array.from(sums, (sum, lag) => (counts[lag] ? sum / counts[lag] : NaN));
  }

  step() {
    if (!this.scale) return;
    this.#look(Math.min(this.panel.shared.now, this.size - 1), -1);
  }

  /** Colours of the text: what arrives of the loss of step `at`; null where that is not known. */
  paint(step, at) {
    const row = this.rows?.[at];
    return row && step <= at ? this.rowScale(at).paint(row[step]) : null;
  }

  /** The text's own scale ends at the row's largest: what is hardly wrong pulls at nothing hard. */
  rowScale(at) {
    const row = this.rows[at];
    if (this.#row?.row !== row || this.#row.decades !== this.panel.shared.decades) {
      const scale = new Logarithmic(Math.max(...row), this.panel.shared.decades);
      this.#row = { row, decades: this.panel.shared.decades, scale };
    }
    return this.#row.scale;
  }

  #row = null;

  knows(at) {
    return Boolean(this.rows?.[at]);
  }

  title() {
    return `influence of ${this.of.selectedOptions[0]?.textContent ?? ""}, bits per unit`;
  }

  #hover(cell) {
    this.panel.shared.hoverAt(cell && cell[0]);
    if (cell) this.#look(...cell);
  }

  #look(row, column) {
    this.heat.at(row, column);
    this.under.textContent = this.#words(row, column) || "\u00a0";
  }

  #words(row, column) {
    if (row < 0 || row >= this.size) return "";
    const loss = `Loss of step ${row} (expecting ${quoted(this.names[row + 1])})`;
    if (column < 0) return loss;
    if (column > row) return `${loss}: step ${column} lies in its future`;
    const found = this.rows[row]?.[column];
    return `${loss} at step ${column} ${quoted(this.names[column])}: ${found === undefined ? "being computed" : number(found, 4)}`;
  }
}
