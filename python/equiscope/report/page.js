"use strict";
// The page is whole without this: it sorts tables by a click on a heading, and filters the rows of long ones.
const LONG = 12;
const dataRows = (table) => [...table.querySelectorAll("tbody tr:not(.block)")];
const value = (row, column) => {
  const cell = row.cells[column];
  const number = parseFloat(cell.title || cell.textContent.replace(/\s/g, ""));
  return Number.isNaN(number) ? cell.textContent.trim() : number;
};
const order = (a, b) => {
  if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
  return typeof a === "number" ? a - b : a.localeCompare(b, undefined, { numeric: true });
};
const sort = (table, heading, column) => {
  const falling = heading.getAttribute("aria-sort") !== "descending";
  for (const other of table.querySelectorAll("[aria-sort]")) other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", falling ? "descending" : "ascending");
  const rows = dataRows(table).map((row) => [value(row, column), row]);
  const numbers = rows.filter(([key]) => typeof key === "number");
  const words = rows.filter(([key]) => typeof key !== "number");
  for (const part of [numbers, words]) part.sort(([a], [b]) => (falling ? order(b, a) : order(a, b)));
  table.classList.add("sorted");
  table.tBodies[0].append(...[...numbers, ...words].map(([, row]) => row));
};
for (const table of document.querySelectorAll("table.sorts")) {
  [...table.tHead.rows].at(-1).querySelectorAll("th").forEach((heading, column) => {
    const button = document.createElement("button");
    button.append(...heading.childNodes);
    button.title = "sort";
    button.addEventListener("click", () => sort(table, heading, column));
    heading.append(button);
  });
  if (dataRows(table).length > LONG) {
    const input = document.createElement("input");
    input.className = "filter";
    input.type = "search";
    input.placeholder = "filter by name";
    input.setAttribute("aria-label", `filter: ${table.caption.textContent}`);
    input.addEventListener("input", () => {
      const wanted = input.value.toLowerCase();
      table.classList.toggle("sorted", wanted !== "" || table.querySelector("[aria-sort]") !== null);
      for (const row of dataRows(table)) row.hidden = !row.cells[0].textContent.toLowerCase().includes(wanted);
    });
    table.parentElement.before(input);
  }
}
