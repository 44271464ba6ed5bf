// A click on a column's head sorts the table by it, a second one the other way round; what is missing stays last.
for (const head of document.querySelectorAll("thead th")) {
  head.tabIndex = 0;
  const sort = () => {
    const down = head.getAttribute("aria-sort") === "ascending";
    for (const other of head.parentNode.children) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const place = [...head.parentNode.children].indexOf(head);
    const body = head.closest("table").tBodies[0];
    const key = (row) => {
      const text = row.children[place].textContent.trim();
      const number = parseFloat(text.replace("\u2212", "-").replaceAll(",", ""));
      return head.classList.contains("number") ? number : text;
    };
    const missing = (value) => value === "\u2013" || Number.isNaN(value);
    const rows = [...body.rows].map((row) => [key(row), row]);
    rows.sort(([a], [b]) => missing(a) - missing(b) || (missing(a) ? 0 : (a > b) - (a < b)) * (down ? -1 : 1));
    for (const [, row] of rows) body.append(row);
  };
  head.addEventListener("click", sort);
  head.addEventListener("keydown", (event) => { if (event.key === "Enter") sort(); });
}
