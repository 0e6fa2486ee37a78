// One question after the other: shows it, takes the answer, and goes on when the server has stored it.
import { get, image, leave, post, Trouble } from "./server.js";

const $ = (id) => document.getElementById(id);
const GUARD = 120; // ms after a question is shown, in which a second press of a key is not meant for it
const WAITS = [500, 1000, 2000, 4000, 8000]; // ms between attempts

let state = null; // what the server said last
let shownAt = 0;
let seconds = 0; // that the present question was looked at before an attempt to answer it
let busy = true; // an answer is under way, or nothing is asked
let pictures = [];

const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

function show(section) {
  for (const id of ["asking", "end", "note"]) $(id).hidden = id !== section;
  $("finish").hidden = section !== "asking";
}

function trouble(what, hint = "", act = null) {
  $("trouble").hidden = !what;
  $("trouble-what").textContent = what;
  $("trouble-hint").textContent = hint;
  $("trouble-act").hidden = !act;
  $("trouble-act").textContent = act?.name ?? "";
  $("trouble-act").onclick = act?.run ?? null;
}

function note(head, text, act = null) {
  show("note");
  trouble("");
  busy = true;
  document.title = `${head} · vdistill`;
  $("note-head").textContent = head;
  $("note-text").textContent = text;
  $("note-act").hidden = !act;
  $("note-act").textContent = act?.name ?? "";
  $("note-act").onclick = act?.run ?? null;
  $("note-head").focus();
}

/** Ask until the server answers; what was said is kept meanwhile. Null where the page has moved on to something else. */
async function insist(ask, what) {
  for (let attempt = 0; ; attempt++) {
    try {
      const found = await ask();
      trouble("");
      return found;
    } catch (error) {
      if (!(error instanceof Trouble)) throw error;
      if (error.kind === "elsewhere") {
        const here = { name: "Go on here", run: () => begin(() => post("/v1/take")) };
        note("This sitting is open in another tab", "Go on there, or take it over.", here);
        return null;
      }
      if (error.kind === "unauthorized") {
        note("This page does not know its token", "Open the address that the command printed.");
        return null;
      }
      if (error.kind === "moved_on") return begin(() => get("/v1/sitting"));
      if (error.kind !== "gone" && error.kind !== "not_stored") {
        note("Something went wrong", `${error.message} ${error.hint}`, { name: "Try again", run: () => begin(() => get("/v1/sitting")) });
        return null;
      }
      const gone = "If the command has ended, start it again: all earlier answers are stored.";
      let now = () => {};
      const pressed = new Promise((resolve) => { now = resolve; });
      trouble(`${error.message} ${what}`, error.kind === "gone" ? gone : error.hint, { name: "Try now", run: () => now() });
      await Promise.race([wait(WAITS[Math.min(attempt, WAITS.length - 1)]), pressed]);
    }
  }
}

async function begin(ask) {
  busy = true;
  const found = await insist(ask, "Trying again.");
  if (found) await take(found);
  return null;
}

async function take(found) {
  const again = state?.question?.key === found.question?.key && !$("asking").hidden;
  state = found;
  $("person").textContent = found.person.replace(/^human:/, "");
  $("progress").max = found.count;
  $("progress").value = found.done;
  $("done").textContent = `${found.done} of ${found.count}${left(found)}`;
  $("undo").disabled = $("end-undo").hidden = !found.last;
  if (!found.question) return ending(found);
  if (!again) await ask(found);
  busy = false;
  return null;
}

function left(found) {
  const minutes = ((found.count - found.done) * found.seconds) / 60;
  if (!found.question) return "";
  return minutes < 0.75 ? ", less than a minute left" : `, about ${Math.round(minutes)} min left`;
}

async function ask(found) {
  const { key, query, images } = found.question;
  const inside = $("images").contains(document.activeElement) || document.activeElement === document.body;
  show("asking");
  document.title = `${found.done + 1} of ${found.count} · vdistill`;
  $("query").textContent = query;
  for (const one of pictures) URL.revokeObjectURL(one);
  pictures = [];
  const choices = Array.from({ length: images }, (_, place) => choice(place));
  $("images").dataset.count = images;
  $("images").dataset.key = key;
  $("images").replaceChildren(...choices.map((one) => {
    const item = document.createElement("li");
    item.append(one);
    return item;
  }));
  $("images").classList.add("loading");
  await Promise.all(choices.map((one, place) => picture(one, key, place)));
  if (state?.question?.key !== key) return;
  $("images").classList.remove("loading");
  $("said").textContent = `Question ${found.done + 1} of ${found.count}: ${query}`;
  if (inside) $("query").focus({ preventScroll: true });
  if (innerWidth < 640) scrollTo(0, 0);
  shownAt = performance.now();
  seconds = 0;
}

function choice(place) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "choice";
  button.setAttribute("aria-label", `Choose image ${place + 1}`);
  const key = document.createElement("kbd");
  key.textContent = place + 1;
  key.setAttribute("aria-hidden", "true");
  button.append(key);
  button.onclick = () => answer(place);
  return button;
}

async function picture(button, key, place) {
  const size = button.clientWidth * devicePixelRatio > 640 ? 1280 : 640;
  for (let attempt = 0; attempt < 3; attempt++) {
    try {
      const address = await image(`/v1/images/${key}/${place}?size=${size}`);
      pictures.push(address);
      const seen = new Image();
      seen.alt = `Image ${place + 1}`;
      seen.src = address;
      await seen.decode();
      button.append(seen);
      return;
    } catch (error) {
      if (error.kind !== "gone") break;
      await wait(WAITS[attempt]);
    }
  }
  const gone = document.createElement("span");
  gone.className = "gone";
  gone.textContent = "This image cannot be shown. If it matters, skip the question.";
  button.append(gone);
}

async function answer(said) {
  if (busy || !state?.question || performance.now() - shownAt < GUARD) return;
  if (Number.isInteger(said) && said >= state.question.images) return;
  busy = true;
  seconds += (performance.now() - shownAt) / 1000;
  const chosen = Number.isInteger(said) ? $("images").children[said].firstChild : null;
  chosen?.classList.add("taken");
  const told = { question: state.question.key, choice: said, seconds };
  const found = await insist(() => post("/v1/answer", told), "Your answer is kept here; trying again.");
  if (found) await take(found);
}

async function undo() {
  if (busy && $("end").hidden) return;
  if (!state?.last) return;
  busy = true;
  const question = state.last.key;
  const found = await insist(() => post("/v1/undo", { question }), "Trying again.");
  if (found) {
    await take(found);
    $("said").textContent = "The last answer was taken back.";
  }
}

function ending(found) {
  show("end");
  const answers = found.done === 1 ? "1 answer" : `${found.done} answers`;
  document.title = "Done · vdistill";
  $("end-head").textContent = found.done >= found.count ? `Done: ${answers}` : `${answers}, and no more questions`;
  $("end-text").textContent = found.skipped ? `${found.skipped} skipped. All answers are stored.` : "All answers are stored.";
  agreement(found.agreement ?? []);
  $("end-head").focus();
}

function agreement(rows) {
  const percent = (share) => `${Math.round(100 * share)} %`;
  const cells = (row, name, kind = "") => {
    const line = document.createElement("tr");
    line.className = kind;
    const head = document.createElement("th");
    head.scope = "row";
    head.textContent = name;
    const numbers = [percent(row.agreement), row.ci95.map(percent).join(" to "), percent(row.chance), row.questions];
    line.append(head, ...numbers.map((text) => {
      const cell = document.createElement("td");
      cell.textContent = text;
      return cell;
    }));
    return line;
  };
  const lines = rows.flatMap((row) => {
    const [one, other] = row.judges.map((name) => name.replace(/^human:/, ""));
    const whole = cells(row, one === other ? `${one}, asked again` : `${one} and ${other}`);
    return row.fair ? [whole, cells(row.fair, "where the question was not chosen for dispute", "fair")] : [whole];
  });
  $("agreement").hidden = !lines.length;
  $("agreement").tBodies[0].replaceChildren(...lines);
}

async function finish() {
  busy = true;
  try {
    const found = await post("/v1/finish");
    const answers = found.done === 1 ? "1 answer is" : `${found.done} answers are`;
    note("Thank you", `${answers} stored. You can close this page; the command has printed what they brought.`);
  } catch (error) {
    if (error.kind === "elsewhere") await insist(() => { throw error; }, "");
    else note("The server does not answer", "Nothing is lost: every answer was stored when it was given.");
  }
}

function pressed(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || !$("keys").checked) return;
  const key = event.key.toLowerCase();
  const acts = { 0: () => answer("none"), n: () => answer("none"), s: () => answer("skip"), u: undo, backspace: undo };
  const act = /^[1-9]$/.test(key) ? () => answer(Number(key) - 1) : acts[key];
  if (!$("end").hidden && key === "enter" && document.activeElement?.tagName !== "BUTTON") finish();
  if (!act) return;
  event.preventDefault();
  act();
}

try {
  $("keys").checked = localStorage.getItem("vdistill.keys") !== "off";
} catch {
  // storage is turned off: the keys are on
}
$("keys").onchange = () => {
  try {
    localStorage.setItem("vdistill.keys", $("keys").checked ? "on" : "off");
  } catch {
    // then it lasts as long as the page
  }
};
$("none").onclick = () => answer("none");
$("skip").onclick = () => answer("skip");
$("undo").onclick = $("end-undo").onclick = undo;
$("finish").onclick = $("end-finish").onclick = finish;
addEventListener("keydown", pressed);
addEventListener("pagehide", leave);
addEventListener("pageshow", (event) => { if (event.persisted) begin(() => get("/v1/sitting")); });
begin(() => get("/v1/sitting"));
