// The teacher's order of a search's first results, where the server offers it. Each asking may cost, so it takes a
// press: nothing is asked while somebody types, and no address asks. What was said is kept while the page is open.

import { ask, sentence } from "./api.js";
import { rerankBody } from "./asking.js";
import { byId, formatted } from "./dom.js";
import { Latest } from "./latest.js";
import { current, onChange } from "./state.js";
import { parts } from "./words.js";

const KEPT = 20; // orders
const latest = new Latest();
const orders = new Map(); // by search: {results, reranked, calls, cost_usd, notice, on}
let asking = ""; // the search about which the teacher is asked now
let offered = 0; // how many results the teacher would look at; 0 where it cannot be asked

/** again: shows the answer anew.  refused: told what is wrong, and how to try once more.  where: gives the filters. */
export function watchTeacher({ again, refused, where }) {
  byId("rerank").addEventListener("click", () => {
    const order = orders.get(nameOf(current()));
    if (!order?.reranked) return void askNow();
    order.on = !order.on;
    again();
  });
  byId("teacher-again").addEventListener("click", askNow);
  onChange((search) => asking && asking !== nameOf(search) && stop());

  async function askNow() {
    if (asking || !offered) return;
    const wanted = current();
    start(wanted);
    try {
      const body = rerankBody(wanted, where(wanted), offered);
      const found = await latest.run((signal) => ask("/v1/search", { body, signal }));
      if (!found) return;
      remember(nameOf(wanted), found);
      stop();
      again();
    } catch (trouble) {
      stop();
      if (trouble.status === undefined) throw trouble; // a mistake of ours
      refused(trouble, askNow);
    }
  }
}

/** Forget what was said: the index may be another one. */
export const forgetOrders = () => orders.clear();

/** The answers in the teacher's order, where that is on, and how each result moved by model; else as they are. */
export function inOrder(answers, wanted) {
  const order = orders.get(nameOf(wanted));
  const [[model, plain], ...others] = Object.entries(answers);
  if (!order?.on || others.length) return { answers };
  const was = new Map(order.results.map((result) => [result.id, result.student_rank]));
  const behind = plain.results.filter((result) => !was.has(result.id));
  const results = [...order.results, ...behind].slice(0, wanted.k).map((one, place) => ({ ...one, rank: place + 1 }));
  const moved = results.filter(({ id, rank }) => (was.get(id) ?? rank) !== rank);
  const moves = moved.map(({ id, rank }) => [id, move(rank, was.get(id))]);
  return { answers: { [model]: { ...plain, results } }, moved: { [model]: new Map(moves) } };
}

/** Offer the teacher's order of these answers, and say whose order they are in. depth: of the server's teacher. */
export function offerTeacher(answers, wanted, depth) {
  const [first, ...others] = Object.values(answers);
  const number = first.results.length;
  const suits = !others.length && number > 1 && !wanted.image && !wanted.like && parts(wanted.words).length === 1;
  offered = suits ? Math.min(depth, number < wanted.k ? number : depth) : 0;
  showSaid(offered ? orders.get(nameOf(wanted)) : undefined);
}

/** Where there are no results whose order could be asked for. */
export function offerNoTeacher() {
  offered = 0;
  showSaid();
}

function start(wanted) {
  asking = nameOf(wanted);
  showAsking(true);
  byId("told").textContent = `The teacher looks at the first ${formatted(offered)} results.`;
}

function stop() {
  asking = "";
  latest.drop();
  showAsking(false);
}

function remember(name, found) {
  orders.delete(name);
  orders.set(name, { ...found, on: found.reranked > 0 });
  if (orders.size > KEPT) orders.delete(orders.keys().next().value);
}

const move = (is, was) => ({
  kind: is < was ? "up" : "down", shown: `was ${was}`, told: ` was number ${was} before the teacher looked`,
});

function showAsking(on) {
  document.documentElement.classList.toggle("asking", on);
  byId("rerank").textContent = on ? "Asking the teacher…" : "Re-rank with the teacher";
  byId("rerank").setAttribute("aria-disabled", String(on)); // it keeps the focus
}

function showSaid(order) {
  byId("rerank").hidden = !offered;
  byId("rerank").setAttribute("aria-pressed", String(Boolean(order?.on)));
  byId("teacher-said").textContent = order?.on || (order && !order.reranked) ? said(order) : "";
  byId("teacher-again").hidden = !order?.notice;
  byId("teacher").hidden = !byId("teacher-said").textContent;
}

function said({ on, reranked, calls, cost_usd: cost, notice }) {
  const number = calls === 1 ? " · 1 call" : ` · ${formatted(calls)} calls`;
  const none = notice ? "" : " · no call: it had been asked before";
  const spent = calls ? `${number}${cost ? `, $${cost.toPrecision(2)}` : ""}` : none;
  const what = on ? `The teacher has ordered ${formatted(reranked)} results` : "Not in the teacher's order";
  return `${what}${spent}. ${notice ? sentence(notice) : ""}`.trim();
}

const nameOf = (search) => JSON.stringify({ ...search, k: 0, item: "" });
