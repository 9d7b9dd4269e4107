"use strict";
// Sorting by a click on a column's head; rows without a value stay last. The page is complete without this script.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") !== "descending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const value = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent.trim();
      const order = (a, b) => {
        const [x, y] = [value(a), value(b)];
        if (x === "" || y === "") return (x === "") - (y === "");
        const both = x !== "" && y !== "" && !isNaN(x) && !isNaN(y);
        const way = both ? Number(x) - Number(y) : x.localeCompare(y);
        return down ? -way : way;
      };
      body.append(...[...body.rows].sort(order));
    });
  });
}
// A trial that is pointed at is lit up everywhere.
const show = (number) => {
  document.body.classList.toggle("pointing", number !== null);
  for (const part of document.querySelectorAll("[data-trial]"))
    part.classList.toggle("pointed", part.dataset.trial === number);
};
for (const part of document.querySelectorAll("[data-trial]")) {
  part.addEventListener("pointerenter", () => show(part.dataset.trial));
  part.addEventListener("pointerleave", () => show(null));
}
