// The buttons under a result, in this order. Each is made by a function of the result, as the API gives it; null for
// a result that it does not suit. Add a function here, and it has its place on every card.

import { byId, el, icon, unseen } from "./dom.js";
import { change } from "./state.js";

export const ACTIONS = [moreLikeThis];

export function titleOf(result) {
  const { title, name } = result.metadata;
  return String(title || name || result.id);
}

/** Search for what resembles an item. */
export function findLike(id) {
  change({ like: id, words: "", image: 0, item: "" });
  byId("main").focus({ preventScroll: true }); // the button may be gone in a moment
  scrollTo(0, 0);
}

function moreLikeThis(result) {
  return el("button", { type: "button", class: "action", "data-like": result.id, click: () => findLike(result.id) },
    icon("like"), "More like this", unseen(`: ${titleOf(result)}`));
}
