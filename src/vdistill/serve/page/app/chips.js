// The filters that are on, above the results; each can be taken off.

import { byId, el, icon } from "./dom.js";
import { minFit, percent } from "./fit.js";
import { change, current, onChange } from "./state.js";

export function watchChips() {
  onChange(showChips);
  showChips(current());
}

/** Show those of a search; again, where it is told only now what can be filtered by. */
export function showChips(search) {
  const room = byId("chips");
  const had = room.contains(document.activeElement);
  room.replaceChildren(...[...picks(search), ...ranges(search), ...where(search), ...fit(search)]);
  if (had) (room.querySelector("button") ?? byId("words")).focus();
}

function picks(search) {
  return Object.entries(search.picks).flatMap(([column, values]) =>
    values.map((value) => chip(value === "true" || value === "false" ? `${column}: ${value}` : value, () => {
      const rest = values.filter((one) => one !== value);
      const { [column]: _, ...others } = current().picks;
      change({ picks: rest.length ? { ...others, [column]: rest } : others });
    })));
}

function ranges(search) {
  return Object.entries(search.ranges).map(([column, [from, to]]) => {
    const text = from && to ? `${column} ${from} to ${to}` : from ? `${column} from ${from}` : `${column} to ${to}`;
    return chip(text, () => {
      const { [column]: _, ...others } = current().ranges;
      change({ ranges: others });
    });
  });
}

const where = (search) => (search.where.trim() ? [chip(search.where.trim(), () => change({ where: "" }))] : []);

function fit(search) {
  const least = minFit(search);
  return least ? [chip(`fits at least ${percent(Number(least))}`, () => change({ minFit: "" }))] : [];
}

function chip(text, off) {
  return el("button", { type: "button", class: "chip", "aria-label": `Without the filter ${text}`, click: off },
    el("span", { dir: "auto" }, text), icon("close"));
}
