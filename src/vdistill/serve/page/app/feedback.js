// Thumbs on results, which become judgments where the server was started with --feedback (`feedback` in /v1/info).
//
//   const list = listOf("gift for a gardener", ["mug.jpg", "spade.jpg"]);   // once for each answered search
//   card.append(thumbs(list, "mug.jpg", { headers: () => ({ Authorization: `Bearer ${token}` }), say }));

/** A list of results as it is shown, and the thumbs that were given in it. ids: of all results, in their order. */
export const listOf = (query, ids) => ({ query, ids: ids.slice(0, 200), votes: new Map() });

/** Send a thumb, "up" or "down", or take it back. Resolves to {stored, reason}; rejects with an Error to be shown. */
export async function vote(list, id, thumb, { undo = false, headers = () => ({}) } = {}) {
  const others = Object.fromEntries([...list.votes].filter(([other]) => other !== id));
  const response = await fetch("/v1/feedback", {
    method: "POST",
    headers: { "Content-Type": "application/json", ...headers() },
    body: JSON.stringify({ query: list.query, id, vote: thumb, shown: list.ids, votes: others, undo }),
  });
  const said = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(said.error?.message ?? `the server answers ${response.status}`);
  return said;
}

/** Two buttons for a result. name: what to call it.  say: gets a line for those who do not see the buttons. */
export function thumbs(list, id, { name = "this result", headers, say = () => {} } = {}) {
  const group = document.createElement("span");
  group.className = "thumbs";
  group.setAttribute("role", "group");
  group.setAttribute("aria-label", `Does ${name} fit?`);
  const buttons = new Map([["up", button("up", `${name} fits`)], ["down", button("down", `${name} does not fit`)]]);
  const show = () => {
    for (const [thumb, one] of buttons) one.setAttribute("aria-pressed", String(list.votes.get(id) === thumb));
  };
  let before = Promise.resolve(); // presses are sent one after the other
  const press = (thumb) => {
    const old = list.votes.get(id);
    const wanted = old === thumb ? null : thumb;
    if (wanted) list.votes.set(id, wanted);
    else list.votes.delete(id);
    show();
    before = before.then(async () => {
      try {
        if (old) await vote(list, id, old, { undo: true, headers });
        const said = wanted ? await vote(list, id, wanted, { headers }) : { reason: "taken back" };
        say(said.reason ? `Thank you: ${said.reason}.` : "Thank you.");
      } catch (error) {
        if (old) list.votes.set(id, old);
        else list.votes.delete(id);
        show();
        say(`That could not be stored: ${error.message}.`);
      }
    });
  };
  for (const [thumb, one] of buttons) one.onclick = () => press(thumb);
  group.append(...buttons.values());
  show();
  return group;
}

function button(thumb, label) {
  const made = document.createElement("button");
  made.type = "button";
  made.className = `thumb ${thumb}`;
  made.setAttribute("aria-label", label);
  const picture = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  picture.setAttribute("viewBox", "0 0 24 24");
  picture.setAttribute("aria-hidden", "true");
  const line = document.createElementNS("http://www.w3.org/2000/svg", "path");
  line.setAttribute("d", "M7 11v9H4v-9zm0 0 4-8c2 0 2.6 1.4 2.3 3L12.7 9H18c1.6 0 2.4 1.2 2.1 2.6l-1.4 6.8A2 2 0 0 1 16.7 20H7");
  picture.append(line);
  made.append(picture);
  return made;
}
