// What the page asks of the server. The token comes in the address, behind the #, and is taken out of it at once.

const kept = (name, make) => {
  try {
    const found = sessionStorage.getItem(name) ?? make();
    if (found) sessionStorage.setItem(name, found);
    return found;
  } catch {
    return make(); // storage is turned off: a reload needs the address again
  }
};

const given = location.hash.slice(1);
if (given) {
  try {
    sessionStorage.setItem("vdistill.judge", given);
  } catch {
    // as above
  }
  history.replaceState(null, "", location.pathname);
}
const token = given || kept("vdistill.judge", () => "");
const tab = kept("vdistill.tab", () => [...crypto.getRandomValues(new Uint8Array(12))].map((one) => one.toString(16).padStart(2, "0")).join(""));

const headers = { Authorization: `Bearer ${token}`, "X-Tab": tab };

/** An answer that is no answer. kind: "gone" where the server cannot be reached, else the type of its refusal. */
export class Trouble extends Error {
  constructor(kind, message, hint) {
    super(message);
    this.kind = kind;
    this.hint = hint;
  }
}

async function asked(path, options) {
  let response;
  try {
    response = await fetch(path, { ...options, headers: { ...headers, ...options?.headers }, signal: AbortSignal.timeout(30000) });
  } catch {
    throw new Trouble("gone", "The server does not answer.", "");
  }
  if (response.ok) return response;
  const said = await response.json().catch(() => ({}));
  const error = said.error ?? {};
  throw new Trouble(error.type ?? "wrong", error.message ?? `The server answers ${response.status}.`, error.hint ?? "");
}

export const get = async (path) => (await asked(path)).json();

export const post = async (path, document = {}) => {
  const body = { method: "POST", body: JSON.stringify(document), headers: { "Content-Type": "application/json" } };
  return (await asked(path, body)).json();
};

/** The address of an image that was fetched; the caller revokes it. */
export const image = async (path) => URL.createObjectURL(await (await asked(path)).blob());

export const leave = () => {
  fetch("/v1/leave", { method: "POST", headers, keepalive: true }).catch(() => {});
};
