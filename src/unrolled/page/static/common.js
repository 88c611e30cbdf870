// What both views use: elements, questions to the server, the theme, colours by decades, tooltips.

// ---- elements

const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

/** An HTML element: el("p", {class: "soft", onclick: f}, "text", child). Text is never markup. */
export function el(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** The same for SVG. */
export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

export const $ = (selector, root = document) => root.querySelector(selector);

// ---- numbers

/** A number for reading: so many decimals; powers of ten where that would show nothing. */
export function number(value, digits = 4) {
  if (value === null || value === undefined) return "—";
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "not a number" : value > 0 ? "∞" : "−∞";
  const size = Math.abs(value);
  const text = size === 0 || (size >= 10 ** -digits && size < 1e5) ? value.toFixed(digits) : value.toExponential(2);
  return text.replace("-", "−").replace("e+", "e").replace("e-", "e−");
}

/** A power of ten as 10ⁿ. */
export function powerOfTen(exponent) {
  const raised = String(exponent).replace("-", "⁻").replace(/\d/g, (digit) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[digit]);
  return `10${raised}`;
}

/** A character for reading: a space, a line's end and what cannot be seen have signs of their own. */
export function visible(character) {
  return { " ": "␣", "\n": "↵", "\t": "⇥" }[character] ?? character;
}

// ---- questions

/**
 * Ask the server: GET, or POST with a body. What it refuses is thrown as an Error of one line.
 * @param {AbortSignal} [signal] takes the question back
 */
export async function ask(path, body, signal) {
  let answer;
  try {
    answer = await fetch(path, body === undefined ? { signal } : {
      method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body), signal,
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("the server does not answer: is `unrolled lens` still running?");
  }
  let found = null;
  try { found = await answer.json(); } catch (error) { if (error.name === "AbortError") throw error; }
  if (!answer.ok) throw new Error(found?.error ?? `${path}: ${answer.status}`);
  return found;
}

/** Only the newest of several questions counts: the ones before are taken back, and give null. */
export function newest() {
  let running = null;
  return async (path, body) => {
    running?.abort();
    const mine = running = new AbortController();
    try {
      const found = await ask(path, body, mine.signal);
      return mine === running ? found : null;
    } catch (error) {
      if (error.name === "AbortError" || mine !== running) return null;
      throw error;
    }
  };
}

// ---- theme

const dark = matchMedia("(prefers-color-scheme: dark)");

export function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : dark.matches;
}

/** The button in the bar; `themechange` is told to the document whenever colours change. */
function theme() {
  const button = $(".theme");
  const show = () => {
    button.textContent = isDark() ? "Light" : "Dark";
    button.setAttribute("aria-label", isDark() ? "Switch to light colours" : "Switch to dark colours");
    document.dispatchEvent(new Event("themechange"));
  };
  button.addEventListener("click", () => {
    const chosen = isDark() ? "light" : "dark";
    document.documentElement.dataset.theme = chosen;
    try { localStorage.setItem("theme", chosen); } catch { /* it holds for this page, then */ }
    show();
  });
  dark.addEventListener("change", show);
  show();
}

/** The value of one of the page's colours, for what cannot take a variable (Plotly). */
export const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

export const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

// ---- colours by decades

// Viridis: as bright as it is large, to every eye. From little to much.
const VIRIDIS = [
  [68, 1, 84], [72, 36, 117], [65, 68, 135], [53, 95, 141], [42, 120, 142], [33, 145, 140],
  [34, 168, 132], [68, 191, 112], [122, 209, 81], [189, 223, 38], [253, 231, 37],
];
export const viridisScale = VIRIDIS.map((rgb, i) => [i / (VIRIDIS.length - 1), `rgb(${rgb.join(",")})`]);

/** The colour at a place between 0 and 1. */
export function viridis(place) {
  const at = Math.min(1, Math.max(0, place)) * (VIRIDIS.length - 1);
  const i = Math.min(Math.floor(at), VIRIDIS.length - 2);
  const rgb = VIRIDIS[i].map((from, c) => Math.round(from + (at - i) * (VIRIDIS[i + 1][c] - from)));
  return `rgb(${rgb.join(",")})`;
}

/** Black or white, whichever is read better on a colour of the scale. */
export function inkOn(place) {
  return place > 0.45 ? "#111" : "#fff";
}

/**
 * A logarithmic scale: so many decades down from the largest value (a whole power of ten).
 * `place(v)` is between 0 and 1, null where nothing arrives at all or nothing is known.
 */
export class Decades {
  constructor(largest, decades = 6) {
    const top = Number.isFinite(largest) && largest > 0 ? Math.ceil(Math.log10(largest) - 1e-9) : 0;
    this.top = top;
    this.bottom = top - decades;
  }

  place(value) {
    if (value === null || !(Math.abs(value) > 0)) return null;
    if (!Number.isFinite(value)) return 1;
    return Math.min(1, Math.max(0, (Math.log10(Math.abs(value)) - this.bottom) / (this.top - this.bottom)));
  }

  /** Colours of a cell: background and ink. */
  paint(value) {
    const place = this.place(value);
    return place === null ? { fill: "var(--none)", ink: "var(--soft)" } : { fill: viridis(place), ink: inkOn(place) };
  }

  /** A bar with the powers of ten below it. */
  legend(title) {
    const width = 220, left = 14, step = width / (this.top - this.bottom);
    const bar = svg("svg", { width: width + 2 * left, height: 30, "aria-hidden": "true" });
    for (let i = 0; i < 44; i += 1) {
      bar.append(svg("rect", {
        x: left + (i * width) / 44, y: 0, width: width / 44 + 0.6, height: 11, fill: viridis(i / 43),
      }));
    }
    const every = Math.ceil((this.top - this.bottom) / 6);
    for (let exponent = this.bottom; exponent <= this.top; exponent += every) {
      const sign = exponent === this.bottom ? "≤" : "";
      bar.append(svg("text", { x: left + (exponent - this.bottom) * step, y: 26, "text-anchor": "middle" },
        sign + powerOfTen(exponent)));
    }
    const words = `${title}: from ${powerOfTen(this.bottom)} or less (dark) to ${powerOfTen(this.top)} (bright), logarithmic`;
    return el("div", { class: "legend", role: "img", "aria-label": words }, el("span", { "aria-hidden": "true" }, title), bar);
  }
}

// ---- tooltips

/** One tooltip for all that has data-tip: on hover and on focus, gone with Escape. */
function tooltips() {
  const tip = el("div", { class: "tip", role: "tooltip", id: "tip", hidden: true });
  document.body.append(tip);
  let over = null;
  const hide = () => {
    over?.removeAttribute("aria-describedby");
    over = null;
    tip.hidden = true;
  };
  const show = (target) => {
    const about = target?.closest?.("[data-tip]") ?? null;
    if (about === over) return;
    hide();
    if (!about) return;
    over = about;
    tip.textContent = about.dataset.tip;
    tip.hidden = false;
    about.setAttribute("aria-describedby", "tip");
    const around = about.getBoundingClientRect(), own = tip.getBoundingClientRect();
    const left = around.left + around.width / 2 - own.width / 2;
    const above = around.top - own.height - 8;
    tip.style.left = `${Math.max(8, Math.min(left, innerWidth - own.width - 8))}px`;
    tip.style.top = `${above > 56 ? above : Math.min(around.bottom + 8, innerHeight - own.height - 8)}px`;
  };
  document.addEventListener("pointerover", (event) => show(event.target));
  document.addEventListener("focusin", (event) => { if (event.target.matches(":focus-visible")) show(event.target); });
  document.addEventListener("focusout", hide);
  document.addEventListener("scroll", hide, { passive: true, capture: true });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });
  // An element that is drawn anew takes its tooltip with it.
  new MutationObserver(() => { if (over && !over.isConnected) hide(); })
    .observe(document.body, { childList: true, subtree: true });
}

// ---- Plotly, where a view wants it

let loading = null;

/** Plotly, from this server. */
export function plotly() {
  loading ??= new Promise((resolve, reject) => {
    const script = el("script", { src: "/plotly.js" });
    script.onload = () => resolve(window.Plotly);
    script.onerror = () => reject(new Error("Plotly could not be loaded from this server"));
    document.head.append(script);
  });
  return loading;
}

theme();
tooltips();
