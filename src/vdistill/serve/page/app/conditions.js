// Ticks, ranges and the typed condition as one expression that the API filters by.

/** The expression, "" for none.  kinds: of the filters that the server offers, by column. */
export function expression(search, kinds) {
  const made = [
    ...Object.entries(search.picks).map(([column, values]) => picked(column, values, kinds[column])),
    ...Object.entries(search.ranges).map(([column, range]) => within(column, range, kinds[column])),
  ].filter(Boolean);
  const typed = search.where.trim();
  if (!made.length) return typed;
  // The line break ends a comment in what was typed.
  return [...made, ...(typed ? [`(${typed}\n)`] : [])].join(" AND ");
}

/** What the API says of the condition, in words for its field; null where something else is wrong. */
export function conditionTrouble({ status, message, hint }) {
  const found = status === 400 && /^where(?: '.*')?:? (.*)$/is.exec(message);
  if (!found) return null;
  return { message: found[1][0].toUpperCase() + found[1].slice(1), hint: hint.replace(/where "(.*)"/, "$1") };
}

const name = (column) => `"${column.replaceAll('"', '""')}"`;
const text = (value) => `'${value.replaceAll("'", "''")}'`;

/** One of several values; of a list all of them, since an item has many. */
function picked(column, values, kind) {
  if (kind === "boolean") {
    return `(${values.map((value) => (value === "true" ? "" : "NOT ") + name(column)).join(" OR ")})`;
  }
  if (kind === "values") return `${name(column)} IN (${values.map(text).join(", ")})`;
  return values.map((value) => `has(${name(column)}, ${text(value)})`).join(" AND ");
}

function within(column, [from, to], kind) {
  if (kind === "date" || kind === "time") {
    const last = kind === "time" ? `${to} 23:59:59` : to;
    return both(column, from && text(from), to && text(last));
  }
  const number = (typed) => (typed.trim() && Number.isFinite(Number(typed)) ? String(Number(typed)) : "");
  return both(column, number(from), number(to));
}

const both = (column, from, to) =>
  [from && `${name(column)} >= ${from}`, to && `${name(column)} <= ${to}`].filter(Boolean).join(" AND ");
