// The details of an item: a dialog with its image, all of its metadata, and its place in the answer.

import { ACTIONS, titleOf } from "./actions.js";
import { ask, itemPath } from "./api.js";
import { byId, el, formatted, icon } from "./dom.js";
import { Latest } from "./latest.js";
import { cards } from "./results.js";
import { canGoBack, change, current, onChange } from "./state.js";
import { plate } from "./thumbnails.js";
import { dropWhy, offerWhy, whyParts } from "./why.js";

const SIDE = 640; // px
const latest = new Latest();

/** Open the dialog whenever the address names an item. refused: told of a token that is missing. */
export function watchDetails(refused) {
  const dialog = byId("details");
  dialog.addEventListener("cancel", (event) => {
    event.preventDefault();
    close();
  });
  dialog.addEventListener("close", () => current().item && close()); // a browser may close it without asking
  dialog.addEventListener("click", (event) => event.target === dialog && close());
  dialog.addEventListener("keydown", (event) => {
    if (event.target.closest("input, textarea")) return;
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step && go(step)) event.preventDefault();
  });
  onChange((search, before) => search.item !== before.item && show(search, refused, before.item));
  show(current(), refused);
}

async function show(search, refused, left = "") {
  const dialog = byId("details");
  if (!search.item) {
    latest.drop();
    dropWhy();
    if (dialog.open) dialog.close();
    if (document.activeElement.closest(".card")?.dataset.id === left) return;
    cards().find((one) => one.dataset.id === left)?.querySelector("a.open").focus(); // where one was led by the arrows
    return;
  }
  const id = search.item;
  const stays = dialog.contains(document.activeElement) ? document.activeElement.dataset.stays : "close";
  const seen = cards().find((one) => one.dataset.id === id);
  const model = seen?.closest("section").dataset.model ?? search.show;
  const path = itemPath("items", id) + (["student", "backbone"].includes(model) ? `?model=${model}` : "");
  try {
    const item = await latest.run((signal) => ask(path, { signal }));
    if (item) fill(dialog, item, refused);
  } catch (trouble) {
    if (trouble.status === 401) return void refused(trouble, () => show(search, refused));
    fillTrouble(dialog, trouble, () => show(current(), refused));
  }
  if (current().item !== id) return;
  if (!dialog.open) dialog.showModal();
  const same = dialog.querySelector(`[data-stays=${stays || "close"}]:not([disabled])`);
  (same ?? dialog.querySelector("[data-stays=close]")).focus();
}

/** Say where the item stands, once the results are there. */
export function placeDetails() {
  const dialog = byId("details");
  if (!dialog.open) return;
  for (const [name, by] of [["before", -1], ["after", 1]]) {
    const step = dialog.querySelector(`[data-stays=${name}]`);
    if (step) step.disabled = !neighbour(by);
  }
  dialog.querySelector("#details-place")?.replaceChildren(place(current().item));
  offerWhy(current().item);
}

function close() {
  if (canGoBack()) history.back();
  else change({ item: "" }, { replace: true });
}

function neighbour(step) {
  const ids = [...new Set(cards().map((one) => one.dataset.id))];
  const place = ids.indexOf(current().item);
  return place < 0 ? undefined : ids[place + step];
}

function go(step) {
  const id = neighbour(step);
  if (id) change({ item: id }, { replace: true });
  return Boolean(id);
}

function fill(dialog, item, refused) {
  const why = whyParts(item.id, refused);
  const { title: _, name: __, description, ...metadata } = item.metadata;
  dialog.replaceChildren(
    bar(),
    el("div", { class: "two" },
      plate(item, SIDE, { eager: true }),
      el("div", { class: "told" },
        el("h2", { id: "details-title", dir: "auto" }, titleOf(item)),
        el("p", { class: "soft", id: "details-place" }, place(item.id)),
        description ? el("p", { class: "description", dir: "auto" }, String(description)) : null,
        el("dl", { class: "pairs" }, ...Object.entries(metadata).map(([key, value]) => pair(key, said(value))),
          item.images > 1 ? pair("product", `${item.product}, ${formatted(item.images)} images`) : null,
          pair("id", item.id)),
        el("div", { class: "actions" }, ...ACTIONS.map((make) => make(item)), why.button, copyButton()))),
    why.room);
}

function fillTrouble(dialog, trouble, again) {
  const button = trouble.passing ? el("button", { type: "button", class: "plain", click: again }, "Try again") : null;
  dialog.replaceChildren(bar(), el("div", { class: "told", role: "alert" },
    el("h2", { id: "details-title" }, trouble.message), trouble.hint ? el("p", {}, trouble.hint) : null, button));
}

function bar() {
  const step = (name, by, text) => el("button", { type: "button", class: "icon", "aria-label": text, title: text,
    "data-stays": name, disabled: !neighbour(by), click: () => go(by) }, icon(name));
  return el("div", { class: "head" }, step("before", -1, "Previous result"), step("after", 1, "Next result"),
    el("button", { type: "button", class: "icon", "aria-label": "Close", title: "Close (Esc)", "data-stays": "close",
      click: close }, icon("close")));
}

/** Where it stands in the answer, or in those of both models. */
function place(id) {
  const found = cards().filter((one) => one.dataset.id === id && one.querySelector(".score").lastChild);
  const two = byId("results").classList.contains("two");
  const line = (one) => {
    const [rank, score] = [one.querySelector(".rank").textContent, one.querySelector(".score").lastChild.textContent];
    const fit = one.querySelector(".fit").firstChild?.textContent;
    const whose = two ? ` with the ${one.closest("section").dataset.model}` : "";
    return `${rank}${whose} · score ${score}${fit ? ` · ${fit}` : ""}`;
  };
  return found.map(line).join("\n");
}

const pair = (name, value) => el("div", {}, el("dt", {}, name), el("dd", { dir: "auto" }, value));

function said(value) {
  if (Array.isArray(value) && value.every((one) => typeof one !== "object")) return value.join(", ");
  return value !== null && typeof value === "object" ? JSON.stringify(value) : String(value ?? "–");
}

/** Only where the browser lets a page write to the clipboard: on this machine, and over HTTPS. */
function copyButton() {
  if (!navigator.clipboard) return null;
  const copy = async ({ currentTarget }) => {
    await navigator.clipboard.writeText(location.href);
    currentTarget.lastChild.textContent = "Link copied";
  };
  return el("button", { type: "button", class: "action", click: copy },
    icon("link"), el("span", { role: "status" }, "Copy link"));
}
