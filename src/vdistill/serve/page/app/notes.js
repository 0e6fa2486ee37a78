// What the page says beside the results: how many, nothing found, an error with its hint, where to begin.

import { byId, debounced, el, formatted } from "./dom.js";
import { percent } from "./fit.js";
import { change } from "./state.js";

const QUIET = 700; // ms: while somebody types, a reader of the screen is not told each count

const tellSoon = debounced(QUIET, (text) => (byId("told").textContent = text));

/** The line above the results. told: what a reader of the screen hears, where that is more. */
export function showCount(text, told = text) {
  byId("count").textContent = text;
  tellSoon(told);
}

export function countOf(answers, search, items) {
  const [first, second] = Object.values(answers);
  const took = Math.max(first.took_ms, second?.took_ms ?? 0);
  const number = Math.max(first.results.length, second?.results.length ?? 0);
  const all = number === 1 ? "1 result" : `${formatted(number)} results`;
  const least = number >= search.k ? `The best ${formatted(number)}` : all;
  const of = number >= search.k && items > number ? ` of ${formatted(items)}` : "";
  const cut = first.truncated ? " · the text is longer than the model reads" : "";
  const time = `${took < 10 ? took.toFixed(1) : Math.round(took)} ms`;
  return { shown: `${least}${of} · ${time}${cut}`, told: `${least}${of}${cut}` };
}

export function showBusy(busy) {
  byId("main").setAttribute("aria-busy", String(busy));
  document.documentElement.classList.toggle("busy", busy);
}

/** An error; null takes it away. again: what its button does.  stale: whether the results are those of before. */
export function showTrouble(trouble, again, stale = true) {
  const room = byId("trouble");
  const said = trouble ? `${trouble.message} ${trouble.hint}` : "";
  document.documentElement.classList.toggle("stale", Boolean(trouble) && stale);
  if (room.dataset.said === said) return; // it is not told again with each try, and its button keeps the focus
  room.dataset.said = said;
  room.replaceChildren();
  if (!trouble) return;
  room.append(el("div", { class: "trouble" },
    el("p", { class: "what" }, trouble.message), trouble.hint ? el("p", { class: "hint" }, trouble.hint) : null,
    again ? el("button", { type: "button", class: "plain", click: again }, "Try again") : null));
}

/** That nothing fits well, above what was found all the same; "" takes it away. */
export const showUnfit = (line) => (byId("unfit").textContent = line);

/** Where nothing was found. least: the fit that was asked for, "" for none. */
export function showNone(filters, least) {
  const any = () => change({ minFit: "" });
  const closest = el("button", { type: "button", class: "plain", click: any }, "Show the closest");
  const which = filters ? "No item that fulfils these filters" : "No item";
  if (least) return note("Nothing fits well", `${which} fits at least ${percent(Number(least))}.`, closest);
  const clear = el("button", { type: "button", class: "plain", click: clearFilters }, "Clear the filters");
  if (filters) note("Nothing found", "No item fulfils these filters.", clear);
  else note("Nothing found", "The index has no other items.");
}

/** Where nothing is looked for yet. values: words to begin with. */
export function showStart(values, filters) {
  const attempt = (words) => el("button", { type: "button", class: "try", click: () => change({ words }) }, words);
  const tries = values.map((value) => el("li", {}, attempt(value)));
  const free = "Describe it, the person it is for, or the occasion. Or drop an image here.";
  note("What are you looking for?", filters ? "Describe it; your filters apply then." : free,
    tries.length ? el("ul", { class: "tries", "aria-label": "Searches to begin with" }, ...tries) : null);
}

export function showNoNote() {
  byId("note").replaceChildren();
}

export const clearFilters = () => change({ picks: {}, ranges: {}, where: "", minFit: "" });

function note(title, text, more) {
  byId("note").replaceChildren(el("div", { class: "note" }, el("h2", {}, title), el("p", {}, text), more));
}
