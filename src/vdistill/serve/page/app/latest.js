// Of several answers only that to the latest question counts; the others are given up, or dropped when they come.

export class Latest {
  #number = 0;
  #abort = new AbortController();
  #open = 0;

  /** Whether an answer is waited for. */
  get busy() {
    return this.#open > 0;
  }

  /** What `work(signal)` gives, or undefined where something newer was begun meanwhile. */
  async run(work) {
    const number = this.#begin();
    this.#open += 1;
    try {
      const found = await work(this.#abort.signal);
      return number === this.#number ? found : undefined;
    } catch (error) {
      if (number === this.#number && error.name !== "AbortError") throw error;
      return undefined;
    } finally {
      this.#open -= 1;
    }
  }

  /** Nothing that was begun counts any more. */
  drop() {
    this.#begin();
  }

  #begin() {
    this.#abort.abort();
    this.#abort = new AbortController();
    return ++this.#number;
  }
}
