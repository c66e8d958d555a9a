// Would a memory help? One sentence about each run, and the figures behind it.
"use strict";

function outlookSection(report) {
  const section = el("section", { id: "outlook", "aria-label": "Would a memory help?" });
  section.append(el("h2", {}, "Would a memory help?"));
  const many = report.runs.length > MANY;
  const cards = el("div", { class: report.outlooks.length > 1 ? "grid two" : "" });
  for (const outlook of report.outlooks) cards.append(outlookCard(report, outlook, many));
  const words = el("details", { class: "settings" }, el("summary", {}, "What is counted"), el("p", { class: "note" }, plain(report.outlook_help, 1000)));
  section.append(cards, words);
  return section;
}

function outlookCard(report, outlook, brief) {
  const run = report.runs.find((each) => each.id === outlook.run);
  const card = el("article", { class: "card outlook", "data-run": run.id });
  if (report.runs.length > 1) card.append(el("h3", {}, runTitle(report, run)));
  card.append(putSentence(el("p", { class: "said first" }), outlook.sentence));
  const more = brief ? el("details", {}, el("summary", {}, "The figures behind this sentence")) : card;
  more.append(outlookFigures(outlook));
  if (outlook.pass_at_k) more.append(passAtK(outlook));
  for (const note of outlook.notes ?? []) more.append(putText(el("p", { class: "note" }), note));
  if (brief) card.append(more);
  return card;
}

function outlookFigures(outlook) {
  const list = el("dl", { class: "measures" });
  const add = (name, ...values) => list.append(el("dt", {}, name), el("dd", {}, ...values));
  const { groups, commonest, right } = outlook;
  if (groups) {
    add(`${counted(groups.count, "group")}, mostly of ${number(groups.size)}`,
      shares([["all wrong", groups.all_wrong, "--bad"], ["mixed", groups.mixed, "--accent"], ["all right", groups.all_right, "--good"]]));
  }
  add("right answers per prompt",
    shares([["none", right.none, "--bad"], ["1 to 3", right.few, "--accent"], ["more", right.many, "--good"]]),
    right.none_rate_at_most === null ? null : el("p", { class: "note" }, `Prompts without a right answer have ${number(right.none_completions)} completions (median). Their rate of right answers may still be up to ${percent(right.none_rate_at_most)}, which is 3 in as many. So "none" and "1 to 3" are hard to distinguish, and on such prompts a penalty could matter.`));
  if (commonest) {
    add("prompts where one error is over 80 % of the completions", el("b", {}, percent(commonest.over_dominant)), ` of ${number(commonest.prompts)}; where it is over 50 %: ${percent(commonest.over_half)}`);
  }
  if (outlook.errors_known !== false) add(`errors that the prompt already had in an earlier batch, over the whole run, by ${outlook.errors_by}`, ...(outlook.seen_before === null ? [outlook.asked_again ? "no prompt that came again had a wrong answer" : "no prompt came in a second batch"] : [el("b", {}, percent(outlook.seen_before)), ` (${percent(outlook.asked_again)} of the prompts came again)`]));
  if (outlook.live_errors !== null) {
    add(`different errors per prompt ${outlook.num_batches < 3 ? "at a time" : "in the last third"}`, el("b", {}, number(outlook.live_errors, 1)), ` (effective number, median); a group has ${number(outlook.group_size)} completions`);
  }
  return list;
}

// One bar in parts, with a legend in words.
function shares(parts) {
  const bar = el("span", { class: "stack", "aria-hidden": "true" });
  const words = el("span", { class: "parts" });
  for (const [name, share, colour] of parts) {
    bar.append(el("i", { style: `width: ${100 * share}%; background: var(${colour})` }));
    words.append(el("span", {}, el("i", { style: `background: var(${colour})`, "aria-hidden": "true" }), `${name} `, el("b", {}, percent(share))));
  }
  return el("span", {}, bar, words);
}

function passAtK(outlook) {
  const table = el("table", { class: "table pass" });
  const head = el("tr");
  const [first, last] = outlook.num_prompts;
  const differs = outlook.same_prompts;
  for (const name of ["k", "first third", "last third", ...(differs ? ["difference in points"] : [])]) head.append(el("th", { scope: "col", class: "number" }, name));
  const body = el("tbody");
  for (const row of outlook.pass_at_k) {
    const cell = (value, interval) => el("td", { class: "number" }, value, interval ? el("small", {}, interval) : null);
    const share = ({ value, low, high }) => cell(percent(value, 1), low === null ? "" : `${number(100 * low)} to ${number(100 * high)}`);
    const points = ({ value, low, high }) => cell(signed(100 * value, 1), low === null ? "" : `${signed(100 * low, 1)} to ${signed(100 * high, 1)}`);
    body.append(el("tr", {}, el("th", { scope: "row", class: "number" }, number(row.k)), share(row.first), share(row.last), differs ? points(row.difference) : ""));
  }
  table.append(el("thead", {}, head), body);
  const of = differs ? `mean over the same ${number(first)} prompts` : `means over ${number(first)} and ${number(last)} different prompts`;
  const ends = [outlook.pass_at_k[0], ...outlook.pass_at_k.slice(1).slice(-1)];
  const words = ends.map((row) => `pass@${row.k} ${percent(row.first.value, 1)} → ${percent(row.last.value, 1)}`).join(", ");
  return el("details", { class: "passes" }, el("summary", {}, `First to last third of the run, ${of}: ${words}`), el("div", { class: "scroll" }, table),
    el("p", { class: "note" }, `Unbiased, over the completions of a third of the batches, mean over prompts; 95 % intervals from a bootstrap over prompts.`));
}
