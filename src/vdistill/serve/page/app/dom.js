// Elements of the page. Whatever comes from the server becomes text, never markup.

export const byId = (id) => document.getElementById(id);

/** An element with attributes and children. A function is a listener, true an empty attribute, false and null none. */
export function el(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(key, value);
    else if (value === true) made.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

export function icon(name) {
  const namespace = "http://www.w3.org/2000/svg";
  const made = document.createElementNS(namespace, "svg");
  const use = document.createElementNS(namespace, "use");
  made.setAttribute("aria-hidden", "true");
  use.setAttribute("href", `/icons.svg#${name}`);
  made.append(use);
  return made;
}

/** A text that only those hear who do not see. */
export const unseen = (text) => el("span", { class: "unseen" }, text);

const numbers = new Intl.NumberFormat("en");
export const formatted = (number) => numbers.format(number);

/** Do something when nothing has asked for it again for a while (in ms). */
export function debounced(wait, work) {
  let timer;
  return (...values) => {
    clearTimeout(timer);
    timer = setTimeout(work, wait, ...values);
  };
}
