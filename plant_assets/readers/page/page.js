"use strict";
(() => {
  const value = (row, place) => row.cells[place].dataset.v ?? "";
  const collator = new Intl.Collator(undefined, { numeric: true });

  function sort(table, header) {
    const place = header.cellIndex;
    const isText = header.dataset.kind === "text";
    // Names are read from A, numbers from the largest.
    const first = isText ? "ascending" : "descending";
    const other = isText ? "descending" : "ascending";
    const order = header.getAttribute("aria-sort") === first ? other : first;
    const sign = order === "ascending" ? 1 : -1;
    const rows = [...table.tBodies[0].rows];
    const compare = isText ? (a, b) => collator.compare(a, b) : (a, b) => Number(a) - Number(b);
    rows.sort((one, two) => {
      const [a, b] = [value(one, place), value(two, place)];
      // What has no value stands last either way.
      if (a === "" || b === "") return (a === "") - (b === "");
      return sign * compare(a, b);
    });
    for (const each of table.tHead.rows[0].cells) each.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", order);
    table.tBodies[0].append(...rows);
  }

  // As in plant_assets/text.py.
  const formula =
    /^(?:[\t\r\n]|[\u0000-\u0020\u007f-\u00a0\u00ad\u061c\u1680\u180e\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\ufeff]*[=+\-@\uff0b\uff0d\uff1d\uff20])/;

  function field(text, isText) {
    const safe = isText && formula.test(text) ? "'" + text : text;
    return /[",\r\n]/.test(safe) ? '"' + safe.replaceAll('"', '""') + '"' : safe;
  }

  function csv(table) {
    const headers = [...table.tHead.rows[0].cells];
    const lines = [headers.map((header) => header.dataset.name)];
    for (const row of table.tBodies[0].rows) {
      lines.push(headers.map((header, place) => field(value(row, place), header.dataset.kind === "text")));
    }
    return lines.map((line) => line.join(",") + "\r\n").join("");
  }

  function download(table, link) {
    // The mark tells spreadsheets that it is UTF-8.
    const blob = new Blob(["\ufeff" + csv(table)], { type: "text/csv;charset=utf-8" });
    URL.revokeObjectURL(link.href);
    link.href = URL.createObjectURL(blob);
  }

  for (const figure of document.querySelectorAll("figure.table")) {
    const table = figure.querySelector("table");
    for (const header of table.tHead.rows[0].cells) {
      header.querySelector("button").addEventListener("click", () => sort(table, header));
    }
    const link = figure.querySelector("a.csv");
    // On the way to the click, so that it has the rows in their order.
    link.addEventListener("click", () => download(table, link), { capture: true });
    const more = figure.querySelector("button.more");
    if (more) {
      more.addEventListener("click", () => {
        table.classList.add("all");
        more.remove();
      });
    }
  }

  const options = { actions: false, renderer: "svg", ast: true, tooltip: { theme: "custom" } };
  const drawn = [...document.querySelectorAll("figure.chart")].map((figure) => {
    const spec = JSON.parse(figure.querySelector("script").textContent);
    return vegaEmbed(figure.querySelector("div"), spec, options);
  });
  Promise.all(drawn).then(() => document.documentElement.classList.add("drawn"));
})();
