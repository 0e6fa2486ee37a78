// The search box: words as they are typed, and what is looked for beside them, an image or an item.

import { titleOf } from "./actions.js";
import { ask, itemPath } from "./api.js";
import { byId, el, icon } from "./dom.js";
import { picture } from "./pictures.js";
import { change, current, onChange, settle } from "./state.js";
import { plate } from "./thumbnails.js";

let shown = ""; // what stands beside the words

export function watchBox() {
  const words = byId("words");
  const typed = (event) => {
    if (!event.isComposing && words.value !== current().words) change({ words: words.value }, { typing: true });
  };
  words.addEventListener("input", typed);
  words.addEventListener("compositionend", () => typed({ isComposing: false }));
  words.addEventListener("blur", settle);
  byId("search").addEventListener("submit", (event) => {
    event.preventDefault();
    typed({ isComposing: false });
    settle();
  });
  onChange(show);
  show(current());
}

function show(search) {
  const words = byId("words");
  if (words.value !== search.words) words.value = search.words;
  const wanted = search.image ? `image ${search.image}` : search.like && `item ${search.like}`;
  words.placeholder = wanted ? "Add words" : "Search the catalog";
  if (wanted === shown) return;
  shown = wanted;
  byId("with").replaceChildren();
  if (search.image) showImage(search.image);
  else if (search.like) showItem(search.like);
}

function showImage(number) {
  const image = picture(number);
  const view = el("img", { alt: "", width: 28, height: 28 });
  if (image) {
    view.src = URL.createObjectURL(image);
    view.addEventListener("load", () => URL.revokeObjectURL(view.src), { once: true });
    view.addEventListener("error", () => view.remove(), { once: true });
  }
  token(image ? view : null, "your image", { image: 0 });
}

async function showItem(id) {
  token(null, id, { like: "" });
  try {
    const item = await ask(itemPath("items", id));
    if (shown === `item ${id}`) token(plate(item, 160, { eager: true }), `like ${titleOf(item)}`, { like: "" });
  } catch {
    // the search for it says what is wrong
  }
}

function token(view, text, without) {
  const off = () => {
    change(without);
    byId("words").focus();
  };
  byId("with").replaceChildren(el("span", { class: "token" },
    view, el("span", { class: "name", dir: "auto", title: text }, text),
    el("button", { type: "button", "aria-label": `Search without ${text}`, click: off }, icon("close"))));
}
