// A search and its address: the one is written into the other, and read from it.
//
// words: as typed.  like: the id of an item to be resembled.  image: which of the tab's images, 0 for none; no address
// holds it.  show: a model, "both", or "" for the server's own choice.  picks: values by column.  ranges: [from, to] by
// column, as typed.  minFit: the least fit that is asked for, as a number in a text, "" for none.  item: the id of the
// item whose details are open.

export const FIRST_K = 24;

export const START = Object.freeze({
  words: "", like: "", image: 0, show: "", k: FIRST_K, hybrid: false, where: "", picks: {}, ranges: {}, minFit: "",
  item: "",
});

export function read(text) {
  const given = new URLSearchParams(text);
  const found = {
    ...START, words: given.get("q") ?? "", like: given.get("like") ?? "", where: given.get("where") ?? "",
    hybrid: given.get("hybrid") === "1", item: given.get("item") ?? "", picks: {}, ranges: {},
    show: given.get("compare") === "1" ? "both" : given.get("model") ?? "",
  };
  const k = Number(given.get("k"));
  if (Number.isInteger(k) && k > 0) found.k = k;
  const least = Number(given.get("min_fit"));
  if (least > 0 && least <= 1) found.minFit = String(least);
  for (const [name, value] of given) {
    const [kind, column] = split(name);
    if (kind === "pick") (found.picks[column] ??= []).push(value);
    if (kind === "from") (found.ranges[column] ??= ["", ""])[0] = value;
    if (kind === "to") (found.ranges[column] ??= ["", ""])[1] = value;
  }
  return Object.freeze(found);
}

/** The address of a search, from its question mark on. */
export function written(search) {
  const given = new URLSearchParams();
  const set = (name, value) => value && given.append(name, value);
  set("q", search.words);
  set("like", search.like);
  set("compare", search.show === "both" && "1");
  set("model", search.show !== "both" && search.show);
  for (const [column, values] of Object.entries(search.picks)) values.forEach((value) => set(`pick.${column}`, value));
  for (const [column, [from, to]] of Object.entries(search.ranges)) {
    set(`from.${column}`, from);
    set(`to.${column}`, to);
  }
  set("where", search.where);
  set("min_fit", search.minFit);
  set("hybrid", search.hybrid && "1");
  set("k", search.k !== FIRST_K && String(search.k));
  set("item", search.item);
  const text = given.toString();
  return text ? `?${text}` : "";
}

/** Whether it looks for something: filters alone do not. */
export const asks = (search) => Boolean(search.words.trim() || search.like || search.image);

export const filtered = (search) =>
  Object.keys(search.picks).length + Object.keys(search.ranges).length + (search.where.trim() ? 1 : 0);

function split(name) {
  const dot = name.indexOf(".");
  return [name.slice(0, Math.max(dot, 0)), name.slice(dot + 1)];
}
