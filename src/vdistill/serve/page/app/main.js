// The page: what is looked for becomes a request, and its answer results.

import { asks, filtered, FIRST_K, START } from "./address.js";
import { ask } from "./api.js";
import { answers, request } from "./asking.js";
import { watchBox } from "./box.js";
import { showChips, watchChips } from "./chips.js";
import { conditionTrouble, expression } from "./conditions.js";
import { placeDetails, watchDetails } from "./details.js";
import { byId, el } from "./dom.js";
import { commonValues, kinds, loadFilters, showConditionTrouble, watchFilters } from "./filters.js";
import { knowFits, minFit, unfit, watchFit } from "./fit.js";
import { watchKeys } from "./keys.js";
import { Latest } from "./latest.js";
import { countOf, showBusy, showCount, showNone, showNoNote, showStart, showTrouble, showUnfit } from "./notes.js";
import { picture, takePictures } from "./pictures.js";
import { showAnswers, showItems, showNothing, showWaiting } from "./results.js";
import { change, current, onChange } from "./state.js";
import { forgetOrders, inOrder, offerNoTeacher, offerTeacher, watchTeacher } from "./teacher.js";
import { retryImages } from "./thumbnails.js";
import { askForToken, watchToken } from "./token.js";
import { votedOn } from "./votes.js";
import { knowWhy } from "./why.js";

const TYPING = 60; // ms between the last letter and the search
const SLOW = 150; // ms, after which one sees that an answer is waited for
const PATIENCE = 500; // ms that the first page waits for words to begin with, so that nothing moves
const LATER = 2; // s between two tries, where the server is gone

const latest = new Latest();
let info; // what is served; undefined until the server has told it
let filters; // the promise of its filters
let timer; // of the next search
let retry; // of the next try
let last; // {found, wanted}: what is shown, before a teacher's order
let moreFrom = 0; // how many cards there were when more were asked for

function search(soon, scroll = null) {
  clearTimeout(timer);
  clearTimeout(retry);
  timer = setTimeout(answer, soon, scroll);
}

async function answer(scroll) {
  const wanted = current();
  const slow = setTimeout(showSlow, SLOW);
  try {
    const found = await latest.run((signal) => (asks(wanted) ? searched(wanted, signal) : begun(signal)));
    if (!found) return;
    showFound(found, wanted);
    placeDetails();
    offered(); // only now: the first results do not wait for it
    restore(scroll);
  } catch (trouble) {
    showRefusal(trouble, wanted);
  } finally {
    clearTimeout(slow);
    if (!latest.busy) showBusy(false);
  }
}

async function searched(wanted, signal) {
  const told = known(signal);
  told.catch(() => {}); // awaited below
  if (wanted.minFit) await told; // whether there is a fit
  if (Object.keys(wanted.picks).length + Object.keys(wanted.ranges).length) {
    await told;
    await offered(); // how a column is compared
  }
  const image = wanted.image ? picture(wanted.image) : null;
  if (wanted.image && !image) {
    await told;
    return { lost: true };
  }
  const asked = request(wanted, expression(wanted, kinds()), image);
  if (!asked) return begun(signal); // signs without words
  const [document] = await Promise.all([ask(asked.path, { body: asked.body, signal }), told]);
  return { answers: answers(wanted, document) };
}

/** Something to look at, where nothing is looked for yet. */
async function begun(signal) {
  const asked = ask("/v1/items?k=12", { signal });
  asked.catch(() => {}); // awaited below
  await known(signal);
  const patience = new Promise((resolve) => setTimeout(resolve, PATIENCE));
  const [{ items }] = await Promise.all([asked, Promise.race([offered(), patience])]);
  return { items };
}

/** Ask once what is served. */
async function known(signal) {
  if (info) return;
  info = await ask("/v1/info", { signal });
  filters = undefined;
  forgetOrders();
  knowFits(info.fit, info.model);
  knowWhy(info.why);
  showChips(current());
  showModels();
}

/** Ask once what to filter by. Without it the page searches all the same. */
function offered() {
  filters ??= loadFilters(info.columns).then(
    () => asks(current()) || showStart(commonValues(), filtered(current())),
    () => (filters = undefined),
  );
  return filters;
}

function showFound(found, wanted) {
  last = { found, wanted };
  showTrouble(null);
  showConditionTrouble(null);
  retryImages();
  if (found.answers) showSearch(found.answers, wanted);
  else {
    showCount("");
    showUnfit("");
    offerNoTeacher();
    byId("more-button").hidden = true;
    if (found.lost) {
      showNothing();
      showNoNote();
      const hint = "Drop it once more: no address holds it.";
      showTrouble({ message: "The image of this search is no longer here.", hint });
    } else {
      showStart(commonValues(), filtered(wanted));
      showItems(found.items);
    }
  }
}

/** The same answer, in another order. */
function showAgain() {
  if (!info || !same(last.wanted, current())) return search(0);
  showFound(last.found, last.wanted);
  placeDetails();
}

function showSearch(plain, wanted) {
  offerTeacher(plain, wanted, info.rerank);
  const { answers: found, moved } = inOrder(plain, wanted);
  const { shown, told } = countOf(found, wanted, info.items);
  const most = Math.max(...Object.values(found).map((answer) => answer.results.length));
  showUnfit(unfit(found));
  const lines = [byId("unfit").textContent, byId("teacher-said").textContent, told].filter(Boolean);
  showCount(most ? shown : "", most ? lines.join(" ") : minFit(wanted) ? "Nothing fits well." : "Nothing found.");
  byId("more-button").hidden = most < wanted.k || wanted.k >= info.most_results;
  if (most) showNoNote();
  else showNone(filtered(wanted), minFit(wanted));
  if (most) showAnswers(found, votedOn(wanted, found, info.feedback), moved);
  else showNothing();
  if (moreFrom) document.querySelectorAll("#results a.open")[moreFrom]?.focus();
  moreFrom = 0;
}

function showRefusal(trouble, wanted) {
  if (trouble.status === undefined) throw trouble; // a mistake of ours
  if (trouble.status === 401) return askForToken(trouble, () => search(0));
  const wrong = conditionTrouble(trouble);
  showConditionTrouble(wanted.where.trim() ? wrong : null);
  if (wrong) showTrouble({ message: "The filters cannot be used.", hint: `${wrong.message} ${wrong.hint}` });
  else showTrouble({ message: trouble.message, hint: hintOf(trouble) }, () => search(0));
  showCount("");
  offerNoTeacher();
  if (trouble.passing) {
    info = undefined; // it may be another index when it is back
    retry = setTimeout(search, (trouble.wait || LATER) * 1000, 0);
  }
}

/** The teacher was not asked: the results are those of the search all the same. */
function showTeacherRefusal(trouble, again) {
  if (trouble.status === 401) askForToken(trouble, again);
  else showTrouble(trouble, again, false);
}

const same = (one, other) => JSON.stringify({ ...one, item: "" }) === JSON.stringify({ ...other, item: "" });

const hintOf = ({ status, hint }) => hint || (status === 0 ? "Trying again until it is back." : "");

function showSlow() {
  showBusy(true);
  const nothing = !byId("results").childElementCount && !byId("trouble").childElementCount;
  if (nothing && asks(current())) showWaiting(FIRST_K / 2);
}

function showModels() {
  const models = byId("models");
  models.hidden = info.models.length < 2;
  if (models.hidden) return;
  const choose = ({ target: { value } }) => change({ show: value === info.model ? "" : value });
  const choice = (value, text) =>
    el("label", {}, el("input", { type: "radio", name: "show", value, change: choose }), el("span", {}, text));
  const legend = models.querySelector("legend");
  const choices = [["backbone", "Backbone"], ["student", "Student"], ["both", "Compare"]];
  models.replaceChildren(legend, ...choices.map((one) => choice(...one)));
  markModel(current());
}

function markModel(wanted) {
  const value = wanted.show || info?.model;
  for (const input of byId("models").querySelectorAll("input")) input.checked = input.value === value;
}

function restore(scroll) {
  if (scroll !== null) requestAnimationFrame(() => scrollTo(0, scroll));
}

function titled(wanted) {
  const what = wanted.words.trim() || (wanted.image ? "your image" : wanted.like && `like ${wanted.like}`);
  document.title = what ? `${what} · vdistill` : "vdistill";
  byId("heading").textContent = what ? `Results for ${what}` : "Search";
}

onChange((wanted, before, scroll) => {
  titled(wanted);
  markModel(wanted);
  if (same(before, wanted)) return; // only the details were opened or closed
  search(scroll === null && wanted.words !== before.words ? TYPING : 0, scroll);
});

byId("more-button").addEventListener("click", () => {
  moreFrom = document.querySelectorAll("#results a.open").length;
  change({ k: Math.min(current().k + FIRST_K, info.most_results) }, { replace: true });
});
byId("home").addEventListener("click", (event) => {
  if (event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  change(START);
  byId("words").focus();
});

watchToken();
watchBox();
watchChips();
watchFilters();
watchFit();
watchTeacher({
  again: showAgain,
  refused: showTeacherRefusal,
  where: (wanted) => expression(wanted, kinds()),
});
watchKeys();
takePictures((message, hint) => showTrouble({ message, hint }));
titled(current());
search(0);
watchDetails(askForToken);
