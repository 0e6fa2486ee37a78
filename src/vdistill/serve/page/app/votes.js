// Where thumbs stand on the page: under each result of one model's answer to plain words, if the server takes them.

import { titleOf } from "./actions.js";
import { token } from "./api.js";
import { byId } from "./dom.js";
import { listOf, thumbs } from "./feedback.js";
import { parts } from "./words.js";

const MOST = 50; // lists whose thumbs are remembered while the page is open
const lists = new Map();
const headers = () => (token() ? { Authorization: `Bearer ${token()}` } : {});
const say = (line) => (byId("told").textContent = line);

/** The list that thumbs are given in; null where they would say nothing of a query. */
export function votedOn(wanted, found, taken) {
  const words = parts(wanted.words);
  const answers = Object.values(found);
  if (!taken || words.length !== 1 || wanted.image || wanted.like || answers.length !== 1) return null;
  const ids = answers[0].results.map((result) => result.id);
  const name = JSON.stringify([words[0], ids]);
  if (!lists.has(name)) lists.set(name, listOf(words[0], ids));
  if (lists.size > MOST) lists.delete(lists.keys().next().value);
  return lists.get(name);
}

/** Put the thumbs of a list under a card, which may have had those of another one; none without a list. */
export function placeThumbs(card, result, list) {
  const before = card.querySelector(".thumbs");
  if (before?.list === list) return;
  before?.remove();
  if (!list) return;
  const made = thumbs(list, result.id, { name: titleOf(result), headers, say });
  made.list = list;
  card.querySelector(".actions").append(made);
}
