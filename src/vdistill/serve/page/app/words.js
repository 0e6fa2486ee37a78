// The words in the box as the API takes them: "2:cosy + lamp - plastic" is a mixture, as on the command line.

const SIGNS = { "+": 1, "-": -1, "−": -1 };

/** Signs and the words between them. A sign at the end waits for its word, so it does not count yet. */
export function parts(text) {
  const found = [];
  let group = [];
  const close = () => {
    if (group.length) found.push(group.join(" "));
    group = [];
  };
  for (const word of text.trim().split(/\s+/)) {
    if (!(word in SIGNS)) {
      group.push(word);
      continue;
    }
    close();
    if (found.at(-1) in SIGNS) found.pop();
    if (found.length || word !== "+") found.push(word);
  }
  close();
  if (found.at(-1) in SIGNS) found.pop();
  return found;
}

/** The same as terms of the API's JSON. */
export function terms(text) {
  const given = parts(text);
  const several = given.filter((part) => !(part in SIGNS)).length > 1;
  let sign = 1;
  const found = [];
  for (const part of given) {
    if (part in SIGNS) {
      sign = SIGNS[part];
      continue;
    }
    const weighted = several && /^(\d+(?:\.\d+)?|\.\d+):(.+)$/s.exec(part);
    if (weighted) found.push({ text: weighted[2].trim(), weight: sign * Number(weighted[1]) });
    else found.push({ text: part, weight: sign });
  }
  return found.filter((term) => term.text && term.weight);
}
