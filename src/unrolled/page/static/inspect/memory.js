// How long a run remembers: measured lags and a verdict in words, then the spectra behind them.

import { el, number } from "../common.js";
import { Grid } from "./arrays.js";
import { chart } from "./chart.js";
import { layer, percent } from "./words.js";

export class Memory {
  /** @param {object} panel  shared, question(path, body) */
  constructor(panel) {
    this.panel = panel;
    this.state = el("p", { class: "small soft", "aria-live": "polite" });
    this.verdicts = el("div");
    this.decay = el("div");
    this.spectra = el("div");
    this.at = el("button", { type: "button", onclick: () => this.#singular() }, "Take them at the chosen step");
    this.values = el("div");
    this.node = el("section", { class: "card" }, el("h2", {}, "Memory"), this.state, this.verdicts, this.decay,
      this.spectra, this.values);
  }

  async load() {
    const { turn } = this.panel;
    if ([...this.panel.shared.sample].length < 3) {
      this.state.textContent = "For influence to decay there must be at least three characters.";
      this.#clear();
      return;
    }
    this.node.classList.add("waiting");
    this.state.textContent = "The decay of influence is being computed: some seconds…";
    const found = await this.panel.question("/api/inspect/memory", {}, turn);
    if (!found) return;
    this.node.classList.remove("waiting");
    this.verdicts.replaceChildren(...found.strands.map(verdict));
    this.decay.replaceChildren(el("h3", {}, "Influence that is left"), chart({
      room: this.decay, title: "Influence on each layer's state against the lag, as a share of that at lag 0, with an exponential where one fits",
      x: "lag, steps", y: "share left", log: true, height: 210,
      series: found.strands.flatMap((strand, place) => [
        { name: layer(strand.name), values: new Grid(strand.by_lag).data, look: place, dash: "" },
        ...(strand.line === null ? [] : [{ name: "exponential", values: new Grid(strand.line).data, look: place, dash: "2 4" }]),
      ]),
    }).node, el("p", { class: "small soft" }, `Mean over ${found.losses} of the sample's losses, evenly spread.`));
    this.state.textContent = "Spectra are being computed: some seconds…";
    const exponents = await this.panel.question("/api/inspect/exponents", {}, turn);
    if (!exponents) return;
    const strands = Object.entries(exponents).map(([name, packed]) => ({ name: layer(name), values: new Grid(packed).data }));
    this.spectra.replaceChildren(el("h3", {}, "Lyapunov exponents"), chart({
      room: this.spectra, title: "The largest Lyapunov exponents of each layer", x: "direction, largest first", y: "nats per step", from: 1,
      series: strands, height: 180,
    }).node, el("p", { class: "small soft" }, "Above 0 differences, and gradients, grow; below 0 they shrink by the factor "
      + "exp(exponent) in each step. " + strands.map((one) => `${one.name}: largest ${number(one.values[0], 3)}.`).join(" ")));
    if (turn !== this.panel.turn) return;
    await this.#singular();
    if (turn === this.panel.turn) this.state.textContent = "";
  }

  #clear() {
    for (const part of [this.verdicts, this.decay, this.spectra, this.values]) part.replaceChildren();
  }

  async #singular() {
    const step = Math.min(this.panel.shared.now, [...this.panel.shared.sample].length - 2);
    const found = await this.panel.question("/api/inspect/singular-values", { step });
    if (!found) return;
    const series = Object.entries(found).map(([name, packed]) => ({ name: layer(name), values: new Grid(packed).data }));
    this.values.replaceChildren(el("h3", {}, `Singular values of one step back, at step ${step}`), chart({
      room: this.values, title: `Singular values of the Jacobian at step ${step}`, x: "direction, largest first", y: "singular value", log: true,
      from: 1, series, height: 180,
    }).node, el("p", { class: "small soft" }, "Directions above 10⁰ are amplified on the way from a step's state back to the one "
      + "before; the others are damped."), this.at);
  }
}

function verdict(strand) {
  const gates = Object.entries(strand.gates).map(([name, gate]) => el("tr", {}, el("th", { scope: "row" }, name),
    el("td", {}, percent(gate.low)), el("td", {}, percent(gate.high)), el("td", {}, gate.function === "sigmoid" ? "0.05, 0.95" : "−0.97, 0.97")));
  return el("div", { class: "verdict" },
    el("h3", {}, `${layer(strand.name)}: ${strand.kind}`),
    el("p", { class: "figures" }, el("span", { class: "life" }, reached(strand))),
    el("p", { class: "small" }, strand.reasons.join(" ")),
    strand.advice.length ? el("p", { class: "small advice" }, `To try: ${strand.advice.join("; ")}.`) : null,
    el("details", {}, el("summary", {}, "How saturated its gates are"), el("div", { class: "scroll" }, el("table", { class: "numbers" },
      el("caption", {}, "Share of all values that are nearly shut or wide open"),
      el("thead", {}, el("tr", {}, ...["value", "below", "above", "bounds"].map((name) => el("th", { scope: "col" }, name)))),
      el("tbody", {}, ...gates)))));
}

/** The lags at which a half, a tenth and a hundredth are left, in a line. */
function reached({ lags, half, tenth, hundredth, left }) {
  if (!lags) return "no two lags to compare";
  const found = [["½", half], ["1/10", tenth], ["1/100", hundredth]].map(([share, lag]) =>
    (lag === null ? null : `${share} at lag ${lag}`)).filter(Boolean);
  return `${found.length ? `down to ${found.join(", ")}` : "never down to ½"}; ${percent(left)} at lag ${lags}`;
}
