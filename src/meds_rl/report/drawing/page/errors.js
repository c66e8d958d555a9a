// The errors: ways of going wrong over all prompts, then every large error of one prompt, with search and sort.
"use strict";

const PAGE = 25;
const KINDS = { cluster: "By cluster", answer: "By answer" };

function errorsSection(report) {
  const section = el("section", { id: "errors", "aria-label": "Errors" });
  report.errors.forEach((error, number_) => { error.number = number_; });
  section.append(el("h2", {}, "Errors"), el("p", { class: "lead" }, "First over all prompts, then prompt by prompt: by final answer, or by the memory's clusters, which may hold one error in several pieces."));
  const first = report.runs.find((run) => run.has_memory) ?? report.runs[0];
  const state = { run: String(first.id), kind: "answer", wanted: "answer", now: "", query: "", key: "size", descending: true, shown: PAGE, open: new Set() };
  const body = el("div");
  const controls = el("div", { class: "controls" });
  const show = () => {
    const kinds = kindsOf(report, state.run);
    state.kind = kinds.includes(state.wanted) ? state.wanted : kinds[0] ?? "answer";
    controls.replaceChildren(...runPicker(report, state, show));
    body.replaceChildren(waysCard(report, state), ...errorsCard(report, state));
  };
  section.append(controls, body);
  show();
  return section;
}

function runPicker(report, state, show) {
  if (report.runs.length < 2) return [];
  const options = report.runs.map((run) => [String(run.id), plain(run.name, 60)]);
  const pick = picker("Run", options, state.run, (value) => {
    Object.assign(state, { run: value, shown: PAGE, open: new Set() });
    show();
    document.querySelector("#errors .controls select")?.focus();
  });
  return [pick];
}

function kindsOf(report, run) {
  const there = new Set(report.errors.filter((error) => String(error.run) === run).map((error) => error.by));
  return ["answer", "cluster"].filter((kind) => there.has(kind));
}

function waysCard(report, state) {
  const ways = report.ways.filter((way) => String(way.run) === state.run);
  const box = el("div", { class: "grid two", style: "margin-bottom: 16px" });
  if (!ways.length) {
    const why = "Errors are shown by prompt only: equal answers to different prompts are no common error. A function strategy= names what went wrong, and this page then counts the names over all prompts.";
    return report.errors.some((error) => String(error.run) === state.run) ? el("p", { class: "note", id: "no-ways" }, why) : box;
  }
  const most = Math.max(...ways.map((way) => way.share));
  const list = el("ol", { class: "ways" });
  for (const way of ways.slice(0, 9)) {
    const bar = el("span", { class: "bar", "aria-hidden": "true" }, el("i", { style: `width: ${(100 * way.share) / most}%` }));
    const num = el("span", { class: "num" }, percent(way.share), el("small", {}, `${number(way.count)} · ${number(way.prompts)} prompt${way.prompts === 1 ? "" : "s"}`));
    list.append(el("li", {}, putText(el("span", { class: "name" }), plain(way.name, 80)), bar, num));
  }
  const card = el("div", { class: "card", id: "ways" }, el("h3", {}, "Ways of going wrong, over all prompts"), list);
  card.append(el("p", { class: "note" }, plain(report.ways_help ?? "Share of the run's wrong completions, how many they are, and of how many prompts.", 600)));
  box.append(card);
  const figure = report.figures.ways[state.run];
  if (figure) box.append(figureCard(figure));
  return box;
}

function errorsCard(report, state) {
  const figure = (report.figures.errors[state.run] ?? {})[state.kind];
  const table = el("tbody");
  const head = el("thead");
  const count = el("p", { class: "note", role: "status" });
  const more = el("button", { type: "button" }, "Show more");
  const fill = () => fillTable(report, state, head, table, count, more, fill);
  more.addEventListener("click", () => {
    const shown = state.shown;
    state.shown += PAGE;
    fill();
    table.querySelectorAll(".open")[shown]?.focus();
  });
  const search = el("input", { type: "search", placeholder: "Search prompts, answers, ways, completions", "aria-label": "Search errors", value: state.query, id: "search" });
  search.addEventListener("input", () => {
    Object.assign(state, { query: search.value, shown: PAGE });
    fill();
  });
  const kinds = kindsOf(report, state.run);
  const strips = el("div", { style: "margin-bottom: 16px" });
  const strip = (kind) => {
    const of = (report.figures.errors[state.run] ?? {})[kind];
    strips.replaceChildren(...(of ? [figureCard(of)] : []));
  };
  const switcher = kinds.length > 1 ? [choice("Group errors by", kinds.map((kind) => [kind, KINDS[kind]]), state.kind, (kind) => {
    Object.assign(state, { kind, wanted: kind, shown: PAGE, open: new Set() });
    strip(kind);
    fill();
  })] : [];
  if (figure) strip(state.kind);
  const card = el("div", { class: "card" },
    el("h3", {}, "Errors, prompt by prompt"),
    el("div", { class: "controls" }, ...switcher, el("span", { class: "grow" }, search), statePicker(report, state, fill), sortPicker(report, state, fill)),
    el("table", { class: "table errors" }, head, table), more, count);
  fill();
  return [strips, card];
}

const ALL_COLUMNS = [
  { key: "prompt", label: "Error", text: true }, { key: "size", label: "Times made", number: true },
  { key: "share", label: "Of all wrong", number: true }, { key: null, label: "Over training" },
  { key: "born", label: "First – last step", number: true }, { key: "state", label: "Now" }, { key: "penalty_mean", label: "Mean penalty", number: true },
];

// What the penalty was is no question without a memory.
function columnsOf(report, state) {
  const run = report.runs.find((each) => String(each.id) === state.run);
  return run.has_memory ? ALL_COLUMNS : ALL_COLUMNS.filter((column) => column.key !== "penalty_mean");
}

function fillTable(report, state, head, table, count, more, fill) {
  const all = report.errors.filter((error) => String(error.run) === state.run && error.by === state.kind);
  const query = state.query.trim().toLowerCase();
  const found = all.filter((error) => (!query || searchable(report, error).includes(query)) && (!state.now || error.state === state.now));
  const states = Object.keys(report.states ?? {}); // from growing to gone
  const value = (error) => (state.key === "prompt" ? wordsOf(report.prompts[error.prompt]) : state.key === "state" ? -states.indexOf(error.state) : error[state.key]);
  const isNoise = (error) => error.kind === "noise"; // completions in no cluster are no one error: they come last
  found.sort((a, b) => isNoise(a) - isNoise(b) || (state.descending ? -1 : 1) * compare(value(a), value(b)) || b.size - a.size);
  head.replaceChildren(headRow(report, state, fill));
  table.replaceChildren(...found.slice(0, state.shown).flatMap((error) => errorRows(report, state, error, query, fill)));
  more.hidden = found.length <= state.shown;
  const run = report.runs.find((each) => String(each.id) === state.run);
  const left = leftOut(report, run, state.kind);
  count.textContent = `${number(Math.min(found.length, state.shown))} of ${number(found.length)} error${found.length === 1 ? "" : "s"}` +
    (query ? ` with “${plain(state.query, 40)}”` : "") + (state.now ? `, now ${state.now}` : "") + (left ? `; ${number(left)} smaller ones are not in this page` : "") + ".";
}

function leftOut(report, run, kind) {
  const left = report.errors_left_out[report.runs.indexOf(run)] ?? 0;
  return typeof left === "number" ? left : left[kind] ?? 0;
}

function compare(a, b) {
  if (a === b) return 0;
  if (a === null || a === undefined) return -1;
  if (b === null || b === undefined) return 1;
  return a < b ? -1 : 1;
}

// Text that a search looks in, made once for each error.
function searchable(report, error) {
  error.searchable ??= [report.prompts[error.prompt].text, error.name, error.state, ...error.answers.map(([answer]) => answer ?? "no answer"), ...error.strategies.map(([name]) => name),
    ...error.examples.map((index) => report.completions.text[index] ?? "")].join("\n").toLowerCase();
  return error.searchable;
}

// Only errors that now grow, fade, ...
function statePicker(report, state, fill) {
  const options = [["", "all"], ...Object.keys(report.states ?? {}).map((name) => [name, name])];
  return picker("Now", options, state.now, (value) => {
    Object.assign(state, { now: value, shown: PAGE });
    fill();
  });
}

// Where the window is too narrow for the head of the table.
function sortPicker(report, state, fill) {
  const keys = ALL_COLUMNS.filter((column) => column.key !== null);
  const options = keys.flatMap((column) => [[`${column.key} down`, `${column.label} ↓`], [`${column.key} up`, `${column.label} ↑`]]);
  const pick = picker("Sort by", options, `${state.key} ${state.descending ? "down" : "up"}`, (value) => {
    const [key, way] = value.split(" ");
    Object.assign(state, { key, descending: way === "down" });
    fill();
  });
  pick.classList.add("sort");
  return pick;
}

function headRow(report, state, fill) {
  const row = el("tr");
  for (const column of columnsOf(report, state)) {
    const cell = el("th", { scope: "col", class: column.number ? "number" : null });
    if (column.key === null) cell.append(column.label);
    else {
      const button = el("button", { type: "button", "data-sort": column.key }, column.label);
      if (state.key === column.key) cell.setAttribute("aria-sort", state.descending ? "descending" : "ascending");
      button.addEventListener("click", () => {
        const again = state.key === column.key;
        Object.assign(state, { key: column.key, descending: again ? !state.descending : !column.text });
        fill();
        document.querySelector(`#errors th button[data-sort="${column.key}"]`)?.focus();
      });
      cell.append(button);
    }
    row.append(cell);
  }
  return row;
}

function errorRows(report, state, error, query, fill) {
  const id = error.number;
  const isOpen = state.open.has(id);
  const columns = columnsOf(report, state);
  const button = el("button", { type: "button", class: "open", "aria-expanded": String(isOpen) });
  button.append(putText(el("span", { class: "prompt" }), plain(wordsOf(report.prompts[error.prompt]), 130), query));
  button.addEventListener("click", () => {
    if (isOpen) state.open.delete(id);
    else state.open.add(id);
    const place = [...button.closest("tbody").querySelectorAll(".open")].indexOf(button);
    const body = button.closest("tbody");
    fill();
    body.querySelectorAll(".open")[place]?.focus();
  });
  const chips = el("span", { class: "sub" });
  if (error.kind !== "answer") chips.append(chip(plain(error.name, 60)));
  error.answers.slice(0, 3).forEach(([answer, count]) => chips.append(chip(answer === null ? "no answer" : `= ${plain(answer, 40)}`, count)));
  error.strategies.slice(0, 2).forEach(([name, count]) => chips.append(chip(plain(name, 40), count)));
  const cell = (attributes, ...children) => el("td", attributes, ...children);
  const row = el("tr", { class: "row" },
    cell({}, button, chips),
    cell({ class: "number", "data-label": "times" }, number(error.size)),
    cell({ class: "number", "data-label": "of all wrong" }, percent(error.share, 1)),
    cell({}, sparkline(error.course, 110, 26, `Made ${number(error.size)} times, most at step ${short(error.peak)}`)),
    cell({ class: "number", "data-label": "steps" }, `${short(error.born)} – ${short(error.last)}`),
    cell({ class: "state", title: report.states?.[error.state] }, error.state),
    columns.length === ALL_COLUMNS.length ? cell({ class: "number", "data-label": "penalty" }, number(error.penalty_mean, 3)) : "");
  return isOpen ? [row, el("tr", {}, el("td", { colspan: columns.length }, inside(report, error, query)))] : [row];
}

function chip(text, count) {
  return el("span", { class: "chip" }, el("span", {}, text), count === undefined ? null : el("small", {}, `×${number(count)}`));
}

function inside(report, error, query) {
  const box = el("div", { class: "inside" });
  const run = report.runs.find((each) => each.id === error.run);
  const cost = run.has_memory ? ` Penalty: ${number(error.penalty_mean, 3)} on average, ${number(error.penalty_last, 3)} at the last, ${number(error.penalty_sum, 1)} in all.` : "";
  const sentence = `${percent(error.share_of_prompt)} of this prompt's wrong completions.${cost} ${report.states?.[error.state] ? `Now ${error.state}: ${report.states[error.state]}.` : ""}`;
  box.append(el("p", { class: "note" }, sentence), sparkline(error.course, 420, 60, "How often over training"));
  const examples = el("div", { class: "examples" });
  for (const index of error.examples) {
    const row = completionOf(report, index);
    const open = el("button", { type: "button" }, "Open in full");
    open.addEventListener("click", () => showCompletion(report, index, query));
    examples.append(el("div", { class: "example" }, el("p", {}, `step ${number(row.step)}, penalty ${number(row.penalty, 3)}`), exampleText(row.text, query), open));
  }
  box.append(examples);
  return box;
}

function exampleText(text, query) {
  return putText(el("pre", { class: "text", dir: "auto" }), text.length > 1500 ? beginning(text, 1500) + "…" : text, query);
}
