/* Comparison tables: drawn a page of rows at a time, sorted by a head, filtered by words. */

const ROWS_A_PAGE = 100;
const TYPING_PAUSE_MS = 150;
const LONG_TEXT = 40;
const inWordOrder = new Intl.Collator("en", { numeric: true });

/** A table as Python carried it, in its section of the page. */
class BrowsedTable {
  constructor(section, table, cells) {
    this.columns = table.columns;
    this.cells = cells;
    this.ofCell = table.columns.find((column) => column.cells)?.cells;
    this.everyRow = Array.from({ length: table.rows }, (_, row) => row);
    this.rows = this.everyRow;
    this.page = 0;
    this.sorted = { column: null, direction: 1 };
    this.build(section);
    this.draw();
  }

  build(section) {
    const title = section.querySelector("h2").id;
    this.filter = html("input", { type: "search", placeholder: "words of a row", autocomplete: "off", spellcheck: "false" });
    this.filter.addEventListener("input", paused(() => this.arrange(), TYPING_PAUSE_MS));
    this.shown = html("span", { role: "status" });
    this.back = button("Previous", () => this.turn(-1), { class: "plain" });
    this.on = button("Next", () => this.turn(1), { class: "plain" });
    this.pager = html("span", {}, this.back, " ", this.on);
    this.heads = this.columns.map((column) => this.head(column));
    this.body = html("tbody");
    const table = html("table", { "aria-labelledby": title }, html("thead", {}, html("tr", {}, ...this.heads)), this.body);
    section.querySelector(".browser").append(
      html("div", { class: "bar" }, html("label", {}, "Filter ", this.filter), this.shown, this.pager),
      html("div", { class: "scroll", role: "region", "aria-labelledby": title, tabindex: "0" }, table),
    );
  }

  head(column) {
    const sort = button(column.head, () => this.sortBy(column));
    return html("th", { scope: "col", "aria-sort": "none", class: column.values ? "number" : null }, sort);
  }

  /** The first time rising, then falling, then rising again. */
  sortBy(column) {
    const again = this.sorted.column === column;
    this.sorted = { column, direction: again ? -this.sorted.direction : 1 };
    this.heads.forEach((head, place) => {
      const direction = this.sorted.direction === 1 ? "ascending" : "descending";
      head.setAttribute("aria-sort", this.columns[place] === column ? direction : "none");
    });
    this.arrange();
  }

  /** Choose the rows that hold every word of the filter, put them in order, and show the first of them. */
  arrange() {
    const words = this.filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    this.rows = this.everyRow.filter((row) => words.every((word) => this.haystack(row).includes(word)));
    const { column, direction } = this.sorted;
    if (column !== null) this.rows.sort(column.values ? byValue(column.values, direction) : this.byText(column, direction));
    this.page = 0;
    this.draw();
  }

  /** All that a row says, in small letters; made once. */
  haystack(row) {
    this.haystacks ??= new Array(this.everyRow.length);
    this.haystacks[row] ??= this.columns.map((column) => this.text(column, row)).join(" ").toLowerCase();
    return this.haystacks[row];
  }

  byText(column, direction) {
    const texts = this.everyRow.map((row) => this.text(column, row));
    return (a, b) => direction * inWordOrder.compare(texts[a], texts[b]) || a - b;
  }

  text(column, row) {
    if (column.cells) return column.cells[row] === null ? "-" : this.cells.id(column.cells[row]);
    return column.texts ? column.texts[row] : column.words[column.at[row]];
  }

  turn(by) {
    this.page += by;
    this.draw();
  }

  draw() {
    const first = this.page * ROWS_A_PAGE;
    const last = Math.min(first + ROWS_A_PAGE, this.rows.length);
    this.body.replaceChildren(...this.rows.slice(first, last).map((row) => this.row(row)));
    const of = this.rows.length === this.everyRow.length ? "" : ` of ${this.everyRow.length.toLocaleString("en")}`;
    const part = last - first < this.rows.length ? `, shown ${first + 1} to ${last}` : "";
    this.shown.textContent = `${this.rows.length.toLocaleString("en")}${of} rows${part}`;
    this.pager.hidden = this.rows.length <= ROWS_A_PAGE;
    this.back.disabled = this.page === 0;
    this.on.disabled = last === this.rows.length;
  }

  row(row) {
    return html("tr", {}, ...this.columns.map((column) => this.datum(column, row)));
  }

  /** One datum: numbers lead to the samples of the row's cell, as the cell's own id does. */
  datum(column, row) {
    const text = this.text(column, row);
    const cell = this.ofCell?.[row] ?? null;
    if (column.values) {
      const leads = cell !== null && !column.quoted && text !== "-";
      const content = leads ? this.cells.link(cell, text, { tabindex: "-1" }) : text;
      return html("td", { class: "number", "data-value": column.values[row] }, content);
    }
    if (column.cells && cell !== null) return html("td", { class: "cell" }, this.cells.link(cell, text));
    if (column.beside && text !== "-") return html("td", {}, html("a", { href: text }, text));
    return html("td", { class: text.length > LONG_TEXT ? "long" : null }, text);
  }
}

/** Compares rows by their number; rows without one come last, whatever the direction. */
function byValue(values, direction) {
  return (a, b) => {
    if (values[a] === null || values[b] === null) return (values[a] === null) - (values[b] === null) || a - b;
    return direction * (values[a] - values[b]) || a - b;
  };
}
