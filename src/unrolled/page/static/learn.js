// The Learn view: what is asked of the server, what is shown, and who presses what.

import { $, ask, calm, el, newest } from "./common.js";
import { drawClipping, drawCurves, drawMatrix, drawReach, drawSaid, drawWeights } from "./learn_charts.js";
import { addLine, mi, mo, printed, say, sub, weight } from "./learn_maths.js";
import { drawNetwork, focus, frames, hint, scores, tell } from "./learn_network.js";
import { drawStep } from "./learn_step.js";

const PACE = 1500; // milliseconds for a frame
const BITE = 10; // updates for a request
const MANY = 300; // weights that are no longer shown unasked
const MOST = 2000; // updates until it gives up

const view = {
  setting: { cell: "rnn", word: "hello", hidden: 3, bias: false, seed: 0, scale: 1, weights: null },
  run: null, phase: "forward", frame: 0, whole: true, loss: 0, unit: 0,
  history: { losses: [], norms: [], clipped: 0 },
};
let playing = null, training = false, cells = [];
let latest = null; // the frame whose details are wanted
let chosen = 0; // counts settings, so that what belongs to an earlier one is known
const askRun = newest(), askDetail = newest();

// ---- what went wrong

let refused = null; // what was refused and is said at the top: "setting" or "details"

function problem(error, of) {
  const node = $("#problem");
  refused = error ? of : null;
  node.hidden = !error;
  node.textContent = error ? error.message : "";
}

/**
 * Do it; what is refused is said at the top. A setting that works takes away what was said before.
 * Details take away only what was said of details: they may arrive after a setting was refused.
 */
async function attempt(action, of = "setting") {
  try {
    await action();
    if (of === "setting" || refused === of) problem(null);
  } catch (error) {
    problem(error, of);
  }
}

// ---- the run

/** The run of the setting; gives whether it is now shown, null where a later question took over. */
async function load({ fresh = false } = {}) {
  let shown = false;
  await attempt(async () => {
    const run = await askRun("/api/learn/run", view.setting);
    shown = run ? true : null;
    if (run) show(run, fresh);
  });
  return shown;
}

function show(run, fresh) {
  view.run = run;
  const steps = run.losses.length;
  if (fresh) {
    view.loss = steps - 1;
    view.frame = 0;
    view.whole = true;
    const count = Object.values(run.weights).flat(2).length;
    $("#all-weights").open = count <= MANY;
  }
  view.loss = Math.min(view.loss, steps - 1);
  view.unit = Math.min(view.unit, run.hidden - 1);
  view.frame = Math.min(view.frame, frames(view) - 1);
  const about = cells.find((cell) => cell.name === run.cell)?.about ?? "";
  $("#about").textContent = run.embedded ? `${about} x itself stands in its equations, so a letter comes in as ${run.hidden} numbers, a column of E.` : about;
  const bias = "d" in run.weights ? [mo("+"), mi("d")] : [];
  $("#cell-equations").replaceChildren(addLine(printed(run.equations), sub(scores(run), mi("t")),
    mi("V"), sub(Object.keys(run.states)[0], mi("t")), ...bias));
  $("#scaled").replaceChildren(...run.scaled.flatMap((name, i) => [i ? ", " : "", weight(name)]));
  $("#scale").disabled = !run.scaled.length;
  $("#origin").textContent = run.by_hand
    ? "These are the weights of the example that is worked out by hand; there are no random ones in it."
    : view.history.losses.length ? `As training left them${view.setting.scale !== 1 ? ", with the recurrent ones scaled" : ""}.` : view.setting.scale !== 1 ? "As they were, with the recurrent ones scaled." : "Drawn at random.";
  units();
  drawSaid(run);
  drawMatrix(view);
  drawWeights(view);
  clipping();
  frame();
}

function frame() {
  const last = frames(view) - 1;
  $("#forward").setAttribute("aria-pressed", String(view.phase === "forward"));
  $("#backward").setAttribute("aria-pressed", String(view.phase === "backward"));
  $("#first").disabled = $("#previous").disabled = view.frame === 0;
  $("#next").disabled = $("#last").disabled = view.frame === last;
  $("#place").textContent = view.whole ? `all ${last + 1} steps` : `${view.frame + 1} of ${last + 1}`;
  say("#told", tell(view));
  say("#hint", hint(view));
  drawNetwork(view, select, send);
  drawReach(view);
  details();
}

async function details() {
  const mine = latest = {};
  const { step, part } = focus(view);
  if (part === "output" || part === "sum") return drawStep(view, null);
  await attempt(async () => {
    const question = { ...view.setting, step: step + 1, unit: view.unit + 1, loss: view.loss + 1 };
    const detail = await askDetail("/api/learn/detail", question);
    if (detail && mine === latest) drawStep(view, detail);
  }, "details");
}

function units() {
  const buttons = view.run.states[Object.keys(view.run.states)[0]][0].map((_, unit) => el("button", {
    type: "button", "aria-pressed": String(unit === view.unit), "aria-label": `Unit ${unit + 1}`,
    onclick: () => {
      view.unit = unit;
      units();
      $(`#units button:nth-of-type(${unit + 1})`).focus();
      details();
    },
  }, String(unit + 1)));
  $("#units").replaceChildren(el("span", { "aria-hidden": "true" }, "Unit"), ...buttons);
}

// ---- playing

/** To a frame; what comes after it is not seen yet, unless the whole is. */
function go(to, whole = false) {
  view.frame = Math.max(0, Math.min(frames(view) - 1, to));
  view.whole = whole;
  frame();
}

function stop() {
  clearInterval(playing);
  playing = null;
  $("#play").textContent = "▶ Play";
}

function play() {
  if (playing) return stop();
  if (view.whole || view.frame === frames(view) - 1) go(0);
  $("#play").textContent = "❚❚ Pause";
  playing = setInterval(() => {
    go(view.frame + 1);
    if (view.frame === frames(view) - 1) stop();
  }, PACE);
}

function phase(name) {
  stop();
  view.phase = name;
  go(0, true);
}

/** A click on a step: forward, its state; backward, as much of the way as leads there. */
function select(step) {
  stop();
  if (view.phase === "forward") go(2 * step, view.whole);
  else if (step <= view.loss) go(view.loss - step, view.whole);
}

/** A loss flows back. */
function send(loss) {
  view.loss = loss;
  phase("backward");
  drawMatrix(view);
  if (!calm()) play();
  $(`.send[data-loss="${loss + 1}"]`).focus({ preventScroll: true });
}

// ---- the setting

/** Begin anew with what the form says; if it is refused, what was there stays. */
async function choose(seed = 0) {
  stop();
  training = false;
  chosen += 1;
  const before = view.setting;
  view.setting = {
    cell: $("#cell").value, word: $("#word").value, hidden: Number($("#hidden").value), bias: $("#bias").checked,
    seed, scale: 1, weights: null,
  };
  const { history } = view;
  view.history = { losses: [], norms: [], clipped: 0 };
  const shown = await load({ fresh: true });
  if (shown === false) Object.assign(view, { setting: before, history });
  if (shown) $("#progress").textContent = "";
  scaleShown();
}

function scaleShown() {
  const { scale } = view.setting;
  $("#scale").value = scale;
  $("#scale").setAttribute("aria-valuetext", `times ${scale.toFixed(2)}`);
  $("#scale-value").textContent = scale.toFixed(2);
}

const threshold = () => ($("#clip").checked && Number($("#threshold").value) > 0 ? Number($("#threshold").value) : null);

function clipping() {
  drawClipping(view.run.norm, threshold());
  drawCurves(view.history, threshold());
}

// ---- training

const solved = (run) => run.predicted.every((letter, t) => letter === run.word[t + 1]);

async function update(updates) {
  const question = { ...view.setting, updates, rate: Number($("#rate").value), clip: threshold() };
  const mine = chosen, scaled = view.setting.scale !== 1;
  const found = await ask("/api/learn/train", question);
  if (mine !== chosen) return;
  const { history } = view;
  history.losses = [...history.losses.slice(0, -1), ...found.losses];
  history.norms.push(...found.norms);
  history.clipped += found.clipped.filter(Boolean).length;
  Object.assign(view.setting, { weights: found.weights, scale: 1 });
  scaleShown();
  show(found.run, false);
  const said = found.run.predicted.join("");
  $("#progress").textContent = `After ${history.norms.length} updates: it says “${said}”${solved(found.run) ? ", all right" : ""}; loss ${found.run.loss.toFixed(4)}` +
    (history.clipped ? `; clipped at ${history.clipped} of them.` : ".") +
    (scaled ? " The scale has become part of the weights." : "");
}

async function train() {
  if (training) { training = false; return; }
  stop();
  training = true;
  $("#train").textContent = "Stop";
  $("#some").disabled = $("#reset").disabled = true;
  await attempt(async () => {
    let more = 0;
    do {
      await update(BITE);
      more += BITE;
      if (!calm()) await new Promise((resolve) => setTimeout(resolve, 120));
    } while (training && more < MOST && !(solved(view.run) && view.run.loss < 0.1 * view.run.losses.length));
  });
  training = false;
  $("#train").textContent = "Train";
  $("#some").disabled = $("#reset").disabled = false;
}

// ---- who presses what

function wire() {
  for (const name of ["#cell", "#word", "#hidden", "#bias"]) $(name).addEventListener("change", () => choose());
  $("#setting").addEventListener("submit", (event) => event.preventDefault());
  $("#example").addEventListener("click", () => {
    [$("#cell").value, $("#word").value, $("#hidden").value, $("#bias").checked] = ["rnn", "hello", 3, false];
    choose();
  });
  $("#draw").addEventListener("click", () => choose(view.setting.seed + 1));

  $("#forward").addEventListener("click", () => phase("forward"));
  $("#backward").addEventListener("click", () => phase("backward"));
  $("#first").addEventListener("click", () => { stop(); go(0); });
  $("#last").addEventListener("click", () => { stop(); go(Infinity); });
  $("#previous").addEventListener("click", () => { stop(); go(view.frame - 1); });
  $("#next").addEventListener("click", () => { stop(); go(view.frame + 1); });
  $("#play").addEventListener("click", play);
  document.addEventListener("keydown", (event) => {
    const to = { ArrowLeft: view.frame - 1, ArrowRight: view.frame + 1, Home: 0, End: Infinity }[event.key];
    if (to === undefined || !view.run || event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
    if (event.target.closest("input, select, textarea, #matrix")) return; // these have uses for the keys
    event.preventDefault();
    stop();
    go(to);
  });

  $("#scale").addEventListener("input", () => {
    view.setting.scale = Number($("#scale").value);
    scaleShown();
    load();
  });
  for (const name of ["#clip", "#threshold"]) $(name).addEventListener("input", () => view.run && clipping());

  let width = innerWidth;
  addEventListener("resize", () => {
    if (width === innerWidth || !view.run) return; // a phone's bar that comes and goes
    width = innerWidth;
    drawReach(view);
    clipping();
  });

  $("#train").addEventListener("click", train);
  $("#some").addEventListener("click", () => attempt(() => update(BITE)));
  $("#reset").addEventListener("click", () => choose(view.setting.seed));
}

wire();
await attempt(async () => {
  ({ cells } = await ask("/api/learn/choices"));
  $("#cell").append(...cells.map(({ name, title }) => el("option", { value: name }, title)));
});
await load({ fresh: true });
