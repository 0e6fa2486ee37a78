// Why a result is there: the judgments that taught the student about it, where the server names them. They are asked
// for by a press alone; while the server has to prepare itself, they are asked for again.

import { asks } from "./address.js";
import { ask, itemPath } from "./api.js";
import { whyRequest } from "./asking.js";
import { el, icon } from "./dom.js";
import { judgment } from "./judgment.js";
import { Latest } from "./latest.js";
import { picture } from "./pictures.js";
import { cards } from "./results.js";
import { current } from "./state.js";

const LATER = 2; // s between two tries
const FOUND = "The judgments that taught the student most about this result, the strongest first.";
const NONE = "Nothing like it was judged for a query near this one.";
const latest = new Latest();
let told = false; // whether the server tells
let retry; // of the next try

/** Tell whether the server names judgments. */
export const knowWhy = (on) => (told = on);

/** The button of an item, and the room that it opens. refused: told of a token that is missing. */
export function whyParts(id, refused) {
  dropWhy();
  const said = el("p", { class: "soft", role: "status" });
  const found = el("div");
  const room = el("section", { id: "why", "aria-labelledby": "why-title", hidden: true },
    el("h3", { id: "why-title" }, "What taught it"), said, found);
  const load = () => answer(id, { said, found, room, refused, load });
  const button = el("button", { type: "button", class: "action", id: "why-button", "aria-controls": "why",
    "aria-expanded": "false", hidden: !offered(id), click: () => {
      room.hidden = !room.hidden;
      button.setAttribute("aria-expanded", String(!room.hidden));
      if (room.hidden) return dropWhy();
      if (!found.childElementCount) load();
      room.scrollIntoView({ block: "nearest" });
    } }, icon("help"), "Why this?");
  return { button, room };
}

/** Offer it, or not, once the results are there. */
export function offerWhy(id) {
  const button = document.getElementById("why-button");
  if (button) button.hidden = !offered(id);
}

/** Nobody waits for it any more. */
export function dropWhy() {
  clearTimeout(retry);
  latest.drop();
}

async function answer(id, { said, found, room, refused, load }) {
  const { path, body } = requestOf(id);
  said.textContent ||= "Looking for the judgments that taught the student…";
  room.setAttribute("aria-busy", "true");
  try {
    const document = await latest.run((signal) => ask(path, { body, signal }));
    if (!document) return;
    const items = new Map(document.items.map((item) => [item.id, item]));
    said.textContent = document.why.length ? FOUND : NONE;
    found.replaceChildren(el("ol", {}, ...document.why.map((reason) => judgment(reason, items, id))));
    room.scrollIntoView({ block: "nearest" });
  } catch (trouble) {
    if (trouble.status === undefined) throw trouble; // a mistake of ours
    showTrouble(trouble, { said, found, refused, load });
  }
  room.setAttribute("aria-busy", "false");
}

function showTrouble(trouble, { said, found, refused, load }) {
  said.textContent = "";
  if (trouble.status === 401) return refused(trouble, load);
  if (trouble.passing) {
    said.textContent = `${trouble.message} ${trouble.hint}`;
    retry = setTimeout(load, (trouble.wait || LATER) * 1000);
    return;
  }
  const again = () => {
    found.replaceChildren();
    load();
  };
  found.replaceChildren(el("div", { class: "trouble", role: "alert" }, el("p", { class: "what" }, trouble.message),
    trouble.hint ? el("p", {}, trouble.hint) : null,
    el("button", { type: "button", class: "plain", click: again }, "Try again")));
}

/** The backbone was taught by nobody, and without a search there is nothing that an item could be an answer to. */
function offered(id) {
  const models = cards().filter((one) => one.dataset.id === id).map((one) => one.closest("section").dataset.model);
  const students = models.length ? models.includes("student") : current().show !== "backbone";
  return told && students && Boolean(requestOf(id));
}

function requestOf(id) {
  const search = current();
  const image = search.image ? picture(search.image) : null;
  return asks(search) && image !== undefined ? whyRequest(search, itemPath("why", id), image) : null;
}
