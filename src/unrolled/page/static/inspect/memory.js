// How long a run remembers: half-lives, what is wrong in words, spectra.

import { el } from "../common.js";

export class Memory {
  constructor(panel) {
    this.panel = panel;
    this.node = el("section", { class: "card", hidden: true }, el("h2", {}, "Memory"));
  }

  async load() {}
}
