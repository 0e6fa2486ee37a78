// Images of items: loaded when they come near the view. With a token they are fetched, as an <img> cannot send one.

import { fetched, token } from "./api.js";
import { el } from "./dom.js";

const NEAR = "600px";
const watcher = new IntersectionObserver(onSeen, { rootMargin: NEAR });
const waiting = new WeakMap();
const failed = new Set();

/** A square with the image of a result in it, which nothing moves when it comes. size: px of its longer side. */
export function plate(result, size, { eager = false } = {}) {
  const image = el("img", { alt: "", width: size, height: size, decoding: "async", loading: eager ? "eager" : "lazy" });
  const made = el("span", { class: "plate" }, image);
  image.addEventListener("load", () => done(made, image));
  image.addEventListener("error", () => fail(made, image));
  load(made, image, result, size, eager);
  return made;
}

/** Try once more what could not be loaded. */
export function retryImages() {
  for (const again of [...failed]) again();
  failed.clear();
}

function load(made, image, result, size, eager) {
  const start = () => {
    made.classList.remove("gone");
    if (!token()) {
      if (devicePixelRatio > 1 && size < 640) image.srcset = `${address(result, size * 2)} 2x`;
      image.src = address(result, size);
    } else if (eager) {
      fetchInto(made, image, address(result, size));
    } else {
      waiting.set(image, () => fetchInto(made, image, address(result, size)));
      watcher.observe(image);
    }
  };
  image.again = () => image.isConnected && start();
  start();
}

/** A model's index may hold items that the other's does not. */
const address = (result, size) =>
  `${result.image}?${new URLSearchParams({ size, ...(result.model && { model: result.model }) })}`;

async function fetchInto(made, image, path) {
  try {
    const url = URL.createObjectURL(await (await fetched(path)).blob());
    image.addEventListener("load", () => URL.revokeObjectURL(url), { once: true });
    image.src = url;
  } catch {
    fail(made, image);
  }
}

function onSeen(entries) {
  for (const { target, isIntersecting } of entries) {
    if (!isIntersecting) continue;
    watcher.unobserve(target);
    waiting.get(target)?.();
    waiting.delete(target);
  }
}

function done(made, image) {
  made.classList.add("here");
  made.classList.remove("gone");
  failed.delete(image.again);
}

function fail(made, image) {
  made.classList.add("gone");
  failed.add(image.again);
}
