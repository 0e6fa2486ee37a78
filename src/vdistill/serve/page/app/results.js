// The results: one list, or those of two models side by side. Cards that stay are moved, not made again.

import { card, update } from "./card.js";
import { byId, el } from "./dom.js";
import { moves, summary } from "./moves.js";
import { placeThumbs } from "./votes.js";

/** Show answers by model; with two of them what moved. votes: the list that thumbs are given in, or null.  moved: by
 * model and id, what moved within one answer. */
export function showAnswers(answers, votes, moved = {}) {
  const models = Object.keys(answers);
  if (models.length > 1) moved = moves(answers);
  frame(models);
  for (const model of models) {
    const results = answers[model].results.map((result) => ({ ...result, model }));
    fill(list(model), results, moved[model], votes);
  }
  if (models.length > 1) byId("summary").textContent = summary(answers);
}

/** Show items that nobody has searched for. */
export function showItems(items) {
  frame(["items"]);
  fill(list("items"), items);
}

export function showNothing() {
  frame([]);
}

/** Grey cards, while the first answer is waited for. */
export function showWaiting(count) {
  frame(["waiting"]);
  const blank = () => el("li", { class: "card blank", "aria-hidden": "true" }, el("span", { class: "plate" }),
    el("span", { class: "words" }, el("span", { class: "bone" }), el("span", { class: "bone short" })));
  list("waiting").replaceChildren(...Array.from({ length: count }, blank));
}

/** All cards, in the order in which one sees them. */
export const cards = () => [...document.querySelectorAll("#results .card:not(.blank)")];

const list = (model) => byId("results").querySelector(`section[data-model="${CSS.escape(model)}"] ol`);

function frame(models) {
  const room = byId("results");
  const wanted = models.join(" ");
  if (room.dataset.models === wanted) return;
  room.dataset.models = wanted;
  room.classList.toggle("two", models.length > 1);
  const sections = models.map((model) => el("section", { "data-model": model },
    models.length > 1 ? el("h2", { id: `of-${model}` }, model) : null,
    el("ol", { "aria-label": models.length > 1 ? `Results of the ${model}` : "Results" })));
  room.replaceChildren(...(models.length > 1 ? [el("p", { id: "summary" })] : []), ...sections);
}

function fill(ol, results, moved, votes = null) {
  const known = new Map([...ol.children].map((one) => [one.dataset.id, one]));
  results.forEach((result, place) => {
    const made = known.get(result.id) ?? card(result, place);
    update(made, result, moved?.get(result.id));
    placeThumbs(made, result, votes);
    if (ol.children[place] !== made) ol.insertBefore(made, ol.children[place] ?? null);
  });
  while (ol.children.length > results.length) ol.lastElementChild.remove();
}
