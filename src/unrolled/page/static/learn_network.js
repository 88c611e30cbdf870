// The network, unrolled: a column for each step, what passes between them, and the reading in words.

import { $, Decades, el, number, visible } from "./common.js";
import { below, size, vector } from "./learn_maths.js";

const SHOWN = 5; // classes in a column; the step's own card has all

/** How many frames a direction has: two for each step forward; loss, steps and the sum backward. */
export function frames(view) {
  return view.phase === "forward" ? 2 * view.run.losses.length : view.loss + 2;
}

/** Which step a frame is about (from 0), and which part of it. */
export function focus(view) {
  if (view.phase === "forward") return { step: Math.floor(view.frame / 2), part: view.frame % 2 ? "output" : "state" };
  if (view.frame > view.loss) return { step: 0, part: "sum" };
  return { step: view.loss - view.frame, part: view.frame ? "back" : "loss" };
}

/** What arrives at each step of the chosen loss, of all states together. */
export function arriving(view) {
  return view.run.whole[view.loss];
}

/** The whole state in a formula: the cell's only state, or s for all of them together. */
export function state(run) {
  const names = Object.keys(run.states);
  return names.length > 1 ? "s" : names[0];
}

/** Whether the loss has come back to a step already. */
function arrived(view, t) {
  return t <= view.loss && (view.whole || t >= view.loss - view.frame);
}

/** The letter of the scores: o, unless the cell has a value of that name. */
export function scores(run) {
  return ["o", "a", "q"].find((letter) => !(letter in run.gates || letter in run.states));
}

export function drawNetwork(view, onStep, onLoss) {
  const { run } = view;
  const steps = run.losses.length;
  const grid = el("div", { class: "grid" });
  const back = view.phase === "backward";
  const { step: here, part } = focus(view);
  const scale = new Decades(Math.max(...arriving(view).map((value) => value ?? 0)));
  for (let t = 0; t < steps; t += 1) {
    const column = 2 * t + 1;
    const group = el("div", { class: "group", role: "group", "aria-label": `Step ${t + 1}: ${visible(run.word[t])}` });
    const put = (node, row) => {
      node.style.gridColumn = column;
      node.style.gridRow = row;
      node.addEventListener("click", (event) => { if (!event.target.closest("button")) onStep(t); });
      group.append(node);
      return node;
    };
    const done = back || view.whole || t <= here;
    const said = back || view.whole || t < here || (t === here && part === "output");
    const reached = back && arrived(view, t);
    // What a reader hears first is what comes in first: the order is not that of the rows.
    put(letter(run, t), 5);
    put(up("W"), 4);
    const box = put(back ? gradient(view, t, reached, scale) : states(run, t, done), 3);
    put(up("V"), 2);
    const output = put(outputs(view, t, said, onLoss), 1);
    if (part === "sum") { if (t <= view.loss) box.classList.add("here"); }
    else if (t === here) (part === "output" ? output : box).classList.add("here");
    grid.append(group);
    if (t + 1 < steps) grid.append(along(view, t, view.whole || t < here));
  }
  const holder = $("#network");
  const left = holder.scrollLeft;
  holder.replaceChildren(grid);
  holder.scrollLeft = left;
  const current = $(".box.here", grid);
  if (current) bring(holder, current);
  const legend = back ? scale.legend(`‖∂ℓ${below(view.loss + 1)}/∂${state(run)}‖ arriving`) : null;
  $("#legend").replaceChildren(...(legend ? [legend] : []));
}

/** Scroll sideways only: the page itself stays where it is. */
function bring(holder, node) {
  const outer = holder.getBoundingClientRect(), own = node.getBoundingClientRect();
  if (own.left < outer.left + 8 || own.right > outer.right - 8) {
    holder.scrollLeft += own.left - outer.left - (outer.width - own.width) / 2;
  }
}

function letter(run, t) {
  const index = run.letters.indexOf(run.word[t]);
  const hot = run.letters.map((_, i) => (i === index ? 1 : 0)).join(", ");
  return el("div", { class: "box" },
    el("div", { class: "letter", "data-tip": `x${below(t + 1)} = (${hot})` },
      el("span", {}, `x${below(t + 1)}`), visible(run.word[t])));
}

function up(name) {
  return el("div", { class: "up" }, el("span", { class: "arrow", "aria-hidden": "true" }, "↑"), el("span", { "aria-hidden": "true" }, name));
}

function states(run, t, done) {
  const box = el("div", { class: done ? "box" : "box later" });
  for (const [name, values] of Object.entries(run.states)) {
    box.append(el("div", { class: "title" }, `${name}${below(t + 1)}`), list(values[t]));
  }
  return box;
}

function list(values) {
  return el("ul", { class: values.length > 4 ? "values many" : "values" },
    ...values.map((value, unit) => el("li", {}, el("span", { class: "name" }, String(unit + 1)), number(value))));
}

function gradient(view, t, reached, scale) {
  const { run } = view;
  const box = el("div", { class: reached ? "box" : "box later" });
  const value = arriving(view)[t];
  box.append(el("div", { class: "title" }, `‖∂ℓ${below(view.loss + 1)}/∂${state(run)}${below(t + 1)}‖`),
    el("span", { class: "arriving" }, size(value)));
  const each = Object.entries(run.influence);
  for (const [name, matrix] of each.length > 1 ? each : []) {
    box.append(el("div", {}, `at ${name}${below(t + 1)}: ${size(matrix[view.loss][t])}`));
  }
  const explicit = t === view.loss;
  const term = run.terms[view.loss][t];
  box.append(el("span", {
    class: explicit ? "part explicit" : "part",
    "data-tip": `Its part of the gradient of ${run.matrix} has the norm ${size(term)}: ` +
      (explicit ? "the step's own use of the weights, explicit" : "an earlier use of the same weights, implicit"),
  }, `${explicit ? "explicit" : "implicit"} ${size(term)}`));
  if (reached) {
    const { fill, ink } = scale.paint(value);
    box.style.background = fill;
    box.style.color = ink;
  }
  return box;
}

function outputs(view, t, said, onLoss) {
  const { run } = view;
  const target = run.word[t + 1], right = run.predicted[t] === target;
  const chances = run.letters.map((name, i) => ({ name, chance: run.probabilities[t][i] }));
  let shown = chances;
  if (chances.length > SHOWN) {
    shown = [...chances].sort((a, b) => b.chance - a.chance).slice(0, SHOWN - 1);
    if (!shown.some((one) => one.name === target)) shown[SHOWN - 2] = chances.find((one) => one.name === target);
  }
  const box = el("div", { class: said ? "box" : "box later" },
    el("div", { class: "verdict-of-step" },
      el("span", {}, "says ", el("b", {}, visible(run.predicted[t]))),
      el("span", { class: right ? "ok" : "wrong" }, right ? "✓ right" : `✗ not ${visible(target)}`)),
    el("ul", { class: "classes" }, ...shown.map((one) => {
      const bar = el("i");
      bar.style.width = `${100 * (one.chance ?? 0)}%`;
      return el("li", { class: one.name === target ? "right" : undefined },
        el("span", {}, visible(one.name)), el("span", { class: "fill", "aria-hidden": "true" }, bar), number(one.chance));
    })));
  const chosen = view.phase === "backward" && t === view.loss;
  box.append(el("button", {
    type: "button", class: "send", "data-loss": t + 1, "aria-pressed": String(chosen),
    "aria-label": `Loss of step ${t + 1}, ${number(run.losses[t])}: send it back`,
    onclick: () => onLoss(t),
  }, `ℓ${below(t + 1)} = ${number(run.losses[t])} ${chosen ? "↓" : "↩"}`));
  return box;
}

/** Between step t and the next. */
function along(view, t, passed) {
  const node = el("div", { class: "along" });
  node.style.gridColumn = 2 * t + 2;
  node.style.gridRow = 3;
  if (view.phase === "forward") {
    node.append(el("span", { class: "arrow", "aria-hidden": "true" }, passed ? "→" : "⇢"), el("span", { "aria-hidden": "true" }, "U"));
    return node;
  }
  if (t >= view.loss || !arrived(view, t)) return node;
  const values = arriving(view);
  const factor = values[t] / values[t + 1];
  node.append(el("span", { class: "arrow", "aria-hidden": "true" }, "←"),
    el("span", { "aria-label": `one step back: times ${size(factor)}` }, `×${size(factor)}`));
  return node;
}

/** What is to be seen, in a line. */
export function hint(view) {
  const past = view.run.matrix === "U" ? "U carries the state on" : "the state goes on without a matrix";
  if (view.phase === "forward") {
    return `W reads a letter, ${past}, V reads out what comes next: the same weights at every step. ↩ sends a loss back.`;
  }
  return `Colour and number: how much of ℓ${below(view.loss + 1)} arrives. Framed, its term in ${view.run.matrix}'s gradient: ` +
    `solid (explicit) by the step's own use of ${view.run.matrix}, dashed (implicit) by an earlier use.`;
}

/** The frame in words. */
export function tell(view) {
  const { run } = view;
  const { step, part } = focus(view);
  const t = step + 1, letterIn = visible(run.word[step]);
  if (part === "state") {
    const first = Object.keys(run.states)[0];
    const before = run.read.map((name) => `${name}${below(step)}`).join(step ? ", " : " = ") + (step ? "" : " = 0");
    return `Step ${t} reads “${letterIn}” and ${before}, and makes ${first}${below(t)} = ${vector(run.states[first][step])} of them.`;
  }
  if (part === "output") {
    const said = run.predicted[step], target = run.word[step + 1];
    const chance = (name) => number(run.probabilities[step][run.letters.indexOf(name)]);
    const verdict = said === target ? "which is right" : `the right one is “${visible(target)}” with ${chance(target)}`;
    return `Step ${t} says “${visible(said)}” with probability ${chance(said)}; ${verdict}. Loss ${number(run.losses[step])}.`;
  }
  const values = arriving(view), from = view.loss + 1;
  if (part === "loss") {
    return `The loss of step ${from} arrives at its own state with the size ${size(values[step])}. ` +
      `By this step's own use ${run.matrix} gets the explicit part, ${size(run.explicit[view.loss])}.`;
  }
  if (part === "back") {
    const share = values[step] / values[view.loss];
    return `${view.loss - step} ${view.loss - step === 1 ? "step" : "steps"} back, at step ${t}: ${size(values[step])} arrives, ` +
      `${percent(share)} of what it was. By this step's use ${run.matrix} gets an implicit part, ${size(run.terms[view.loss][step])}.`;
  }
  return `The gradient of ℓ${below(from)} by ${run.matrix} is the sum of all these terms: the explicit one of step ${from} has the size ` +
    `${size(run.explicit[view.loss])}, the implicit ones together ${size(run.implicit[view.loss])}.`;
}

export function percent(share) {
  if (!Number.isFinite(share)) return "—";
  const value = 100 * share;
  return value >= 0.1 && value < 1e5 ? `${value.toFixed(value < 10 ? 1 : 0)} %` : `${size(share)} times`;
}
