// The panel of filters: what the server found in the metadata to choose from, and a condition that is typed.

import { ask } from "./api.js";
import { filtered } from "./address.js";
import { byId, debounced, el, formatted, unseen } from "./dom.js";
import { minFit } from "./fit.js";
import { clearFilters } from "./notes.js";
import { change, current, onChange } from "./state.js";

const TRIES = 8;
const FIRST = 8; // values of a filter, before all are asked for
const TYPING = 300; // ms: half a condition is an error
let offered = []; // as the server tells them

/** The kinds of the filters by column. */
export const kinds = () => Object.fromEntries(offered.map((one) => [one.column, one.kind]));

/** Words that some items have, to begin with. */
export function commonValues() {
  const all = offered.filter((one) => one.kind === "list" || one.kind === "values").flatMap((one) => one.values);
  const rarer = all.slice(Math.floor(all.length / 3)); // what all items share says little
  const step = Math.max(1, rarer.length / TRIES);
  return Array.from({ length: Math.min(TRIES, rarer.length) }, (_, place) => rarer[Math.floor(place * step)].value);
}

/** Ask what there is to filter by. columns: all of the metadata, by kind. */
export async function loadFilters(columns) {
  const found = await ask("/v1/filters");
  offered = found.filters;
  const whole = found.read === found.items;
  byId("choices").replaceChildren(...offered.map((one) => (one.values.length ? ticks(one, whole) : range(one))));
  byId("columns").replaceChildren(...Object.entries(columns).map(([name, kind]) =>
    el("li", {}, el("code", {}, name), ` ${kind}`)));
  show(current());
}

export function watchFilters() {
  const where = byId("where");
  where.addEventListener("input", debounced(TYPING, () => change({ where: where.value }, { typing: true })));
  byId("hybrid").addEventListener("change", (event) => change({ hybrid: event.target.checked }));
  byId("clear").addEventListener("click", clearFilters);
  byId("filters-button").addEventListener("click", () => unfold(true));
  byId("done").addEventListener("click", () => {
    unfold(false);
    byId("filters-button").focus();
  });
  onChange(show);
  show(current());
}

/** Show or hide the panel where there is no room for it beside the results. */
export function unfold(on) {
  document.documentElement.classList.toggle("unfolded", on);
  byId("filters-button").setAttribute("aria-expanded", String(on));
  if (on) byId("filters-title").focus();
}

/** What is wrong with the condition, beside it; null for nothing. */
export function showConditionTrouble(trouble) {
  byId("where").setAttribute("aria-invalid", String(Boolean(trouble)));
  byId("where-error").textContent = trouble ? `${trouble.message} ${trouble.hint}` : ""; // told as an alert by the page
}

function show(search) {
  const number = filtered(search) + (minFit(search) ? 1 : 0);
  byId("clear").hidden = !number;
  byId("filters-number").textContent = number ? ` (${number})` : "";
  byId("hybrid").checked = search.hybrid;
  if (document.activeElement !== byId("where")) byId("where").value = search.where;
  for (const input of byId("choices").querySelectorAll("input[type=checkbox]")) {
    input.checked = Boolean(search.picks[input.name]?.includes(input.value));
    if (input.checked) input.closest("label").classList.remove("further");
  }
  for (const input of byId("choices").querySelectorAll("input[data-end]")) {
    if (document.activeElement !== input) input.value = search.ranges[input.name]?.[Number(input.dataset.end)] ?? "";
  }
}

function ticks(filter, whole) {
  const labels = filter.values.map(({ value, items }, place) =>
    el("label", { class: place < FIRST ? "tick" : "tick further" },
      el("input", { type: "checkbox", name: filter.column, value: String(value), change: pick }),
      el("span", { dir: "auto" }, String(value)),
      whole ? el("span", { class: "items" }, formatted(items), unseen(" items")) : null));
  const all = (event) => {
    event.currentTarget.parentElement.classList.add("whole");
    labels[FIRST].querySelector("input").focus();
    event.currentTarget.remove();
  };
  const more = el("button", { type: "button", class: "quiet", click: all },
    `All ${labels.length}`, unseen(` values of ${filter.column}`));
  const every = filter.kind === "list" ? el("span", { class: "soft" }, " · all of these") : null;
  return el("fieldset", { class: "filter" },
    el("legend", {}, filter.column, every), ...labels, labels.length > FIRST ? more : null);
}

function pick({ target: { name, value, checked } }) {
  const { [name]: had = [], ...others } = current().picks;
  const values = checked ? [...had, value] : had.filter((one) => one !== value);
  change({ picks: values.length ? { ...others, [name]: values } : others });
}

function range(filter) {
  const type = filter.kind === "number" ? "number" : "date";
  const column = filter.column;
  const changed = debounced(TYPING, ({ target }) => setEnd(column, Number(target.dataset.end), target.value));
  const input = (end, word, value) => el("label", {}, el("span", { class: "soft" }, word), unseen(` ${column}`),
    el("input", { type, step: "any", name: column, "data-end": end, placeholder: String(value), input: changed }));
  return el("fieldset", { class: "filter" }, el("legend", {}, column),
    el("div", { class: "range" }, input(0, "from", filter.least), input(1, "to", filter.most)));
}

function setEnd(column, end, value) {
  const { [column]: had = ["", ""], ...others } = current().ranges;
  const ends = had.map((one, place) => (place === end ? value : one));
  change({ ranges: ends.some(Boolean) ? { ...others, [column]: ends } : others }, { typing: true });
}
