// The summary: what a reader should know first.
"use strict";

const MANY = 4; // with more runs, each shows one sentence, and the rest on a click

function summarySection(report) {
  const section = el("section", { id: "summary", "aria-label": "Summary" });
  section.append(el("h1", {}, report.runs.length > 1 ? `What ${report.runs.length} runs keep getting wrong` : "What the policy keeps getting wrong"));
  const of = report.runs.every((run) => run.is_evaluation) ? "of evaluations" : "that training saw";
  section.append(el("p", { class: "lead" }, `Wrong completions ${of}, grouped by error: how often ${report.runs.some(hasStretches) ? "and when " : ""}each was made${report.runs.some((run) => run.has_memory) ? ", and its penalty" : ""}.`));
  for (const verdict of report.verdicts ?? []) section.append(putSentence(el("p", { class: "verdict" }), verdict));
  const many = report.runs.length > MANY;
  const cards = el("div", { class: many ? "grid" : report.runs.length > 1 ? "grid two" : "" });
  for (const run of report.runs) cards.append(runCard(report, run, many));
  section.append(cards);
  return section;
}

// What matters in bold, and the rest of it.
function headline({ text, lead }) {
  const said = putSentence(el("p", { class: "said first" }), lead ? text.slice(0, lead) : text);
  if (lead) said.append(putSentence(el("span", { class: "rest" }), unbroken(text.slice(lead))));
  return said;
}

// Names of options are not broken over two lines.
function warning(text) {
  const said = el("p", { class: "warning" });
  for (const part of text.split(/(--[a-z-]+)/)) said.append(putText(el("span", { class: part.startsWith("--") ? "option" : null }), part));
  return said;
}

function runCard(report, run, brief) {
  const card = el("article", { class: "card run", "data-run": run.id });
  card.append(el("h3", {}, runTitle(report, run), run.is_evaluation ? " (evaluation)" : null), putText(el("p", { class: "path" }), run.path));
  const all = report.headlines.filter((each) => each.run === run.id);
  const [first, ...rest] = all.filter((each) => !each.is_warning);
  for (const said of all.filter((each) => each.is_warning)) card.append(warning(said.text));
  if (first) card.append(headline(first));
  const more = brief ? el("details", {}, el("summary", {}, "More of this run")) : card;
  for (const said of rest) more.append(putSentence(el("p", { class: "said" }), unbroken(said.text)));
  if (brief) card.append(more);
  const list = el("dl", { class: "figures" });
  const add = (name, value) => list.append(el("div", {}, el("dt", {}, name), el("dd", {}, value)));
  if (run.num_steps || !run.is_evaluation) add("steps", run.max_steps && run.max_steps !== run.num_steps ? `${number(run.num_steps)} of ${number(run.max_steps)}` : number(run.num_steps));
  add("completions", number(run.num_completions));
  if (run.num_graded) add("wrong", `${number(run.num_wrong)} (${percent(run.num_wrong / run.num_graded)})`);
  add("prompts", number(run.num_prompts));
  if (run.has_memory) {
    add("remembered", number(run.memory_size));
    add("clusters", number(run.num_clusters));
  }
  more.append(list);
  const settings = Object.entries(run.settings ?? {});
  if (settings.length) {
    const table = el("table");
    for (const [name, value] of settings) table.append(el("tr", {}, el("td", {}, plain(name, 80)), putText(el("td"), plain(value === null ? "–" : value, 300))));
    more.append(el("details", { class: "settings" }, el("summary", {}, "Settings"), table));
  }
  for (const note of run.notes ?? []) more.append(putSentence(el("p", { class: "note" }), note));
  return card;
}
