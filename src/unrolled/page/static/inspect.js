// The Inspect view: a sample, and one or two runs that read it.

import { $, ask, el } from "./common.js";
import { Panel } from "./inspect/panel.js";

/** What all panels have in common. */
const shared = {
  sample: "", step: null, hovered: null, mode: "influence", decades: 4, guesses: false,
  get now() { return this.hovered ?? this.step ?? 0; },
  /** Without a step, begin where the model was most surprised, late enough to have a past. */
  suggest(losses) {
    if (this.step !== null) return;
    const late = losses.map((loss, step) => (step >= losses.length / 2 ? loss : -1));
    this.step = Math.max(0, late.indexOf(Math.max(...late)));
  },
  pick(step) {
    const last = Math.max(0, [...this.sample].length - 1);
    this.step = Math.min(last, Math.max(0, step));
    this.hovered = null;
    refresh();
  },
  hoverAt(step) {
    if (step === this.hovered) return;
    this.hovered = step;
    refresh();
  },
  colourBy(mode) {
    this.mode = mode;
    $(`input[name="mode"][value="${mode}"]`).checked = true;
    panels.forEach((panel) => panel.colour());
  },
};

let known = null;
let panels = [];
let samples = [];
let waiting = false;

/** Once a frame is enough, however fast the pointer moves. */
function refresh() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    panels.forEach((panel) => panel.step());
  });
}

function fail(error) {
  $("#problem").textContent = error.message;
  $("#problem").hidden = false;
}

const length = () => [...$("#text").value].length;

function count() {
  const now = length(), long = now > known.limit;
  $("#length").textContent = long
    ? `${now.toLocaleString("en")} characters are too many for the page: at most ${known.limit}.`
    : `${now} of at most ${known.limit} characters`;
  $("#length").classList.toggle("too-long", long);
  $("#cut").hidden = !long;
}

function cut(part) {
  const text = [...$("#text").value];
  $("#text").value = (part === "first" ? text.slice(0, known.limit) : text.slice(-known.limit)).join("");
  count();
  $("#text").focus();
}

async function read() {
  $("#problem").hidden = true;
  shared.sample = $("#text").value;
  shared.step = null;
  shared.hovered = null;
  await Promise.all(panels.map((panel) => panel.read()));
}

/** Build the panels of the runs that are chosen. */
function build() {
  const first = Number($("#run").value), second = $("#beside").value;
  const wanted = second === "" || Number(second) === first ? [first] : [first, Number(second)];
  const before = new Map(panels.map((panel) => [panel.index, panel]));
  panels = wanted.map((index) => before.get(index) ?? new Panel(index, known.runs[index], shared, known.features));
  $("#panels").replaceChildren(...panels.map((panel) => panel.node));
  $("#panels").classList.toggle("two", panels.length > 1);
}

async function offer() {
  ({ samples } = await ask(`/api/inspect/samples?run=${$("#run").value}`));
  $("#sample").replaceChildren(
    ...samples.map((sample, i) => el("option", { value: i }, sample.title)), el("option", { value: "" }, "a text of your own"));
}

function takeSample() {
  const sample = samples[Number($("#sample").value)];
  if ($("#sample").value === "" || !sample) { $("#text").focus(); $("#text").select(); return false; }
  $("#text").value = sample.text;
  count();
  return true;
}

async function start() {
  known = await ask("/api/inspect/runs");
  const { runs } = known;
  if (!runs.length) { $("#empty").hidden = false; return; }
  const options = () => runs.map((run, i) => el("option", { value: i }, run.name));
  $("#run").replaceChildren(...options());
  $("#beside").replaceChildren(el("option", { value: "" }, "none"), ...options());
  $("#beside").value = runs.length > 1 ? "1" : "";
  $("#run-field").hidden = $("#beside-field").hidden = runs.length < 2;
  $("#ask").hidden = $("#modes").hidden = false;
  document.title = `${runs.map((run) => run.name).join(", ")} · Inspect · unrolled`;
  build();
  await offer();
  if (takeSample()) await read();
}

const safely = (action) => async (event) => {
  event?.preventDefault?.();
  try { await action(event); } catch (error) { fail(error); }
};

$("#ask").addEventListener("submit", safely(read));
$("#run").addEventListener("change", safely(async () => { build(); await offer(); if (takeSample()) await read(); }));
$("#beside").addEventListener("change", safely(async () => { build(); await read(); }));
$("#sample").addEventListener("change", safely(async () => { if (takeSample()) await read(); }));
$("#text").addEventListener("input", () => { $("#sample").value = ""; count(); });
$("#text").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) $("#ask").requestSubmit();
});
document.querySelectorAll("[data-cut]").forEach((button) => button.addEventListener("click", () => cut(button.dataset.cut)));
document.querySelectorAll("input[name='mode']").forEach((radio) => radio.addEventListener("change", () => shared.colourBy(radio.value)));
$("#guesses").addEventListener("change", () => { shared.guesses = $("#guesses").checked; panels.forEach((panel) => panel.colour()); });
$("#decades").addEventListener("change", () => { shared.decades = Number($("#decades").value); panels.forEach((panel) => panel.repaint()); });
document.addEventListener("themechange", () => panels.forEach((panel) => panel.repaint()));
start().catch(fail);
