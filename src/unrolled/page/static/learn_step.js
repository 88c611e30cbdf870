// The card of one step: equations, and the same with the numbers put in.

import { $, el, number, visible } from "./common.js";
import { below, display, m, mi, mn, mnumber, mo, printed, size, sub, vector, weight } from "./learn_maths.js";
import { focus, scores, state } from "./learn_network.js";

export function drawStep(view, detail) {
  const { run } = view;
  const { step, part } = focus(view);
  const parts = { state: forwardState, output: forwardOutput, loss: backwardLoss, back: backwardState, sum: backwardSum };
  $("#step-title").textContent = {
    state: `Step ${step + 1}: the new state`,
    output: `Step ${step + 1}: what it says`,
    loss: `Loss ${step + 1}, at its own step`,
    back: `Loss ${view.loss + 1}, back at step ${step + 1}`,
    sum: `Loss ${view.loss + 1}: all terms together`,
  }[part];
  $("#units").hidden = part === "output" || part === "sum";
  $("#step").replaceChildren(...parts[part](view, run, step, detail));
}

function equations(...nodes) {
  return el("div", { class: "equations scroll" }, ...nodes);
}

function heading(text) {
  return el("h3", {}, text);
}

/** "name = a·b + c·d = value", with the terms that are not zero. */
function dot(name, pairs, value) {
  const terms = pairs.filter(([weight, by]) => weight !== 0 && by !== 0);
  const left = pairs.length - terms.length;
  const item = el("li", {}, el("span", { class: "of" }, ...[name].flat(), " = "));
  terms.forEach(([weight, by], at) => {
    item.append(at ? " + " : "", el("span", { class: "term" }, `${signed(weight)}·${signed(by)}`));
  });
  if (!terms.length) item.append("0");
  if (terms.length > 1 || (terms.length === 1 && terms[0][1] !== 1)) item.append(" = ", el("b", {}, number(value)));
  if (left && terms.length) item.append(el("span", { class: "of" }, `  (${left} more ${left === 1 ? "is" : "are"} 0)`));
  return item;
}

function signed(value) {
  const text = value === 1 ? "1" : number(value);
  return text.startsWith("−") ? `(${text})` : text;
}

function dots(detail, rename) {
  return el("ul", { class: "dots" }, ...detail.map((one) => dot(rename(one.name), one.factors, one.value)));
}

const unitOf = (view) => view.unit + 1;

function forwardState(view, run, step, detail) {
  const names = Object.keys(run.states);
  return [
    equations(printed(run.equations)),
    heading(`With the numbers of unit ${unitOf(view)}`),
    equations(printed(detail.equations)),
    heading("The products in it"),
    dots(detail.products, (name) => [weight(name), ` row ${unitOf(view)}`]),
    el("p", { class: "soft small" }, names.map((name) => `${name}${below(step + 1)} = ${vector(run.states[name][step])}`).join("; ")),
    ...gates(run, step),
  ];
}

function gates(run, step) {
  const names = Object.keys(run.gates);
  if (!names.length) return [];
  return [el("table", { class: "numbers" },
    el("caption", {}, "Other values of this step, by unit"),
    ...names.map((name) => el("tr", {}, el("th", { scope: "row" }, name), ...run.gates[name][step].map((value) => el("td", {}, number(value))))))];
}

function forwardOutput(view, run, step) {
  const t = mn(String(step + 1)), target = run.word[step + 1];
  const first = Object.keys(run.states)[0];
  const chance = run.probabilities[step][run.letters.indexOf(target)];
  const time = () => mi("t");
  const bias = "d" in run.weights ? [mo("+"), mi("d")] : [];
  return [
    equations(
      display(sub(scores(run), time()), mo("="), mi("V"), sub(first, time()), ...bias),
      display(m("msub", hat("y"), time()), mo("="), mi("softmax"), OF(), mo("("), sub(scores(run), time()), mo(")")),
      display(sub("ℓ", t), mo("="), mo("−"), mi("ln"), OF(), m("msub", hat("y"), m("mrow", mn(String(step + 1)), mo(","), mi(visible(target)))),
        mo("="), mo("−"), mi("ln"), OF(), mnumber(chance), mo("="), mnumber(run.losses[step])),
    ),
    el("div", { class: "scroll" }, el("table", { class: "numbers" },
      el("caption", {}, `V ${first}${below(step + 1)} with ${first}${below(step + 1)} = ${vector(run.states[first][step])}`),
      el("tr", {}, ...["Letter", "Row of V", `Score ${scores(run)}`, "Probability ŷ"].map((text) => el("th", { scope: "col" }, text))),
      ...run.letters.map((name, i) => el("tr", {},
        el("th", { scope: "row" }, visible(name), name === target ? " (right)" : "", name === run.predicted[step] ? " (said)" : ""),
        el("td", {}, vector(run.weights.V[i])),
        el("td", {}, number(run.scores[step][i])),
        el("td", {}, number(run.probabilities[step][i])))))),
  ];
}

const OF = () => mo("\u2061"); // not seen: a function of
const hat = (letter) => {
  const node = m("mover", mi(letter), mo("^"));
  node.setAttribute("accent", "true");
  return node;
};

/** ∂ℓ_t / ∂name_k as a fraction. */
function slope(name, index, loss) {
  return m("mfrac", m("mrow", mo("∂"), sub("ℓ", loss)), m("mrow", mo("∂"), sub(name, index)));
}

function backwardLoss(view, run, step, detail) {
  const names = Object.keys(run.states), [first] = names;
  const target = run.word[step + 1];
  const t = () => mi("t");
  return [
    equations(
      display(slope(scores(run), t(), t()), mo("="), m("msub", hat("y"), t()), mo("−"), sub("y", t())),
      display(slope(first, t(), t()), mo("="), m("msup", mi("V"), mo("⊤")), mo("("), m("msub", hat("y"), t()), mo("−"), sub("y", t()), mo(")")),
    ),
    el("div", { class: "scroll" }, el("table", { class: "numbers" },
      el("caption", {}, "What was said, less what is right"),
      el("tr", {}, el("th", { scope: "row" }, "Letter"), ...run.letters.map((name) => el("th", { scope: "col" }, visible(name)))),
      el("tr", {}, el("th", { scope: "row" }, "ŷ − y"), ...run.letters.map((name, i) => el("td", {}, number(run.probabilities[step][i] - (name === target ? 1 : 0))))))),
    heading(`At unit ${unitOf(view)}`),
    dots(detail.backward, (name) => `∂ℓ${below(step + 1)}/${name.slice(3)}${below(step + 1)}, unit ${unitOf(view)}`),
    within(names.slice(1), first, detail),
    all(detail, step, view),
  ].filter(Boolean);
}

/** That a loss reaches the other states of its step by way of the first one, where it does. */
function within(names, first, detail) {
  const reached = names.filter((name) => detail.gradient[name].some((value) => value !== 0));
  return reached.length ? el("p", { class: "soft small" }, `${reached.join(" and ")}: by way of ${first} of this step, for which ${reached.length > 1 ? "they are" : "it is"} needed.`) : null;
}

function all(detail, step, view) {
  const text = Object.entries(detail.gradient).map(([name, values]) => `∂ℓ${below(view.loss + 1)}/∂${name}${below(step + 1)} = ${vector(values)}`);
  return el("p", { class: "soft small" }, text.join("; "));
}

function backwardState(view, run, step, detail) {
  const names = Object.keys(run.states);
  const k = () => mi("k"), next = () => m("mrow", mi("k"), mo("+"), mn("1"));
  const s = state(run);
  const turned = m("msup", m("mrow", mo("("), m("mfrac", m("mrow", mo("∂"), sub(s, next())), m("mrow", mo("∂"), sub(s, k()))), mo(")")), mo("⊤"));
  return [
    equations(display(slope(s, k(), mi("t")), mo("="), turned, slope(s, next(), mi("t")))),
    names.length > 1 ? el("p", { class: "soft small" }, `s is ${names.join(", ")} together; last in each sum stands what comes by way of another state of the same step.`) : null,
    heading(`At unit ${unitOf(view)}: slope · what arrived one step later`),
    dots(detail.backward, (name) => `∂ℓ${below(view.loss + 1)}/${name.slice(3)}${below(step + 1)}, unit ${unitOf(view)}`),
    all(detail, step, view),
    el("p", {}, `This step back multiplies by at most ‖∂${s}${below(step + 2)}/∂${s}${below(step + 1)}‖ = `, el("b", { class: "figures" }, size(detail.jacobian)), "."),
  ].filter(Boolean);
}

function backwardSum(view, run) {
  const t = () => mi("t"), k = () => mi("k");
  const first = Object.keys(run.states)[0];
  const U = run.matrix;
  const sum = m("munder", mo("∑"), m("mrow", k(), mo("≤"), t()));
  const immediate = m("mfrac", m("mrow", m("msup", mo("∂"), mo("+")), sub(first, k())), m("mrow", mo("∂"), mi(U)));
  const rows = [];
  for (let step = view.loss; step >= 0; step -= 1) {
    rows.push(el("tr", {}, el("th", { scope: "row" }, `k = ${step + 1}`), el("td", {}, step === view.loss ? "explicit" : "implicit"),
      el("td", {}, size(run.terms[view.loss][step]))));
  }
  return [
    equations(display(m("mfrac", m("mrow", mo("∂"), sub("ℓ", t())), m("mrow", mo("∂"), mi(U))), mo("="), sum, slope(first, k(), t()), immediate)),
    el("p", { class: "soft small" }, `The term k = t is explicit: the state before it is held. The others come through earlier states. Norms of parts need not add up to the norm of the sum.` +
      (U === "U" && run.terms[view.loss][0] === 0 ? " At k = 1 the term is 0, because the state before it is 0." : "")),
    el("div", { class: "scroll" }, el("table", { class: "numbers" }, el("caption", {}, `Norms of the terms of ∂ℓ${below(view.loss + 1)}/∂${U}`), ...rows,
      el("tr", {}, el("th", { scope: "row" }, "implicit"), el("td", {}, "all together"), el("td", {}, size(run.implicit[view.loss]))))),
  ];
}
