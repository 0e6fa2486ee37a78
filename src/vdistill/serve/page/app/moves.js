// What moved between the answers of two models.

import { sameAs } from "./card.js";

/** For each model, how each of its results stands in the other's answer. */
export function moves({ backbone, student }) {
  return {
    backbone: compared(backbone.results, student.results, "the student's", "left"),
    student: compared(student.results, backbone.results, "the backbone's", "new"),
  };
}

/** In one sentence. */
export function summary({ backbone, student }) {
  const before = ranks(backbone.results);
  const found = student.results.map((result) => [before.get(sameAs(result)), result.rank]);
  const kept = found.filter(([was]) => was !== undefined);
  const up = kept.filter(([was, is]) => is < was).length;
  const down = kept.filter(([was, is]) => is > was).length;
  const fresh = found.length - kept.length;
  return `${kept.length} of ${found.length} in both · ${up} higher with the student, ${down} lower, ${fresh} new`;
}

const ranks = (results) => new Map(results.map((result) => [sameAs(result), result.rank]));

function compared(results, others, whose, only) {
  const known = ranks(others);
  return new Map(results.map((result) => [result.id, one(result.rank, known.get(sameAs(result)), whose, only)]));
}

function one(is, other, whose, only) {
  if (other === undefined) {
    const shown = only === "new" ? "new" : "only here";
    return { kind: only, shown, told: ` not among ${whose} results` };
  }
  if (is === other) return { kind: "stays", shown: "=", told: ` the same rank in ${whose} results` };
  // On the student's side: how it came here. On the backbone's: where it goes.
  const up = only === "new" ? is < other : other < is;
  const shown = `${up ? "▲" : "▼"} ${Math.abs(is - other)}`;
  return { kind: up ? "up" : "down", shown, told: ` number ${other} in ${whose} results` };
}
