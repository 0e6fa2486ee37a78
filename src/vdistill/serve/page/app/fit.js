// How well results fit: the probability that the teacher would accept them, where the index knows it.

import { byId, el } from "./dom.js";
import { change, current, onChange } from "./state.js";
import { parts } from "./words.js";

let models = []; // whose results have a fit
let own = ""; // the model that answers where none is chosen

/** Tell which models' results have a fit, and which model answers by itself. */
export function knowFits(names, model) {
  [models, own] = [names, model];
  show(current());
}

/** The least fit that is asked for; "" for none, and for a search whose results have no fit. */
export const minFit = (search) => (hasFit(search) ? search.minFit : "");

export function percent(fit) {
  if (fit > 0 && fit < 0.01) return "under 1 %";
  return fit < 1 && fit >= 0.995 ? "over 99 %" : `${Math.round(fit * 100)} %`;
}

/** What is to be said above these answers; "" where something fits, or nothing is known. */
export function unfit(answers) {
  const [poor] = Object.values(answers).filter((answer) => answer.nothing_fits_well && answer.results.length);
  if (!poor) return "";
  const several = Object.keys(answers).length > 1;
  return `${several ? `Nothing that the ${poor.model} found` : "Nothing here"} fits well. These are the closest.`;
}

export function watchFit() {
  byId("min-fit").addEventListener("change", ({ target }) => change({ minFit: target.value }));
  onChange(show);
}

function show(search) {
  const select = byId("min-fit");
  byId("fit-filter").hidden = !models.length;
  if (![...select.options].some((one) => one.value === search.minFit)) {
    select.append(el("option", { value: search.minFit }, `At least ${percent(Number(search.minFit))}`));
  }
  select.value = search.minFit;
  select.disabled = !hasFit(search);
  byId("fit-hint").textContent = hasFit(search) ? "How likely the teacher accepts it."
    : `Known for plain words, with the ${models.join(" or the ")}.`;
}

const hasFit = (search) => !search.image && !search.like && models.includes(search.show || own)
  && parts(search.words).length < 2;
