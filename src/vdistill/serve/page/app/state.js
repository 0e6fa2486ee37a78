// The search that the page shows now: it is changed here, and the browser's history goes along.

import { read, written } from "./address.js";

const SETTLED = 1200; // ms without typing, after which the next letter begins a new entry of the history
const listeners = [];
let now = Object.freeze({ ...read(location.search), image: history.state?.image ?? 0 });
let settled = true;
let timer;

history.scrollRestoration = "manual"; // results come later than the browser thinks

export const current = () => now;

/** Call `listener(search, before, scroll)` whenever the search has changed; `scroll` is where the page stood then. */
export const onChange = (listener) => listeners.push(listener);

/** Change parts of the search. typing: letters that follow one another are one entry of the history. */
export function change(patch, { typing = false, replace = false } = {}) {
  const before = now;
  now = Object.freeze({ ...now, ...patch });
  const address = location.pathname + written(now);
  const entry = { image: now.image, scroll: 0, ours: true };
  if (replace || (typing && !settled)) {
    history.replaceState({ ...entry, ours: history.state?.ours }, "", address);
  } else {
    history.replaceState({ ...history.state, image: before.image, scroll: scrollY }, "");
    history.pushState(entry, "", address);
  }
  if (typing) settleSoon();
  else settle();
  tell(before, null);
}

/** The next letter begins a new entry of the history. */
export function settle() {
  clearTimeout(timer);
  settled = true;
}

/** Whether Back leads to a search of this page. */
export const canGoBack = () => Boolean(history.state?.ours);

function settleSoon() {
  clearTimeout(timer);
  settled = false;
  timer = setTimeout(settle, SETTLED);
}

function tell(before, scroll) {
  for (const listener of listeners) listener(now, before, scroll);
}

addEventListener("popstate", (event) => {
  const before = now;
  now = Object.freeze({ ...read(location.search), image: event.state?.image ?? 0 });
  settle();
  tell(before, event.state?.scroll ?? 0);
});
