// Rows of a list or of an object: added at the end, removed where they are. Enter in a row adds the next one.
(() => {
  "use strict";
  let next = 100000; // above every row that came with the page

  const add = (rows) => {
    const row = rows.querySelector("template").content.firstElementChild.cloneNode(true);
    row.querySelectorAll("[data-part]").forEach((input) => {
      input.name = `${rows.dataset.rows}-${next}-${input.dataset.part}`;
    });
    next += 1;
    rows.querySelector("[data-add]").parentElement.before(row);
    row.querySelector("input").focus();
  };

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-add], [data-remove]");
    const rows = button?.closest("[data-rows]");
    if (!rows) return;
    if (button.matches("[data-add]")) add(rows);
    else {
      button.closest("[data-row]").remove();
      rows.querySelector("[data-add]").focus();
    }
  });
  document.addEventListener("keydown", (event) => {
    const rows = event.target.matches("input") && event.target.closest("[data-rows]");
    if (event.key !== "Enter" || !rows) return;
    event.preventDefault();
    add(rows);
  });
})();
