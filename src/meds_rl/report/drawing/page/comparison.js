// Paired differences to a baseline, by seed, with intervals.
"use strict";

function comparisonSection(report) {
  const differences = report.differences;
  const section = el("section", { id: "comparison", "aria-label": "Comparison" });
  section.append(el("h2", {}, "Comparison"), el("p", { class: "lead" }, `Evaluations after training, each variant against ${plain(differences.baseline, 80)}: the same problems, the same seeds. A seed agrees if its difference has the sign of the mean.`));
  const methods = [...new Set(differences.rows.map((row) => row.method))];
  section.append(el("p", { class: "note" }, `Intervals: ${methods.map((method) => plain(method, 200)).join("; ")}.`));
  for (const note of differences.notes ?? []) section.append(putText(el("p", { class: "note" }), note));
  const grid = el("div", { class: "grid" });
  for (const figure of report.figures.differences) grid.append(figureCard(figure));
  section.append(grid, el("div", { class: "card", style: "margin-top: 16px" }, el("h3", {}, "The same as a table"), el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Comparison as a table" }, differenceTable(differences))));
  return section;
}

function differenceTable(differences) {
  const table = el("table", { class: "table" });
  const head = el("tr");
  const variants = new Set(differences.rows.map((row) => row.variant));
  const only = variants.size === 1 ? plain([...variants][0], 40) : null;
  for (const [name, numeric] of [["Problems", 0], ["Measure", 0], ...(only ? [] : [["Variant", 0]]), [plain(differences.baseline, 40), 1], [only ?? "Variant's", 1], ["Difference", 1], ["95 % interval", 1], ["Seeds that agree", 1]]) {
    head.append(el("th", { scope: "col", class: numeric ? "number" : null }, name));
  }
  const body = el("tbody");
  for (const row of differences.rows) {
    const cell = (text) => el("td", { class: "number" }, text);
    body.append(el("tr", {}, el("td", {}, plain(row.group, 60)), el("td", {}, plain(row.title, 60)), only ? "" : el("td", {}, plain(row.variant, 80)), cell(number(row.baseline_value, 3)), cell(number(row.value, 3)),
      cell(signed(row.difference)), cell(`${signed(row.low)} to ${signed(row.high)}`), cell(`${number(row.num_agree)} of ${number(row.num_seeds)}`)));
  }
  table.append(el("thead", {}, head), body);
  return table;
}
