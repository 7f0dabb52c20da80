// Keys of the rows: one of them is active, the focus stays on the grid, and the active row follows its metric.

/** `state.active` is the name of the active metric, or null. */
export class RowKeys {
  constructor(grid, window, state, { open, pin }) {
    Object.assign(this, { grid, window, state, open, pin, index: -1 });
    grid.addEventListener("keydown", (event) => this.take(event));
    grid.addEventListener("focus", () => this.index < 0 && this.move(0));
    grid.addEventListener("click", ({ target }) => this.choose(target.closest(".body .row")));
  }

  /** Note where the active metric is among other items; where it is not shown any more, nothing is active. */
  follow(items) {
    this.index = this.state.active === null ? -1 : items.findIndex(({ metric }) => metric === this.state.active);
    if (this.index < 0) this.state.active = null;
  }

  /** Name the active row to a screen reader, while it is in the document. */
  mark() {
    const isThere = this.index >= this.window.first && this.index <= this.window.last;
    if (isThere && this.index >= 0) this.grid.setAttribute("aria-activedescendant", `row-${this.index}`);
    else this.grid.removeAttribute("aria-activedescendant");
  }

  take(event) {
    if (event.target !== this.grid || event.ctrlKey || event.metaKey || event.altKey) return;
    const page = this.window.countSeen(), last = this.window.items.length - 1;
    const moves = { ArrowDown: this.index + 1, ArrowUp: this.index - 1, PageDown: this.index + page, PageUp: this.index - page, Home: 0, End: last };
    if (event.key in moves) this.move(moves[event.key]);
    else if (event.key === "Enter" && this.state.active) this.open(this.state.active);
    else if (event.key === "p" && this.state.active) this.pin(this.state.active);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  move(index) {
    const last = this.window.items.length - 1;
    if (last < 0) return;
    this.index = Math.min(Math.max(index, 0), last);
    this.state.active = this.window.items[this.index].metric;
    this.window.reveal(this.index);
    this.window.refresh();
  }

  choose(row) {
    const at = row ? Number(row.getAttribute("aria-rowindex")) - 2 : -1;
    if (at >= 0) this.move(at);
  }
}
