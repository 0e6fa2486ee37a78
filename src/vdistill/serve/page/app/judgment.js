// A judgment on the page: the training query, what was chosen over what, by whom, and for or against the result. Its
// words are those of `vdistill query --why`.

import { titleOf } from "./actions.js";
import { el, unseen } from "./dom.js";
import { percent } from "./fit.js";
import { plate } from "./thumbnails.js";

const NAMED = 2; // that something was chosen over, by name; the others are counted
const SIDE = 160; // px

/** A judgment as the API has it.  items: of what was shown, by id; without those that are gone.  id: of the result. */
export function judgment(reason, items, id) {
  const shown = [reason.chosen, ...reason.over];
  const name = (one) => (items.has(one) ? titleOf(items.get(one)) : one);
  const gone = [...new Set(shown.filter((one) => !items.has(one)))];
  const sign = reason.verdict === "for" ? "+" : "−";
  return el("li", { class: `reason ${reason.verdict}` },
    el("p", { class: "asked", dir: "auto" }, `“${reason.query}”`),
    el("ul", { class: "shown", "aria-label": "What was shown, the best first" },
      ...shown.map((one, place) => (items.has(one) ? view(items.get(one), place, reason) : null))),
    gone.length ? el("p", { class: "gone" }, `No longer in the index: ${gone.join(", ")}`) : null,
    el("p", {}, el("span", { class: "verdict" }, el("span", { "aria-hidden": "true" }, `${sign} `),
      unseen(`${reason.verdict} it: `), verdict(reason, shown.length)), ": ", detail(reason, name, id).replaceAll(" %", "\u00a0%")),
    el("p", {}, `query similarity ${reason.similarity.toFixed(2)} · `, ...source(reason)));
}

/** Who judged, and on which day (UTC). A long name breaks at its signs. */
function source({ teacher, asked_at: at }) {
  const parts = teacher.split(/(?<=[:@/])/);
  return [...parts.flatMap((part, place) => (place ? [el("wbr"), part] : [part])), ", ",
    el("time", { datetime: at }, at.slice(0, 10))];
}

function view(item, place, { place: like }) {
  const roles = [place === 0 && "chosen", place === like - 1 && "like"].filter(Boolean);
  const told = { chosen: ", chosen", like: ", which the result is like" };
  return el("li", { class: roles.join(" "), title: titleOf(item) }, plate(item, SIDE),
    unseen(titleOf(item) + roles.map((role) => told[role]).join("")));
}

/** What became of the image that the result is like. */
function verdict(reason, number) {
  if (reason.verdict === "against") return "shown, not chosen";
  return reason.place === 1 ? "chosen" : `liked, ${ordinal(reason.place)} of ${number}`;
}

/** Which image that was, and what was chosen, over what. */
function detail(reason, name, id) {
  const alike = reason.item === id ? "this image" : `${reason.item_similarity.toFixed(2)} like it`;
  const likely = (probability, start, end) => (probability === null ? "" : start + percent(probability) + end);
  const about = `${name(reason.item)} (${alike}${likely(reason.probability, ", ", "")})`;
  if (reason.place > 1) return `${about}; ${name(reason.chosen)}${likely(reason.chosen_probability, " (", ")")} was chosen`;
  return reason.over.length ? `${about} over ${listed(reason.over.map(name))}` : about;
}

function listed(names) {
  const more = names.length - NAMED;
  return more > 0 ? `${names.slice(0, NAMED).join(", ")} and ${more} more` : names.join(" and ");
}

function ordinal(place) {
  const teen = place % 100 > 10 && place % 100 < 14;
  return `${place}${teen ? "th" : { 1: "st", 2: "nd", 3: "rd" }[place % 10] ?? "th"}`;
}
