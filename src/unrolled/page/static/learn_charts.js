// Small charts and tables: reach, clipping, training, the matrix of all losses, the weights.

import { $, Decades, el, number, powerOfTen, svg, visible } from "./common.js";
import { below, say, size, weight } from "./learn_maths.js";
import { arriving, percent, state } from "./learn_network.js";

const STEADY = 0.02; // a factor this near to 1 is neither growth nor decay: 100 steps settle it no better

/** The room that a chart has. */
const room = (holder) => Math.max(240, $(holder).clientWidth);

/** Bars on a logarithmic scale: what of the chosen loss arrives at each step. */
export function drawReach(view) {
  const across = room("#reach");
  const values = arriving(view).slice(0, view.loss + 1);
  const sizes = values.filter((value) => value > 0);
  const top = Math.ceil(Math.log10(Math.max(...sizes, 1e-12)) + 1e-9);
  const bottom = Math.min(top - 4, Math.max(top - 16, Math.floor(Math.log10(Math.min(...sizes, 1)))));
  const height = 190, left = 44, foot = 34, head = 18;
  const y = (value) => head + (height - head - foot) * (1 - Math.max(0, Math.log10(value) - bottom) / (top - bottom));
  const step = (across - left - 6) / values.length;
  const width = Math.min(60, step * 0.72);
  const scale = new Decades(Math.max(...sizes, 1e-12));
  const chart = svg("svg", { class: "chart", viewBox: `0 0 ${across} ${height}`, "aria-hidden": "true" });
  const every = Math.ceil((top - bottom) / 5);
  for (let exponent = bottom; exponent <= top; exponent += every) {
    const at = y(10 ** exponent);
    chart.append(svg("line", { class: "axis", x1: left, x2: across, y1: at, y2: at }),
      svg("text", { x: left - 6, y: at + 4, "text-anchor": "end" }, powerOfTen(exponent)));
  }
  const labelled = Math.ceil(values.length / Math.max(3, Math.floor(across / 45)));
  values.forEach((value, k) => {
    const middle = left + step * (k + 0.5);
    if (value > 0) {
      chart.append(svg("rect", { x: middle - width / 2, y: y(value), width, height: Math.max(1, height - foot - y(value)), fill: scale.paint(value).fill, stroke: "var(--ink)", "stroke-width": k === view.loss ? 2 : 0.5 }));
    }
    if (step > 58) {
      chart.append(svg("text", { class: "value", x: middle, y: value > 0 ? y(value) - 4 : height - foot - 4, "text-anchor": "middle" }, size(value)));
    }
    if (k % labelled === 0 || k === view.loss) {
      chart.append(svg("text", { x: middle, y: height - 18, "text-anchor": "middle" }, step > 26 ? `${k + 1} ${visible(view.run.word[k])}` : String(k + 1)));
    }
  });
  chart.append(svg("text", { x: (across + left) / 2, y: height - 3, "text-anchor": "middle" }, `step k; what of ℓ${below(view.loss + 1)} arrives at its state`));
  $("#reach").replaceChildren(chart);
  say("#verdict", verdict(view.run, view.loss));
}

/** What the bars say, and what many steps do, in words. */
export function verdict(run, loss) {
  const values = run.whole[loss];
  if (!loss) return "This loss has no step before its own: choose a later one.";
  if (values.slice(0, loss + 1).some((value) => value === null)) return "What flows back is no finite number any more: it exploded.";
  if (!(values[loss] > 0)) return "Nothing arrives even at its own step: there the loss is flat.";
  const whole = values[0] / values[loss], factor = whole ** (1 / loss);
  const outcome = whole > 1 ? `${size(whole)} times as much` : percent(whole);
  const here = `Of ${size(values[loss])} at the loss's own step, ${size(values[0])} arrives at step 1 (${outcome}): ` +
    `a factor of ${size(factor)} in each of the ${loss === 1 ? "one step" : `${loss} steps`} back.`;
  const { growth } = run;
  if (growth === null) return `It explodes: while the word is read again and again, the states become no finite numbers. ${here}`;
  const word = growth < 1 - STEADY ? "It vanishes" : growth > 1 + STEADY ? "It explodes" : "It holds";
  const unlike = (factor - 1) * (growth - 1) < 0 && word !== "It holds" && Math.abs(factor - 1) > STEADY;
  return `${word}: while the word is read again and again, the product of the steps' Jacobians changes by a factor of ${size(growth)} in a step. ` +
    here + (unlike ? ` So few steps show the contrary: they ${factor > 1 ? "grow" : "shrink"}.` : "") + noCure(run, loss, factor);
}

/** That larger weights make it worse, where both numbers have fallen; and by what, where that was seen. */
function noCure(run, loss, factor) {
  const before = run.unscaled;
  if (!before || before.growth === null || !(run.growth < 1 - STEADY)) return "";
  const way = before.whole[loss], was = (way[0] / way[loss]) ** (1 / loss);
  if (!(run.growth < before.growth && factor < was)) return "";
  const more = before.saturated !== null && run.saturated > before.saturated
    ? `, and ${percent(run.saturated)} of what the equations squash is saturated, not ${percent(before.saturated)}` : "";
  return ` Larger weights are no cure here: times 1 the factors were ${size(before.growth)} and ${size(was)}${more}.`;
}

/** The gradient's norm before and after clipping. */
export function drawClipping(norm, threshold) {
  const factor = threshold === null || !(norm > threshold) ? 1 : threshold / norm;
  const most = Math.max(norm ?? 0, threshold ?? 0, 1e-300);
  const bar = (value, after) => {
    const inner = el("i");
    inner.style.width = `${Math.min(100, (100 * value) / most)}%`;
    return el("span", { class: after ? "fill after" : "fill", "aria-hidden": "true" }, inner);
  };
  const words = threshold === null ? "It is used as it is." : norm === null
    ? "It is no finite number, and cannot be clipped." : factor < 1
    ? `Clipped: the whole gradient is multiplied by ${number(factor)}, its direction stays.`
    : "Below the threshold: nothing is clipped.";
  $("#clipping").replaceChildren(
    el("div", { class: "clip" }, el("span", {}, "‖g‖ before"), bar(norm, false), el("b", {}, number(norm)),
      el("span", {}, "‖g‖ after"), bar(norm * factor, true), el("b", {}, number(norm === null ? null : norm * factor))),
    el("p", { class: "small soft", id: "clip-words" }, `g: the gradient of all losses by all weights. ${words}`));
}

export function drawSaid(run) {
  const item = (letter, t) => {
    const target = run.word[t + 1], right = letter === target;
    const chance = run.probabilities[t][run.letters.indexOf(letter)];
    return el("li", { class: right ? "good" : "bad" },
      `after ${visible(run.word[t])}`, el("b", {}, visible(letter)),
      el("span", { class: right ? "mark ok" : "mark wrong" }, right ? "✓ " : `✗ (${visible(target)}) `), number(chance, 2));
  };
  $("#says").replaceChildren(el("ul", { class: "said", "aria-label": "What it says after each letter" }, ...run.predicted.map(item)));
}

/** Loss and gradient norm against updates, on one logarithmic scale. */
export function drawCurves(history, threshold) {
  if (!history.losses.length) return $("#curves").replaceChildren();
  const across = room("#curves");
  const height = 190, left = 44, foot = 34, head = 10;
  const { losses, norms } = history;
  const values = [...losses, ...norms, threshold].filter((value) => value > 0);
  const top = Math.ceil(Math.log10(Math.max(...values)) + 1e-9);
  const bottom = Math.min(top - 1, Math.floor(Math.log10(Math.min(...values))));
  const x = (i) => left + ((across - left - 8) * i) / Math.max(1, losses.length - 1);
  const y = (value) => head + (height - head - foot) * (1 - (Math.log10(Math.max(value, 10 ** bottom)) - bottom) / (top - bottom));
  const path = (numbers) => numbers.map((value, i) => `${i ? "L" : "M"}${x(i).toFixed(1)} ${y(value).toFixed(1)}`).join("");
  const chart = svg("svg", { class: "chart", viewBox: `0 0 ${across} ${height}`, role: "img",
    "aria-label": `Loss over ${losses.length - 1} updates: from ${number(losses[0])} to ${number(losses.at(-1))}` });
  for (let exponent = bottom; exponent <= top; exponent += 1) {
    const at = y(10 ** exponent);
    chart.append(svg("line", { class: "axis", x1: left, x2: across, y1: at, y2: at }), svg("text", { x: left - 6, y: at + 4, "text-anchor": "end" }, powerOfTen(exponent)));
  }
  if (threshold) chart.append(svg("line", { class: "limit", x1: left, x2: across, y1: y(threshold), y2: y(threshold) }));
  chart.append(svg("path", { class: "second", d: path(norms) }), svg("path", { class: "line", d: path(losses) }));
  chart.append(svg("text", { x: left, y: height - 18 }, "0"), svg("text", { x: across - 8, y: height - 18, "text-anchor": "end" }, String(losses.length - 1)),
    svg("text", { x: (across + left) / 2, y: height - 18, "text-anchor": "middle" }, "updates"),
    svg("text", { x: (across + left) / 2, y: height - 3, "text-anchor": "middle" },
      `— loss    - - ‖g‖ before clipping${threshold ? "    ··· threshold" : ""}`));
  $("#curves").replaceChildren(chart);
}

/** Influence of every step on every loss; numbers while there is room. */
export function drawMatrix(view) {
  const { run } = view;
  const matrix = run.whole, steps = matrix.length;
  const dense = steps > 9;
  const scale = new Decades(Math.max(...matrix.flat().map((value) => value ?? 0)));
  const name = (t) => (dense ? String(t + 1) : `${t + 1} ${visible(run.word[t])}`);
  const table = el("table", { class: dense ? "matrix dense" : "matrix" },
    el("caption", { class: "hidden-text" }, "Norm of the gradient of each loss (row) at the state of each step (column)"),
    el("thead", {}, el("tr", {}, el("td"), ...matrix.map((_, k) => el("th", { scope: "col" }, dense && k % 5 !== 4 && k !== 0 ? "" : name(k))))),
    el("tbody", {}, ...matrix.map((row, t) => el("tr", { class: t === view.loss ? "chosen" : undefined },
      el("th", { scope: "row" }, dense ? `ℓ${below(t + 1)}` : `ℓ${below(t + 1)} (${visible(run.word[t + 1])})`),
      ...row.map((value, k) => {
        if (k > t) return el("td", { class: "none" }, dense ? "" : "·");
        const { fill, ink } = scale.paint(value);
        const cell = el("td", { class: k === t ? "own" : undefined, "data-tip": `ℓ${below(t + 1)} at step ${k + 1} (${visible(run.word[k])}): ${size(value)}` },
          dense ? el("span", { class: "hidden-text" }, size(value)) : size(value));
        cell.style.background = fill;
        cell.style.color = ink;
        return cell;
      })))));
  $("#matrix").replaceChildren(table, scale.legend(`‖∂ℓₜ/∂${state(run)}ₖ‖`),
    el("p", { class: "soft small" }, "Framed: a loss at its own step. To the left: what is left of it at earlier steps."));
}

const MEANING = { V: "read-out", d: "read-out's bias", E: "embedding, a column for each letter" };

export function drawWeights(view) {
  const { run } = view;
  const letters = run.letters.map(visible);
  const units = Array.from({ length: run.hidden }, (_, i) => `unit ${i + 1}`);
  const short = Array.from({ length: run.hidden }, (_, i) => String(i + 1));
  const rows = (name) => (name === "V" || name === "d" ? letters : units);
  const columns = (name) => (name === "E" || (name.startsWith("W") && !run.embedded) ? letters : short);
  const tables = Object.entries(run.weights).map(([name, numbers]) => {
    const matrix = Array.isArray(numbers[0]);
    return el("div", { class: "scroll" }, el("table", { class: "numbers" },
      el("caption", {}, weight(name), MEANING[name] ? `: ${MEANING[name]}` : ""),
      matrix ? el("tr", {}, el("td"), ...columns(name).map((text) => el("th", { scope: "col" }, text))) : null,
      ...numbers.map((row, i) => el("tr", {}, el("th", { scope: "row" }, numbers.length === 1 && !matrix ? "" : rows(name)[i]),
        ...(matrix ? row : [row]).map((value) => el("td", {}, number(value)))))));
  });
  $("#weights").replaceChildren(...tables);
}
