// Images that somebody searches by: dropped, pasted or chosen. They are kept in this tab, and sent with each search.

import { byId } from "./dom.js";
import { change } from "./state.js";

const MOST_BYTES = 8 * 2 ** 20; // larger ones are made smaller first: the server takes 16 MiB
const SIDE = 1600; // px, more than any encoder sees
const KEPT = 20;
const held = new Map(); // by number; insertion order is age
let said = () => {};

/** The image with this number, if this tab still has it. */
export const picture = (number) => held.get(number);

/** Let images be dropped, pasted and chosen. trouble: told of what is not an image. */
export function takePictures(trouble) {
  said = trouble;
  const drop = byId("drop");
  let inside = 0;
  const over = (on) => (drop.hidden = !on);
  addEventListener("dragenter", (event) => {
    if (!hasFile(event)) return;
    inside += 1;
    over(true);
  });
  addEventListener("dragleave", (event) => hasFile(event) && (inside = Math.max(inside - 1, 0)) === 0 && over(false));
  addEventListener("dragover", (event) => hasFile(event) && event.preventDefault());
  addEventListener("drop", (event) => {
    if (!hasFile(event)) return;
    event.preventDefault();
    inside = 0;
    over(false);
    take(event.dataTransfer.files);
  });
  addEventListener("paste", (event) => {
    if (event.clipboardData?.files.length) {
      event.preventDefault();
      take(event.clipboardData.files);
    }
  });
  byId("choose").addEventListener("click", () => byId("file").click());
  byId("file").addEventListener("change", ({ target }) => {
    take(target.files);
    target.value = "";
  });
}

const hasFile = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");

async function take(files) {
  const file = [...files].find((one) => one.type.startsWith("image/")) ?? null;
  if (!file) {
    said("This is no image.", "Drop, paste or choose an image file.");
    return;
  }
  const number = Date.now(); // not one of an earlier page's, which the history may still name
  held.set(number, await smaller(file));
  while (held.size > KEPT) held.delete(held.keys().next().value);
  change({ image: number, like: "", item: "" });
}

async function smaller(file) {
  if (file.size <= MOST_BYTES) return file;
  try {
    const whole = await createImageBitmap(file);
    const scale = Math.min(1, SIDE / Math.max(whole.width, whole.height));
    const canvas = document.createElement("canvas");
    canvas.width = Math.max(1, Math.round(whole.width * scale));
    canvas.height = Math.max(1, Math.round(whole.height * scale));
    canvas.getContext("2d").drawImage(whole, 0, 0, canvas.width, canvas.height);
    whole.close();
    return (await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.92))) ?? file;
  } catch {
    return file; // the server says what is wrong with it
  }
}
