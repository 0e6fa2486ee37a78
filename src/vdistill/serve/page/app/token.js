// The prompt for a token, where the server asks for one.

import { setToken, token } from "./api.js";
import { byId } from "./dom.js";

let after = [];

/** Ask for the token, then do `again`. */
export function askForToken(trouble, again) {
  after.push(again);
  const dialog = byId("token-dialog");
  byId("token-error").textContent = token() ? trouble.message : "";
  setToken("");
  if (!dialog.open) dialog.showModal();
}

export function watchToken() {
  byId("token-dialog").addEventListener("cancel", (event) => event.preventDefault()); // nothing works without it
  byId("token-form").addEventListener("submit", () => {
    setToken(byId("token").value.trim());
    byId("token").value = "";
    const waiting = after;
    after = [];
    for (const again of waiting) again();
  });
}
