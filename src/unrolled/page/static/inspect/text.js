// The sample itself: every character a step, coloured, with one step chosen.

import { el, visible } from "../common.js";

export class Text {
  /** @param {object} told  now(), the step; onhover(step | null), onpick(step), describe(step) in words */
  constructor(told) {
    this.told = told;
    this.node = el("div", {
      class: "text", role: "slider", tabindex: "0", "aria-label": "Step in the text", "aria-valuemin": "0",
      onpointerover: (event) => told.onhover(this.#step(event)),
      onpointerleave: () => told.onhover(null),
      onclick: (event) => { const step = this.#step(event); if (step !== null) told.onpick(step); },
      onkeydown: (event) => this.#key(event),
    });
    this.marks = [];
    this.chosen = -1;
  }

  /** Write it: the characters, and what the model thought best after each. */
  write(names, guesses) {
    this.marks = names.map((name, step) => {
      // below a character stands what was expected there: the guess of the step before
      const guess = step ? guesses[step - 1][0][0] : "";
      return el("span", {
        "data-step": step, "data-guess": guess && visible(guess), class: guess === name ? "right" : null,
      }, name === "\n" || name === "\t" ? visible(name) : name);
    });
    const lines = this.marks.flatMap((mark, step) => (names[step] === "\n" ? [mark, "\n"] : [mark]));
    this.node.replaceChildren(...lines);
    this.node.setAttribute("aria-valuemax", names.length - 1);
  }

  /** Colour every character by `paint(step)`: {fill, ink}, or null. */
  colour(paint) {
    this.marks.forEach((mark, step) => {
      const found = paint(step);
      mark.style.backgroundColor = found?.fill ?? "";
      mark.style.color = found?.ink ?? "";
    });
  }

  choose(step) {
    this.marks[this.chosen]?.classList.remove("chosen");
    this.marks[this.chosen + 1]?.classList.remove("next");
    this.chosen = step;
    this.marks[step]?.classList.add("chosen");
    this.marks[step + 1]?.classList.add("next");
    this.node.setAttribute("aria-valuenow", step);
    this.node.setAttribute("aria-valuetext", this.told.describe(step));
  }

  #step(event) {
    const mark = event.target.closest?.("[data-step]");
    return mark ? Number(mark.dataset.step) : null;
  }

  #key(event) {
    // What is shown may lag behind a frame: the next key goes on from what was chosen.
    const now = this.told.now(), last = this.marks.length - 1;
    const to = {
      ArrowLeft: now - 1, ArrowRight: now + 1, PageUp: now - 10, PageDown: now + 10, Home: 0, End: last,
      ArrowUp: this.#line(now, -1), ArrowDown: this.#line(now, 1),
    }[event.key];
    if (to === undefined || last < 0) return;
    event.preventDefault();
    this.told.onpick(Math.min(last, Math.max(0, to)));
  }

  /** The step above or below another, as the lines stand on the screen. */
  #line(now, way) {
    const from = this.marks[now]?.getBoundingClientRect();
    if (!from) return 0;
    let best = now, line = null, nearest = Infinity;
    for (let step = now + way; step >= 0 && step < this.marks.length; step += way) {
      const box = this.marks[step].getBoundingClientRect();
      if (Math.abs(box.top - from.top) < 4) continue;
      line ??= box.top;
      if (Math.abs(box.top - line) > 4) break;
      if (Math.abs(box.left - from.left) < nearest) [best, nearest] = [step, Math.abs(box.left - from.left)];
    }
    return best;
  }
}
