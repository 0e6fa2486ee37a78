// The prompt for a token, where the server asks for one.

import { setToken, token } from "./api.js";
import { byId } from "./dom.js";

let after = [];

/** Ask for the token, then do `again`; at once, where what was refused had not heard of the token that is there now. */
export function askForToken(trouble, again) {
  if (token() && trouble.token !== token()) return void again();
  after.push(again);
  const dialog = byId("token-dialog");
  if (trouble.token) byId("token-error").textContent = trouble.message;
  setToken("");
  if (!dialog.open) dialog.showModal();
}

export function watchToken() {
  byId("token-dialog").addEventListener("cancel", (event) => event.preventDefault()); // nothing works without it
  byId("token-form").addEventListener("submit", () => {
    setToken(byId("token").value.trim());
    byId("token").value = byId("token-error").textContent = "";
    const waiting = after;
    after = [];
    for (const again of waiting) again();
  });
}
