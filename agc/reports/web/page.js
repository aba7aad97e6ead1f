"use strict";

// Without this script everything is there as well, in the order in which it was written.

const FEW_ROWS = 9;

/** The first number of a cell, which is what its column is sorted by; null if it has none. */
function leadingNumber(text) {
  const found = text.replace("\u2212", "-").match(/^[<±\s]*([+-]?\d+(?:\.\d+)?)/);
  return found ? Number(found[1]) : null;
}

function compareCells(one, other) {
  const [a, b] = [one, other].map(leadingNumber);
  if (a !== null && b !== null) return a - b;
  return one.localeCompare(other, "en", { numeric: true });
}

function sortBy(table, index, heading) {
  const down = heading.getAttribute("aria-sort") === "ascending";
  for (const other of heading.parentElement.cells) other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", down ? "descending" : "ascending");
  const body = table.tBodies[0];
  const text = (row) => row.cells[index].textContent.trim();
  const empty = (row) => text(row) === "–";
  const rows = [...body.rows].sort((a, b) => {
    // A dash is no value: it stays below, whichever way the others go.
    if (empty(a) || empty(b)) return empty(a) - empty(b);
    return compareCells(text(a), text(b)) * (down ? -1 : 1);
  });
  body.append(...rows);
}

function makeSortable(table) {
  [...table.tHead.rows[0].cells].forEach((heading, index) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = heading.textContent;
    button.addEventListener("click", () => sortBy(table, index, heading));
    heading.replaceChildren(button);
  });
}

function makeFilter(table) {
  const rows = [...table.tBodies[0].rows];
  const label = document.createElement("label");
  const field = document.createElement("input");
  const count = document.createElement("output");
  field.type = "search";
  count.setAttribute("aria-live", "polite");
  label.append("Rows with ", field);
  field.addEventListener("input", () => {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const row of rows) {
      const text = row.textContent.toLowerCase().replaceAll("\u00a0", " ");
      row.hidden = !words.every((word) => text.includes(word));
    }
    count.textContent = `${rows.filter((row) => !row.hidden).length} of ${rows.length}`;
  });
  const line = document.createElement("div");
  line.className = "filter";
  line.append(label, count);
  table.closest(".wide").before(line);
}

/** Reads out an epoch of all lines of a panel, under the pointer or by the arrow keys. */
function makeReadable(figure) {
  const picture = figure.querySelector(":scope > svg");
  const told = JSON.parse(figure.querySelector("script").textContent);
  const output = figure.querySelector("output");
  const cursor = document.createElementNS("http://www.w3.org/2000/svg", "line");
  cursor.setAttribute("class", "cursor");
  cursor.setAttribute("y1", told.top);
  cursor.setAttribute("y2", told.bottom);
  let shown = null;

  function show(epoch) {
    shown = Math.min(told.last, Math.max(1, epoch));
    const x = told.left + ((told.right - told.left) * (shown - 1)) / Math.max(1, told.last - 1);
    cursor.setAttribute("x1", x);
    cursor.setAttribute("x2", x);
    picture.append(cursor);
    const numbers = told.lines
      .filter((line) => shown <= line.mean.length)
      .map((line) => {
        const [mean, units] = [line.mean[shown - 1], line.units[shown - 1]];
        return `${line.name} ${mean.toFixed(2)} % (${units} units)`;
      });
    output.textContent = `Epoch ${shown}: ${numbers.join("; ")}`;
  }

  picture.addEventListener("pointermove", (event) => {
    const box = picture.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * picture.viewBox.baseVal.width;
    show(Math.round(1 + ((x - told.left) / (told.right - told.left)) * (told.last - 1)));
  });
  picture.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    show((shown ?? (step > 0 ? 0 : told.last + 1)) + step);
  });
}

for (const table of document.querySelectorAll("table.sortable")) {
  makeSortable(table);
  if (table.tBodies[0].rows.length >= FEW_ROWS) makeFilter(table);
}
document.querySelectorAll("figure.curve").forEach(makeReadable);

// Paper has no clicks: what is folded is printed, too.
const folded = () => document.querySelectorAll("details:not([open])");
window.addEventListener("beforeprint", () => {
  for (const one of folded()) {
    one.open = true;
    one.dataset.closed = "";
  }
});
window.addEventListener("afterprint", () => {
  for (const one of document.querySelectorAll("details[data-closed]")) one.open = false;
});
