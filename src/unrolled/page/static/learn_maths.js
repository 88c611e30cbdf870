// MathML, and numbers and sentences in a line of text.

import { $, el, number } from "./common.js";

const MATHML = "http://www.w3.org/1998/Math/MathML";

/** A MathML element: m("msub", m("mi", "h"), m("mn", "2")). */
export function m(tag, ...children) {
  const node = document.createElementNS(MATHML, tag);
  node.append(...children);
  return node;
}

export const mi = (text) => m("mi", text);
export const mo = (text) => m("mo", text);
export const mn = (text) => m("mn", text);
export const sub = (base, ...below) => m("msub", mi(base), below.length > 1 ? m("mrow", ...below) : below[0]);

/** An equation on a line of its own. */
export function display(...children) {
  const node = m("math", m("mrow", ...children));
  node.setAttribute("display", "block");
  return node;
}

/** MathML that the server printed from a cell's equations. */
export function printed(text) {
  const holder = document.createElement("template");
  holder.innerHTML = text;
  return holder.content;
}

/** A number as MathML; a negative one with its sign. */
export function mnumber(value) {
  const text = number(value);
  return text.startsWith("−") ? m("mrow", mo("−"), mn(text.slice(1))) : mn(text);
}

/** How large something is: three digits that count. */
export function size(value) {
  if (value === null || value === undefined) return "—";
  const magnitude = Math.abs(value);
  if (magnitude === 0 || (magnitude >= 100 && magnitude < 1e5)) return number(value, 0);
  if (magnitude >= 1e5 || magnitude < 1e-5) return number(value);
  return number(value, 2 - Math.floor(Math.log10(magnitude)));
}

/** h₂, as text. */
export function below(index) {
  return String(index).replace(/\d/g, (digit) => "₀₁₂₃₄₅₆₇₈₉"[digit]);
}

/** (0.8350, 0.8964), as text. */
export function vector(values) {
  return `(${values.map((value) => number(value)).join(", ")})`;
}

/** The name of a weight: W with the gate below it. */
export function weight(name) {
  const [matrix, gate, bias] = name.split(".");
  return el("span", { class: "weight" }, matrix, gate ? el("sub", {}, gate) : "", bias ? ", bias" : "");
}

/** Another line of a printed table of equations, given its two sides. */
export function addLine(fragment, left, ...right) {
  const table = fragment.querySelector("mtable");
  const row = table.lastElementChild.cloneNode(true);
  row.children[0].replaceChildren(left);
  row.children[1].replaceChildren(m("mrow", mo("="), ...right));
  table.append(row);
  return fragment;
}

/** Put a sentence where it is read aloud; the same one again is not read twice. */
export function say(selector, text) {
  const node = $(selector);
  if (node.textContent !== text) node.textContent = text;
}
