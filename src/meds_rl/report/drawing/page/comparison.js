// Paired differences to a baseline, by seed, with intervals.
"use strict";

function comparisonSection(report) {
  const differences = report.differences;
  const section = el("section", { id: "comparison", "aria-label": "Comparison" });
  section.append(el("h2", {}, "Comparison"), el("p", { class: "lead" }, `Evaluations after training, each variant against ${plain(differences.baseline, 80)}: the same problems, the same seeds.`));
  const methods = [...new Set(differences.rows.map((row) => row.method))];
  section.append(el("p", { class: "note" }, `Intervals: ${methods.map((method) => plain(method, 200)).join("; ")}.`));
  for (const note of differences.notes ?? []) section.append(putText(el("p", { class: "note" }), note));
  const grid = el("div", { class: "grid" });
  for (const figure of report.figures.differences) grid.append(figureCard(figure));
  section.append(grid, el("div", { class: "card", style: "margin-top: 16px" }, el("h3", {}, "The same as a table"), el("div", { class: "scroll" }, differenceTable(differences))));
  return section;
}

function differenceTable(differences) {
  const table = el("table", { class: "table" });
  const head = el("tr");
  for (const [name, numeric] of [["Problems", 0], ["Measure", 0], ["Variant", 0], [plain(differences.baseline, 40), 1], ["Variant's", 1], ["Difference", 1], ["95 % interval", 1], ["Seeds positive", 1]]) {
    head.append(el("th", { scope: "col", class: numeric ? "number" : null }, name));
  }
  const body = el("tbody");
  for (const row of differences.rows) {
    const cell = (text) => el("td", { class: "number" }, text);
    body.append(el("tr", {}, el("td", {}, plain(row.group, 60)), el("td", {}, plain(row.title, 60)), el("td", {}, plain(row.variant, 80)), cell(number(row.baseline_value, 3)), cell(number(row.value, 3)),
      cell(signed(row.difference)), cell(`${signed(row.low)} to ${signed(row.high)}`), cell(`${number(row.num_positive)} of ${number(row.num_seeds)}`)));
  }
  table.append(el("thead", {}, head), body);
  return table;
}
