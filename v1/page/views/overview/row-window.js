// Of any number of rows of one height only those that can be seen are in the document. Elements are used again.

const BEYOND = 6; // rows above and below what can be seen

/** Rows in an element that scrolls; `makeRow()` returns `{ element, draw(item, index) }`. */
export class RowWindow {
  constructor(scroller, body, makeRow, { onRange = () => {} } = {}) {
    Object.assign(this, { scroller, body, makeRow, onRange, items: [], pool: [], height: 0, version: 0, frame: null, first: 0, last: -1 });
    this.schedule = () => { this.frame ??= requestAnimationFrame(() => this.draw()); };
    scroller.addEventListener("scroll", this.schedule, { passive: true });
    this.observer = new ResizeObserver(() => this.measure());
    this.observer.observe(scroller);
    this.measure();
  }

  close() {
    cancelAnimationFrame(this.frame);
    this.observer.disconnect();
    this.scroller.removeEventListener("scroll", this.schedule);
  }

  /** Show other items, or the same in another order. */
  show(items) {
    this.items = items;
    this.body.style.height = `${items.length * this.height}px`;
    this.refresh();
  }

  /** Draw the rows again: what is known of them has changed. */
  refresh() {
    this.version += 1;
    this.schedule();
  }

  /** Read the sizes that rows and the part that can be seen have. */
  measure() {
    this.height = 2 * parseFloat(getComputedStyle(document.documentElement).fontSize);
    this.space = this.scroller.clientHeight;
    this.head = this.body.offsetTop;
    this.show(this.items);
  }

  /** Return how many whole rows can be seen at once. */
  countSeen() {
    return Math.max(1, Math.floor((this.space - this.head) / this.height));
  }

  /** Scroll no further than needed to have a row seen. */
  reveal(index) {
    const top = index * this.height, { scrollTop } = this.scroller;
    const end = top + this.height - (this.space - this.head);
    if (top < scrollTop) this.scroller.scrollTop = top;
    else if (end > scrollTop) this.scroller.scrollTop = end;
  }

  draw() {
    this.frame = null;
    const top = this.scroller.scrollTop, seen = Math.ceil(this.space / this.height);
    this.first = Math.max(0, Math.floor(top / this.height) - BEYOND);
    this.last = Math.min(this.items.length, this.first + seen + 2 * BEYOND) - 1;
    const size = Math.max(this.pool.length, seen + 2 * BEYOND);
    while (this.pool.length < size) this.add();
    for (let index = this.first; index < this.first + this.pool.length; index += 1) {
      this.put(this.pool[index % this.pool.length], index);
    }
    this.onRange(this.first, this.last);
  }

  add() {
    const row = { ...this.makeRow(), top: null, isShown: true };
    this.pool.push(row);
    this.body.append(row.element);
  }

  put(row, index) {
    const isShown = index <= this.last;
    if (row.isShown !== isShown) row.element.hidden = !(row.isShown = isShown);
    if (!isShown) return;
    const top = index * this.height;
    if (row.top !== top) row.element.style.transform = `translateY(${(row.top = top)}px)`;
    if (row.index === index && row.version === this.version) return;
    Object.assign(row, { index, version: this.version });
    row.draw(this.items[index], index);
  }
}
