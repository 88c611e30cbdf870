// One run reading the sample: its text and predictions, its units, its influence, its memory.

import { ask, el, newest, number } from "../common.js";
import { Linear } from "./scales.js";
import { Memory } from "./memory.js";
import { Reach } from "./reach.js";
import { Text } from "./text.js";
import { Units } from "./units.js";
import { bits, percent, quoted } from "./words.js";

export class Panel {
  /**
   * @param {number} index  the run's number
   * @param {object} run  what the server tells of it
   * @param {object} shared  the sample, the step and the colours, the same for all panels
   */
  constructor(index, run, shared, features) {
    this.index = index;
    this.run = run;
    this.shared = shared;
    this.turn = 0;
    this.fresh = true;  // no unit was chosen yet
    this.asking = new Map();
    this.found = null;
    this.text = new Text({
      now: () => shared.now,
      onhover: (step) => shared.hoverAt(step), onpick: (step) => shared.pick(step),
      describe: (step) => this.words(step),
    });
    this.units = new Units(this, features);
    this.reach = new Reach(this);
    this.memory = new Memory(this);
    this.problem = el("p", { class: "problem", role: "alert", hidden: true });
    this.legend = el("div");
    this.summary = el("p", { class: "small soft figures", "aria-live": "polite" });
    this.readout = el("p", { class: "figures readout" });
    this.bars = el("ol", { class: "bars" });
    this.table = el("div", { class: "scroll" });
    this.details = el("details", { ontoggle: () => this.#tabulate() },
      el("summary", {}, "All steps as a table"), this.table);
    this.reading = el("section", { class: "card" },
      el("h2", {}, "The text"), this.summary,
      el("div", { class: "sides" },
        el("div", { class: "wide" }, this.text.node, this.legend,
          el("p", { class: "small soft" }, "Hover or click a character, or use the arrow keys. Framed: the step that the model "
            + "has just read. Underlined: what comes next, whose loss is traced back.")),
        el("div", { class: "expects" }, el("h3", {}, "What it expects next"), this.readout, this.bars)),
      this.details);
    this.body = el("div", { hidden: true }, this.reading, this.units.node,
      el("div", { class: "pair" }, this.reach.node, this.memory.node));
    this.node = el("section", { class: "panel", "aria-label": `Run ${run.name}` },
      el("h2", { class: "run" }, run.name), el("p", { class: "soft facts figures" }, facts(run)), this.problem, this.body);
  }

  /**
   * Ask about this run and the sample. Null if something newer was asked by the same name, or if
   * `turn`, that of who asks, is over: another sample is being read.
   */
  async question(path, body = {}, turn = this.turn) {
    if (turn !== this.turn) return null;
    if (!this.asking.has(path)) this.asking.set(path, newest());
    return this.asking.get(path)(path, { run: this.index, text: this.shared.sample, ...body });
  }

  async read() {
    const turn = this.turn += 1;
    this.problem.hidden = true;
    this.node.classList.add("waiting");
    let known = false;
    try {
      const found = await this.question("/api/inspect/inspect");
      if (!found) return;
      known = true;
      this.found = found;
      this.shared.suggest(found.losses);
      this.body.hidden = false;
      this.text.write(found.names, found.guesses);
      const largest = Math.max(1, ...found.losses);
      this.bits = new Linear(0, Math.min(8, largest));
      const mean = found.losses.reduce((sum, loss) => sum + loss, 0) / (found.losses.length || 1);
      const right = found.names.slice(1).filter((name, step) => found.guesses[step][0][0] === name).length;
      this.summary.textContent = found.losses.length
        ? `${found.names.length} characters; ${bits(mean)} bits per character on average, the best guess is right ${percent(right / found.losses.length)} of the time.`
        : "One character.";
      this.reach.list(found);
      this.step();
      this.node.classList.remove("waiting");
      if (this.details.open) this.#tabulate();
      await this.units.show(found, found.features);
      await Promise.all([this.reach.load(), this.#background(turn)]);
    } catch (error) {
      if (turn === this.turn) this.#fail(error, known);
    } finally {
      if (turn === this.turn) this.node.classList.remove("waiting");
    }
  }

  /** What the server computes beside the rest. */
  async #background(turn) {
    if (!this.asked) {
      this.asked = true;
      this.units.showFound((await ask(`/api/inspect/units?run=${this.index}`)).features);
    }
    if (turn === this.turn) await this.memory.load();
  }

  #fail(error, known) {
    this.problem.textContent = error.message;
    this.problem.hidden = false;
    this.reach.state.textContent = this.memory.state.textContent = "";
    if (known) return;
    this.found = null;
    this.body.hidden = true;
  }

  /** The chosen step, or the one under the pointer, has changed. */
  step() {
    if (!this.found) return;
    const step = Math.min(this.shared.now, this.found.names.length - 1);
    this.text.choose(step);
    this.readout.textContent = this.words(step);
    const next = this.found.names[step + 1];
    this.bars.replaceChildren(...this.found.guesses[step].map(([name, probability]) => {
      const fill = el("span", { class: "fill" });
      fill.style.width = `${100 * probability}%`;
      return el("li", { class: name === next ? "right" : null },
        el("span", { class: "sign" }, quoted(name)), el("span", { class: "track", "aria-hidden": "true" }, fill),
        el("span", { class: "figures" }, percent(probability)),
        name === next ? el("span", { class: "tick" }, "✓", el("span", { class: "hidden-text" }, " comes next")) : el("span"));
    }));
    this.units.step();
    this.reach.step();
    this.colour();
  }

  /** Something that the text's colours show has changed. */
  changed() {
    this.units.step();
    this.colour();
  }

  colour() {
    if (!this.found) return;
    const { mode, now } = this.shared;
    this.node.classList.toggle("with-guesses", this.shared.guesses);
    this.node.classList.toggle("tracing", mode === "influence");
    let legend = null;
    if (mode === "surprise") {
      this.text.colour((step) => (step ? this.bits.paint(this.found.losses[step - 1]) : null));
      legend = this.bits.legend("bits that the character took");
    } else if (mode === "unit") {
      this.text.colour((step) => this.units.paint(step));
      if (this.units.values) legend = this.units.unitScale().legend(this.units.unitTitle());
    } else {
      this.text.colour((step) => this.reach.paint(step, now));
      if (now >= this.found.losses.length) legend = el("p", { class: "small soft" }, "After the last character nothing is known to come: no loss.");
      else if (!this.reach.knows(now)) legend = el("p", { class: "small soft" }, `The influence on step ${now} is being computed…`);
      else legend = this.reach.rowScale(now).legend(this.reach.title());
    }
    this.legend.replaceChildren(...(legend ? [legend] : []));
  }

  /** The page's colours, or the number of decades, have changed. */
  repaint() {
    this.units.draw();
    this.reach.draw();
    this.colour();
  }

  /** A step in words. */
  words(step) {
    const { names, guesses, losses } = this.found;
    if (step >= names.length) return "";
    const [best, share] = guesses[step][0];
    const read = `Step ${step} has read ${quoted(names[step])}`;
    if (step >= losses.length) return `${read}, expects ${quoted(best)} (${percent(share)}); the text ends here.`;
    return `${read}, expects ${quoted(best)} (${percent(share)}); next comes ${quoted(names[step + 1])}, ${bits(losses[step])} bits.`;
  }

  #tabulate() {
    if (!this.details.open || !this.found) return;
    const { names, guesses, losses } = this.found;
    this.table.replaceChildren(el("table", { class: "numbers" },
      el("caption", {}, "What the model reads and expects at every step"),
      el("thead", {}, el("tr", {}, ...["step", "reads", "expects", "next comes", "bits"].map((name) => el("th", { scope: "col" }, name)))),
      el("tbody", {}, ...names.map((name, step) => el("tr", {},
        el("th", { scope: "row" }, String(step)), el("td", {}, quoted(name)),
        el("td", {}, guesses[step].slice(0, 3).map(([guess, share]) => `${quoted(guess)} ${percent(share)}`).join(", ")),
        el("td", {}, step < losses.length ? quoted(names[step + 1]) : "—"),
        el("td", {}, step < losses.length ? bits(losses[step]) : "—"))))));
  }
}

function facts(run) {
  const bits = run.bits === null ? "" : `, ${number(run.bits, 3)} bits per character on unseen text`;
  return `${run.cell}, ${run.layers} ${run.layers === 1 ? "layer" : "layers"} of ${run.units} units, `
    + `${run.parameters.toLocaleString("en")} parameters, ${run.characters} characters${bits}`;
}
