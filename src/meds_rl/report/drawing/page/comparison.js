// Several runs compared: the shares of each error, and paired differences to a baseline, by seed, with intervals.
"use strict";

function sideBySideCard(report) {
  const { columns, errors, num_prompts: prompts } = report.side_by_side;
  const overTime = columns.some((column) => column.wrong.length > 1);
  const head = el("tr", {}, el("th", { scope: "col" }, "Error"));
  for (const column of columns) {
    const run = report.runs.find((each) => each.id === column.runs[0]);
    head.append(el("th", { scope: "col", class: "number" }, runTitle(report, run, column.name), column.runs.length > 1 ? ` (mean of ${column.runs.length} runs)` : null));
  }
  const cell = ([whole, ...thirds]) => el("td", { class: "number" }, percent(whole), thirds.length ? el("small", {}, thirds.map((share) => percent(share)).join(" → ")) : null);
  const body = el("tbody", {}, el("tr", {}, el("td", { class: "aside" }, "wrong, of all completions"), ...columns.map((column) => cell(column.wrong))));
  for (const error of errors) {
    const asked = error.prompt === null ? "" : `“${plain(wordsOf(report.prompts[error.prompt]), 90)}”`;
    const written = error.written ? [el("span", { class: "example-prompt" }, `as in ${asked}: `), plain(error.written, 160)] : [];
    const example = report.side_by_side.by === "answer" ? [`to ${asked}`] : written;
    const name = el("td", {}, el("span", { class: report.side_by_side.by === "steps" ? "name steps" : "name" }, plain(error.name, 120)), example.length ? el("span", { class: "aside" }, ...example) : null);
    body.append(el("tr", {}, name, ...error.shares.map(cell)));
  }
  const of = `Share of the wrong completions to the ${counted(prompts, "prompt")} that all runs had${overTime ? "; small: first → last third of the run's batches" : ""}.`;
  return el("div", { class: "card", id: "side-by-side", style: "margin-bottom: 16px" }, el("h3", {}, "Errors side by side"),
    el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Errors side by side" }, el("table", { class: "table side" }, el("thead", {}, head), body)), el("p", { class: "note" }, of));
}

function comparisonSection(report) {
  const differences = report.differences;
  const section = el("section", { id: "comparison", "aria-label": "Comparison" });
  const baseline = plain(differences.baseline, 80);
  const what = oneEach(differences) ? `Each evaluation against ${baseline}, on the problems of both.` : `Evaluations${differences.are_evaluations ? "" : " after training"}, each variant against ${baseline}: the same problems, the same seeds. A seed agrees if its difference has the sign of the mean.`;
  section.append(el("h2", {}, "Comparison"), el("p", { class: "lead" }, what));
  const methods = [...new Set(differences.rows.map((row) => row.method))];
  section.append(el("p", { class: "note" }, `Intervals: ${methods.map((method) => plain(method, 200)).join("; ")}.`));
  for (const note of differences.notes ?? []) section.append(putText(el("p", { class: "note" }), note));
  const grid = el("div", { class: "grid" });
  for (const figure of report.figures.differences) grid.append(figureCard(figure));
  section.append(grid, el("div", { class: "card", style: "margin-top: 16px" }, el("h3", {}, "The same as a table"), el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Comparison as a table" }, differenceTable(differences))));
  return section;
}

// Whether evaluations are compared that are no repetitions.
function oneEach(differences) {
  return differences.are_evaluations && differences.rows.every((row) => row.num_seeds === 1);
}

function differenceTable(differences) {
  const table = el("table", { class: "table" });
  const head = el("tr");
  const variants = new Set(differences.rows.map((row) => row.variant));
  const only = variants.size === 1 ? plain([...variants][0], 40) : null;
  for (const [name, numeric] of [["Problems", 0], ["Measure", 0], ...(only ? [] : [["Variant", 0]]), [plain(differences.baseline, 40), 1], [only ?? "Variant's", 1], ["Difference", 1], ["95 % interval", 1], ...(oneEach(differences) ? [] : [["Seeds that agree", 1]])]) {
    head.append(el("th", { scope: "col", class: numeric ? "number" : null }, name));
  }
  const body = el("tbody");
  for (const row of differences.rows) {
    const cell = (text) => el("td", { class: "number" }, text);
    body.append(el("tr", {}, el("td", {}, plain(row.group, 60)), el("td", {}, plain(row.title, 60)), only ? "" : el("td", {}, plain(row.variant, 80)), cell(number(row.baseline_value, 3)), cell(number(row.value, 3)),
      cell(signed(row.difference)), cell(`${signed(row.low)} to ${signed(row.high)}`), oneEach(differences) ? "" : cell(`${number(row.num_agree)} of ${number(row.num_seeds)}`)));
  }
  table.append(el("thead", {}, head), body);
  return table;
}
