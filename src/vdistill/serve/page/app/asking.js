// A search becomes a request to the API.

import { itemPath } from "./api.js";
import { minFit } from "./fit.js";
import { parts, terms } from "./words.js";

/** The path and the body of a search's request.  where: its filters as an expression.  image: a Blob, or none. */
export function request(search, where, image) {
  const both = search.show === "both";
  const options = optionsOf(search, where);
  if (search.like && !search.words.trim() && !both) {
    return { path: `${itemPath("similar", search.like)}?${query(options)}` };
  }
  if (search.hybrid) options.hybrid = true;
  const path = both ? "/v1/compare" : "/v1/search";
  if (image) return { path, body: form(search, options, image) };
  if (search.like) {
    const body = { ...options, k: options.k + 1, terms: [...terms(search.words), { id: search.like }] };
    return { path, body };
  }
  const words = parts(search.words).map((part) => ["query", part]);
  return words.length ? { path: `${path}?${new URLSearchParams([...words, ...Object.entries(options)])}` } : null;
}

/** The body of a search for words whose first `depth` results, and `search.k` of them at least, a teacher orders. */
export function rerankBody(search, where, depth) {
  const options = { ...optionsOf(search, where), ...(search.hybrid && { hybrid: true }) };
  return { ...options, k: Math.max(search.k, depth), query: parts(search.words), rerank: true };
}

/** The same about an item of a search's results: which judgments taught the student that it is one. */
export function whyRequest(search, path, image) {
  const options = { model: "student" };
  if (image) return { path, body: form(search, options, image) };
  if (search.like) return { path, body: { ...options, terms: [...terms(search.words), { id: search.like }] } };
  const words = parts(search.words).map((part) => ["query", part]);
  return words.length ? { path: `${path}?${new URLSearchParams([...words, ...Object.entries(options)])}` } : null;
}

/** The answers by model, without the item that the others should resemble. */
export function answers(search, document) {
  const { backbone, student } = document;
  const found = document.results ? { [document.model]: document } : { backbone, student };
  for (const answer of Object.values(found)) {
    const others = answer.results.filter((result) => result.id !== search.like).slice(0, search.k);
    answer.results = others.map((result, place) => ({ ...result, rank: place + 1 }));
  }
  return found;
}

function optionsOf(search, where) {
  const least = minFit(search);
  return {
    k: search.k, ...(where && { where }), ...(search.show && search.show !== "both" && { model: search.show }),
    ...(least && { min_fit: Number(least) }),
  };
}

const query = (options) => new URLSearchParams(Object.entries(options));

function form(search, options, image) {
  const made = new FormData();
  made.append("image", image, "image");
  for (const part of search.words.trim() ? parts(search.words) : []) made.append("query", part);
  for (const [name, value] of Object.entries(options)) made.append(name, String(value));
  return made;
}
