// The filters that are on, above the results; each can be taken off.

import { byId, el, icon } from "./dom.js";
import { change, current, onChange } from "./state.js";

export function watchChips() {
  onChange(show);
  show(current());
}

function show(search) {
  const room = byId("chips");
  const had = room.contains(document.activeElement);
  room.replaceChildren(...[...picks(search), ...ranges(search), ...where(search)]);
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

function chip(text, off) {
  return el("button", { type: "button", class: "chip", "aria-label": `Without the filter ${text}`, click: off },
    el("span", { dir: "auto" }, text), icon("close"));
}
