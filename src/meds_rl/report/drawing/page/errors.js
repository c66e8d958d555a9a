// The errors: first those of all prompts (ways of going wrong), then those of each prompt, with search and sort.
"use strict";

const PAGE = 25;
const KINDS = { outcome: "By outcome", answer: "By answer", working: "By working", cluster: "By cluster", states: "By states" };

function errorsSection(report) {
  const section = el("section", { id: "errors", "aria-label": "Errors" });
  report.errors.forEach((error, number_) => { error.number = number_; });
  const byOutcome = report.errors.some((error) => error.by === "outcome") ? "by outcome (what the grader reports), " : "";
  section.append(el("h2", {}, "Errors"), el("p", { class: "lead" }, `First over all prompts, then prompt by prompt: ${byOutcome}by final answer, or by working (the text before the answer)${report.errors.some((error) => error.by === "cluster") ? ", or by the memory's clusters, several of which may be one error" : ""}.`));
  const first = report.runs.find((run) => run.has_memory) ?? report.runs[0];
  const state = { run: String(first.id), kind: "answer", wanted: "", now: "", query: "", key: "size", descending: true, shown: PAGE, open: new Set(), prompt: null };
  const body = el("div");
  const controls = el("div", { class: "controls" });
  const show = () => {
    const kinds = kindsOf(report, state.run);
    state.kind = kinds.includes(state.wanted) ? state.wanted : kinds[0] ?? "answer";
    controls.replaceChildren(...runPicker(report, state, show));
    body.replaceChildren(waysCard(report, state), ...errorsCard(report, state));
  };
  if (report.side_by_side) section.append(sideBySideCard(report));
  section.append(controls, body);
  show();
  return section;
}

function runPicker(report, state, show) {
  if (report.runs.length < 2) return [];
  const options = report.runs.map((run) => [String(run.id), plain(run.name, 60)]);
  const pick = picker("Run", options, state.run, (value) => {
    Object.assign(state, { run: value, shown: PAGE, open: new Set(), prompt: null });
    show();
    document.querySelector("#errors .controls select")?.focus();
  });
  return [pick];
}

function kindsOf(report, run) {
  const there = new Set(report.errors.filter((error) => String(error.run) === run).map((error) => error.by));
  return Object.keys(KINDS).filter((kind) => there.has(kind));
}

const WAYS_BY = { strategy: "By strategy", outcome: "By outcome", steps: "By steps" };
const NO_WAYS = "Errors are shown by prompt only: equal answers to different prompts are not one error. If you pass strategy=, a function that names what went wrong, this page counts its names over all prompts.";
const FIRST_WAYS = 6;
const LONG_ANSWER = 60;

function waysCard(report, state) {
  const all = report.ways.filter((way) => String(way.run) === state.run);
  const box = el("div", { class: "grid two", style: "margin-bottom: 16px" });
  if (!all.length) {
    const why = report.ways_note?.[state.run] || NO_WAYS;
    const there = report.errors.some((error) => String(error.run) === state.run) || report.ways_note?.[state.run];
    return there ? putText(el("p", { class: "note", id: "no-ways" }), plain(why, 600)) : box;
  }
  const kinds = [...new Set(all.map((way) => way.by ?? "strategy"))];
  const list = el("ol", { class: "ways" });
  const help = el("p", { class: "note" });
  const place = el("div", { class: "place" });
  const more = el("button", { type: "button" });
  const show = (kind, count) => {
    const ways = all.filter((way) => (way.by ?? "strategy") === kind);
    const most = Math.max(...ways.map((way) => way.share));
    const errors = ways.filter((way) => way.is_error !== false);
    const shown = [...errors.slice(0, count), ...ways.filter((way) => way.is_error === false)]; // what is no error comes last
    list.replaceChildren(...shown.map((way) => wayRow(report, state, way, most)));
    help.textContent = plain(report.ways_help ?? "", 600);
    more.hidden = errors.length <= count;
    more.textContent = `Show all ${number(errors.length)}`;
    more.onclick = () => {
      show(kind, ways.length);
      list.children[count]?.querySelector("button")?.focus();
    };
  };
  const switcher = kinds.length > 1 ? el("div", { class: "controls" }, choice("Ways", kinds.map((kind) => [kind, WAYS_BY[kind] ?? plain(kind, 30)]), kinds[0], (kind) => {
    show(kind, FIRST_WAYS);
    drawWays(kind);
  })) : null;
  const drawWays = (kind) => {
    const figure = report.figures.ways[state.run]?.[kind];
    place.replaceChildren(...(figure ? [figureCard(figure)] : []));
  };
  show(kinds[0], FIRST_WAYS);
  drawWays(kinds[0]);
  const card = el("div", { class: "card", id: "ways", style: `--run: ${runColour(report, runOf(report, state.run))}` }, el("h3", {}, "Errors over all prompts"), switcher, list, more, help);
  if (report.ways_note?.[state.run]) card.append(putSentence(el("p", { class: "note" }), plain(report.ways_note[state.run], 600)));
  box.append(card, place);
  return box;
}

function runOf(report, id) {
  return report.runs.find((each) => String(each.id) === id);
}

function wayRow(report, state, way, most) {
  const name = el("span", { class: way.by === "steps" ? "name steps" : "name" });
  if (way.by === "steps") plain(way.name, 200).split(", ").forEach((step, place, all) => name.append(el("span", {}, step + (place < all.length - 1 ? "," : "")), " "));
  else name.append(plain(way.name, 80));
  if (way.is_right) name.append(el("span", { class: "aside" }, " (the right strategy; the answer is wrong)"));
  const opens = (way.examples ?? []).length > 0 || (way.prompt_ids ?? []).length > 0;
  const num = el("span", { class: "num" }, percent(way.share), el("small", {}, `${number(way.count)} · ${counted(way.prompts, "prompt")}`));
  const meaning = way.meaning && !way.is_right ? el("span", { class: "meaning" }, plain(way.meaning, 240)) : null;
  const example = way.written && (way.examples ?? []).length ? el("span", { class: "meaning" }, `as in “${plain(wordsOf(completionOf(report, way.examples[0]).promptOf), 90)}”: ${unbroken(plain(way.written, 160))}`) : null;
  const state_ = way.state ? el("span", { class: "state", title: report.states?.[way.state] }, plain(way.state, 30)) : null;
  const bars = el("span", { class: "bars" }, el("span", { class: "bar", "aria-hidden": "true" }, el("i", { style: `width: ${(100 * way.share) / most}%` })),
    way.course.length > 1 ? sparkline(way.course, 90, 18, `${number(way.count)} over training`) : null, state_);
  const head = opens ? el("button", { type: "button", class: "unfold", "aria-expanded": "false" }, name) : name;
  const row = el("li", {}, head, num, example, meaning, bars);
  if (opens) {
    head.addEventListener("click", () => {
      const open = head.getAttribute("aria-expanded") === "true";
      head.setAttribute("aria-expanded", String(!open));
      if (open) row.querySelector(".inside").remove();
      else row.append(insideWay(report, state, way));
    });
  }
  return row;
}

// Examples of a way, and its prompts: each leads to the errors of that prompt.
function insideWay(report, state, way) {
  const box = el("div", { class: "inside" });
  const examples = el("div", { class: "examples" });
  for (const index of way.examples ?? []) examples.append(exampleCard(report, index, "", true));
  box.append(examples);
  if ((way.prompt_ids ?? []).length) {
    const list = el("ul", { class: "prompts" });
    for (const prompt of way.prompt_ids) {
      const link = el("button", { type: "button", class: "link" }, plain(wordsOf(report.prompts[prompt]), 100));
      link.addEventListener("click", () => state.showPrompt(prompt));
      list.append(el("li", {}, link));
    }
    box.append(el("p", { class: "note" }, "Its most frequent prompts; a click shows their errors below:"), list);
  }
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
  const search = el("input", { type: "search", placeholder: "Search prompts, answers, strategies, completions", "aria-label": "Search errors", value: state.query, id: "search" });
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
  const only = el("div", { class: "only" });
  const card = el("div", { class: "card", style: `--run: ${runColour(report, runOf(report, state.run))}` },
    el("h3", {}, "Errors, prompt by prompt"),
    el("div", { class: "controls" }, ...switcher, el("span", { class: "grow" }, search), ...[statePicker(report, state, fill), sortPicker(report, state, fill)].filter(Boolean)), only,
    el("table", { class: hasStretches(runOf(report, state.run)) ? "table errors" : "table errors brief" }, head, table), more, count);
  state.showPrompt = (prompt) => {
    Object.assign(state, { prompt, query: "", now: "", shown: PAGE, open: new Set() });
    search.value = "";
    const pick = card.querySelector('select[aria-label="Now"]');
    if (pick) pick.value = "";
    fill();
    only.replaceChildren(...(prompt === null ? [] : onlyPrompt(report, state)));
    if (prompt !== null) card.scrollIntoView({ block: "start" });
    (only.querySelector("button") ?? search).focus({ preventScroll: true });
  };
  fill();
  return [strips, card];
}

// Says that only one prompt's errors are shown, with a button that shows all again.
function onlyPrompt(report, state) {
  const all = el("button", { type: "button" }, "Show all prompts");
  all.addEventListener("click", () => state.showPrompt(null));
  return [el("p", { class: "note" }, `Only the errors of “${plain(wordsOf(report.prompts[state.prompt]), 100)}”. `), all];
}

const ALL_COLUMNS = [
  { key: "prompt", label: "Error", text: true }, { key: "size", label: "Times made", number: true },
  { key: "share", label: "Of all wrong", number: true }, { key: null, label: "Over training", ofCourse: true },
  { key: "born", label: "First – last step", number: true, ofCourse: true }, { key: "state", label: "Now", ofCourse: true }, { key: "penalty_mean", label: "Mean penalty", number: true },
];

// Without a memory there is no penalty, and with a single batch no course.
function columnsOf(report, state) {
  const run = runOf(report, state.run);
  return ALL_COLUMNS.filter((column) => (run.has_memory || column.key !== "penalty_mean") && (hasStretches(run) || !column.ofCourse));
}

function hasStretches(run) {
  return run.stretches.length > 1;
}

// Completions in no group, or with right steps, are not one error: they come last.
function isNoError(error) {
  return ["noise", "unread", "right_steps"].includes(error.kind);
}

function fillTable(report, state, head, table, count, more, fill) {
  const all = report.errors.filter((error) => String(error.run) === state.run && error.by === state.kind);
  const query = state.query.trim().toLowerCase();
  const found = all.filter((error) => (!query || searchable(report, error).includes(query)) && (!state.now || error.state === state.now) && (state.prompt === null || error.prompt === state.prompt));
  const states = Object.keys(report.states ?? {}); // from growing to gone
  const value = (error) => (state.key === "prompt" ? wordsOf(report.prompts[error.prompt]) : state.key === "state" ? -states.indexOf(error.state) : error[state.key]);
  found.sort((a, b) => isNoError(a) - isNoError(b) || (state.descending ? -1 : 1) * compare(value(a), value(b)) || b.size - a.size);
  head.replaceChildren(headRow(report, state, fill));
  table.replaceChildren(...found.slice(0, state.shown).flatMap((error) => errorRows(report, state, error, query, fill)));
  more.hidden = found.length <= state.shown;
  const run = report.runs.find((each) => String(each.id) === state.run);
  const left = leftOut(report, run, state.kind);
  const errors = found.filter((error) => !isNoError(error));
  count.textContent = `${number(Math.min(errors.length, state.shown))} of ${counted(errors.length, "error")}` +
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

// The text that is searched, made once for each error.
function searchable(report, error) {
  error.searchable ??= [report.prompts[error.prompt].text, error.name, error.state, ...error.answers.map(([answer]) => answer ?? "no answer"), ...error.strategies.map(([name]) => name), ...error.outcomes.map(([outcome]) => outcome),
    ...error.examples.map((index) => report.completions.text[index] ?? "")].join("\n").toLowerCase();
  return error.searchable;
}

// Chooses one state: growing, fading, ...
function statePicker(report, state, fill) {
  if (!hasStretches(runOf(report, state.run))) return null;
  const options = [["", "all"], ...Object.keys(report.states ?? {}).map((name) => [name, name])];
  return picker("Now", options, state.now, (value) => {
    Object.assign(state, { now: value, shown: PAGE });
    fill();
  });
}

// Replaces the head of the table in a narrow window.
function sortPicker(report, state, fill) {
  const keys = columnsOf(report, state).filter((column) => column.key !== null);
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
  if (error.kind !== "outcome") error.outcomes.slice(0, 1).forEach(([outcome, count]) => chips.append(chip(plain(outcome, 60), count)));
  const answers = error.kind === "answer" ? error.answers : error.answers.filter(([answer]) => answer === null || answer.length <= LONG_ANSWER); // a program is no name
  answers.slice(0, 3).forEach(([answer, count]) => chips.append(chip(answer === null ? "no answer" : `= ${plain(answer, 40)}`, count)));
  error.strategies.slice(0, 2).forEach(([name, count]) => chips.append(chip(plain(name, 40), count)));
  const cell = (attributes, ...children) => el("td", attributes, ...children);
  const row = el("tr", { class: "row" },
    cell({}, button, chips),
    cell({ class: "number", "data-label": "times" }, number(error.size)),
    cell({ class: "number", "data-label": "of all wrong" }, percent(error.share, 1)),
    ...(columns.some((column) => column.ofCourse) ? [
      cell({}, sparkline(error.course, 110, 26, `Made ${counted(error.size, "time")}, most at step ${short(error.peak)}`)),
      cell({ class: "number", "data-label": "steps" }, error.born === error.last ? short(error.born) : `${short(error.born)} – ${short(error.last)}`),
      cell({ class: "state", title: report.states?.[error.state] }, error.state ?? "")] : []),
    columns.some((column) => column.key === "penalty_mean") ? cell({ class: "number", "data-label": "penalty" }, number(error.penalty_mean, 3)) : "");
  row.addEventListener("click", (event) => {
    if (!event.target.closest("button, a") && !String(getSelection())) button.click();
  });
  return isOpen ? [row, el("tr", {}, el("td", { colspan: columns.length }, inside(report, error, query)))] : [row];
}

function chip(text, count) {
  return el("span", { class: "chip" }, el("span", {}, text), count === undefined ? null : el("small", {}, `×${number(count)}`));
}

function inside(report, error, query) {
  const box = el("div", { class: "inside" });
  const run = report.runs.find((each) => each.id === error.run);
  const cost = run.has_memory ? ` Penalty: mean ${number(error.penalty_mean, 3)}, in its last batch ${number(error.penalty_last, 3)}, sum ${number(error.penalty_sum, 1)}.` : "";
  const known = report.states?.[error.state] ? ` Now ${error.state}: ${report.states[error.state]}.` : isNoError(error) ? "" : " Too few completions or batches to tell whether it grows or fades.";
  const now = hasStretches(run) ? known : "";
  box.append(el("p", { class: "note" }, `${percent(error.share_of_prompt)} of this prompt's wrong completions.${cost}${now}`));
  if (hasStretches(run)) box.append(sparkline(error.course, 420, 60, "How often over training"));
  const examples = el("div", { class: "examples" });
  for (const index of error.examples) examples.append(exampleCard(report, index, query));
  box.append(examples);
  return box;
}

function exampleCard(report, index, query, withPrompt = false) {
  const row = completionOf(report, index);
  const open = el("button", { type: "button" }, "Open in full");
  open.addEventListener("click", () => showCompletion(report, index, query));
  const cost = row.runOf.has_memory ? `, penalty ${number(row.penalty, 3)}` : "";
  return el("div", { class: "example" }, el("p", {}, `step ${number(row.step)}${cost}`), withPrompt ? el("p", { class: "asked" }, plain(wordsOf(row.promptOf), 160)) : null, exampleText(row.text, query), open);
}

function exampleText(text, query) {
  return putText(el("pre", { class: "text", dir: "auto" }), text.length > 1500 ? beginning(text, 1500) + "…" : text, query);
}
