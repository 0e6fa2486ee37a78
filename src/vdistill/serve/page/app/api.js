// Requests to the server, with the token where there is one; what it refuses becomes a `Trouble`.

const KEY = "vdistill.token";
let held = "";
try {
  held = sessionStorage.getItem(KEY) ?? "";
} catch {
  // storage is turned off: it lasts as long as the page
}

export const token = () => held;

/** Keep a token for this tab. */
export function setToken(text) {
  held = text;
  try {
    if (text) sessionStorage.setItem(KEY, text);
    else sessionStorage.removeItem(KEY);
  } catch {
    // see above
  }
}

/**
 * Why there is no answer.  status: 0 where the server is gone.  wait: seconds after which it may be asked again.
 * token: with which it was asked.
 */
export class Trouble extends Error {
  constructor(status, message, hint = "", kind = "", wait = 0, token = "") {
    super(message);
    Object.assign(this, { status, hint, kind, wait, token });
  }

  /** Whether it passes by itself. */
  get passing() {
    return this.status === 0 || this.status === 429 || this.status === 503;
  }
}

/** The response to a request. Raises Trouble, and AbortError where `signal` says so. */
export async function fetched(path, { body, signal } = {}) {
  const form = body instanceof FormData, sent = held;
  const headers = sent ? { Authorization: `Bearer ${sent}` } : {};
  if (body && !form) headers["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(path, {
      method: body ? "POST" : "GET", headers, signal, body: body && !form ? JSON.stringify(body) : body,
      credentials: "omit",
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Trouble(0, "The server does not answer.");
  }
  if (!response.ok) throw await refusal(response, sent);
  return response;
}

/** The document that answers a request; raises as `fetched` does. */
export async function ask(path, options) {
  const response = await fetched(path, options);
  try {
    return await response.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Trouble(0, "The server stopped in the middle of its answer.");
  }
}

/** The path of an item under the API; slashes in an id stay. */
export const itemPath = (kind, id) => `/v1/${kind}/${id.split("/").map(encodeURIComponent).join("/")}`;

async function refusal(response, sent) {
  const wait = Number(response.headers.get("Retry-After")) || 0;
  try {
    const { message, hint, type } = (await response.json()).error;
    return new Trouble(response.status, sentence(message), sentence(hint), type, wait, sent);
  } catch {
    return new Trouble(response.status, `The server answers with status ${response.status}.`, "", "", wait, sent);
  }
}

/** The API's messages begin small, as on a command line. */
export function sentence(text) {
  if (!text) return "";
  const ended = /[.?!]$/.test(text) ? text : `${text}.`;
  return /^[a-z]+[ ,]/.test(ended) ? ended[0].toUpperCase() + ended.slice(1) : ended;
}
