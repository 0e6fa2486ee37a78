// A result on the page: its image, its words, and the buttons under it.

import { ACTIONS, titleOf } from "./actions.js";
import { written } from "./address.js";
import { el, formatted, unseen } from "./dom.js";
import { percent } from "./fit.js";
import { change, current } from "./state.js";
import { plate } from "./thumbnails.js";

const NAMES = new Set(["title", "name", "description", "group", "item_id", "sku"]);
const MOST_LINES = 2;
const THUMBNAIL = 320; // px

/** The card of a result. place: its number among the cards; the first ones are loaded at once. */
export function card(result, place) {
  const link = el("a", { class: "open", click: open },
    plate(result, THUMBNAIL, { eager: place < 8 }),
    el("span", { class: "words" },
      el("span", { class: "facts" }, el("span", { class: "rank" }), el("span", { class: "moved" }),
        el("span", { class: "numbers" }, el("span", { class: "score" }), el("span", { class: "fit" }))),
      el("span", { class: "title", dir: "auto" }, titleOf(result)),
      ...lines(result).map((line) => el("span", { class: "line", dir: "auto" }, line))));
  const actions = el("div", { class: "actions" }, ...ACTIONS.map((make) => make(result)));
  const made = el("li", { class: "card", "data-id": result.id, "data-same": sameAs(result) }, link, actions);
  for (const kind of ["pointerenter", "focusin"]) made.addEventListener(kind, () => light(made, true));
  for (const kind of ["pointerleave", "focusout"]) made.addEventListener(kind, () => light(made, false));
  return made;
}

/** What may change while the card stays: its rank, its score and fit, and how it moved ({shown, told, kind}). */
export function update(made, result, move) {
  made.querySelector("a.open").href = written({ ...current(), item: result.id }) || "/";
  made.querySelector(".rank").replaceChildren(...(result.rank ? [`#${result.rank}`] : []));
  made.querySelector(".score").replaceChildren(
    ...(result.score === undefined ? [] : [unseen("score "), result.score.toFixed(3)]));
  const known = typeof result.fit === "number";
  made.querySelector(".fit").replaceChildren(
    ...(known ? [`fits ${percent(result.fit)}`, unseen(", the probability that the teacher would accept it")] : []));
  const moved = made.querySelector(".moved");
  moved.className = `moved ${move?.kind ?? ""}`;
  moved.replaceChildren(...(move ? [el("span", { "aria-hidden": "true" }, move.shown), unseen(move.told)] : []));
}

/** By what a product, or an item without one, is known in the answers of two models. */
export const sameAs = (result) => (result.product ? `product ${result.product}` : `item ${result.id}`);

function lines(result) {
  const product = result.images > 1 ? [`${formatted(result.images)} images`] : [];
  const others = Object.entries(result.metadata)
    .filter(([name, value]) => !NAMES.has(name) && ["string", "number"].includes(typeof value) && value !== "")
    .map(([name, value]) => `${name} ${value}`);
  return [...product, ...others].slice(0, MOST_LINES);
}

function open(event) {
  if (event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  change({ item: event.currentTarget.closest(".card").dataset.id });
}

/** Show where the same thing stands in the other model's answer. */
function light(made, on) {
  for (const other of document.querySelectorAll("#results.two .card")) {
    other.classList.toggle("same", on && other !== made && other.dataset.same === made.dataset.same);
  }
}
