// The keyboard: single keys, and arrows among the results.

import { findLike } from "./actions.js";
import { byId } from "./dom.js";
import { unfold } from "./filters.js";
import { cards } from "./results.js";
import { change, current } from "./state.js";

const OFF = "vdistill.single-keys";
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export function watchKeys() {
  addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (document.querySelector("dialog[open]")) return;
    if ((!typing(event.target) && single(event.key)) || otherKey(event)) event.preventDefault();
  });
  byId("help").addEventListener("click", help);
  const dialog = byId("help-dialog");
  dialog.querySelector("[data-close]").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  const keys = byId("single-keys");
  keys.checked = singleKeys();
  keys.addEventListener("change", () => remember(keys.checked));
}

function help() {
  byId("help-dialog").showModal();
}

/** Keys that are one letter: they can be turned off, for those who speak to their computer. */
function single(key) {
  if (!singleKeys()) return false;
  if (key === "/") focusBox();
  else if (key === "?") help();
  else if (key === "m" && here()) findLike(here().dataset.id);
  else if (key === "c" && !byId("models").hidden) change({ show: current().show === "both" ? "" : "both" });
  else return false;
  return true;
}

function otherKey(event) {
  const box = event.target === byId("words");
  if (event.key === "Escape") return escape(box);
  if (box) return event.key === "ArrowDown" && focus(cards()[0]);
  if (!here() || !event.target.matches("a.open")) return false;
  if (event.key === "Home") return focus(cards()[0]);
  if (event.key === "End") return focus(cards().at(-1));
  return event.key in ARROWS && step(...ARROWS[event.key]);
}

function escape(box) {
  if (document.documentElement.classList.contains("unfolded")) {
    unfold(false);
    byId("filters-button").focus();
  } else if (box && current().words) change({ words: "" }, { typing: true });
  else if (box && (current().like || current().image)) change({ like: "", image: 0 });
  else focusBox();
  return true;
}

/** To the next card in a direction; upwards from the first row to the box. */
function step(x, y) {
  const all = cards();
  const from = here();
  const two = byId("results").classList.contains("two");
  if (x && !two) return focus(all[all.indexOf(from) + x]);
  const target = nearest(all, from, x, y);
  if (!target && y < 0) focusBox();
  return focus(target) || y < 0;
}

function nearest(all, from, x, y) {
  const centre = (one) => {
    const box = one.getBoundingClientRect();
    return [box.left + box.width / 2, box.top + Math.min(box.height, box.width) / 2];
  };
  const [left, top] = centre(from);
  let best;
  let least = Infinity;
  for (const one of all) {
    const [dx, dy] = [centre(one)[0] - left, centre(one)[1] - top];
    const along = dx * x + dy * y;
    if (along < 8) continue; // px
    const distance = along + 3 * Math.abs(x ? dy : dx);
    if (distance < least) [best, least] = [one, distance];
  }
  return best;
}

function focus(one) {
  one?.querySelector("a.open").focus();
  return Boolean(one);
}

function focusBox() {
  byId("words").focus();
  byId("words").select();
}

const here = () => document.activeElement?.closest("#results .card");
const typing = (target) => target.closest("input:not([type=checkbox], [type=radio])");

function singleKeys() {
  try {
    return localStorage.getItem(OFF) !== "off";
  } catch {
    return byId("single-keys").checked;
  }
}

function remember(on) {
  try {
    if (on) localStorage.removeItem(OFF);
    else localStorage.setItem(OFF, "off");
  } catch {
    // storage is turned off: the tick itself says it
  }
}
