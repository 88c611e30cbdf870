// How the page speaks of layers, values and characters.

import { visible } from "../common.js";

const GATES = {
  h: "hidden state h", c: "cell state c", i: "input gate i", f: "forget gate f", g: "candidate g", o: "output gate o",
  r: "reset gate r", z: "update gate z", n: "candidate n",
};

/** "layer 2" for the strand "recurrent.l1"; "layer 1, backwards" for "recurrent.l0_reverse". */
export function layer(strand) {
  const found = /(?:^|\.)l(\d+)(_reverse)?$/.exec(strand);
  return found ? `layer ${Number(found[1]) + 1}${found[2] ? ", backwards" : ""}` : strand;
}

/** What the letters of the best-known cells stand for; other cells' names as they are. */
export const value = (name) => GATES[name] ?? name;

export const quoted = (character) => `“${visible(character)}”`;

export function percent(share) {
  if (share > 0 && share < 0.001) return "<0.1 %";
  return `${(100 * share).toFixed(share < 0.0995 ? 1 : 0)} %`;
}

/** Bits of one character: two decimals, and no powers of ten for next to nothing. */
export const bits = (loss) => (loss < 0.005 ? "0.00" : loss.toFixed(2));
