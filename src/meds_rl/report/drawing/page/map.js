// The map: one prompt's wrong completions, near each other if their fingerprints are.
"use strict";

function mapSection(report) {
  const section = el("section", { id: "map", "aria-label": "Map" });
  section.append(el("h2", {}, "Map"), el("p", { class: "lead" }, "Each point is a wrong completion of one prompt. Points near each other have similar fingerprints (t-SNE). Hover or use the arrow keys to read, click or press Enter to open."));
  const state = { map: 0, by: "cluster", at: null, view: null };
  const stage = el("div", { class: "stage", tabindex: "0", role: "application", "aria-label": "Map of wrong completions. Arrow keys go from point to point, Enter opens." });
  const chart = el("div", { class: "chart" });
  const ring = el("div", { class: "ring", hidden: true });
  stage.append(chart, ring);
  const reading = el("div", { class: "card reading", "aria-live": "polite" });
  const help = el("p", { class: "help note" });
  const show = () => {
    const of = report.maps[state.map];
    dropFigure(chart);
    chart.replaceChildren();
    putFigure(chart, { ...report.figures.maps[state.map].specs[state.by], values: report.figures.maps[state.map].values }, {
      tooltip: (_, event, __, value) => pointTooltip(report, event, value),
      onView: (view) => {
        state.view = view;
        view.addEventListener("click", (_, item) => item?.datum?.completion !== undefined && openPoint(report, state, stage, item.datum.completion, ring, reading));
        placeRing(report, state, ring);
      },
    });
    help.textContent = plain(of.help, 500) + ` ${number(of.num_points)} of ${number(of.num_wrong)} remembered wrong completions are shown.`;
  };
  const read = () => {
    reading.replaceChildren(...readingOf(report, state));
    placeRing(report, state, ring);
  };
  const options = report.maps.map((of, number_) => [String(number_), mapName(report, of)]);
  const controls = el("div", { class: "controls" },
    picker("Prompt", options, "0", (value) => {
      Object.assign(state, { map: Number(value), at: null });
      show();
      read();
    }),
    choice("Colour by", [["cluster", "Cluster"], ["answer", "Answer"], ["step", "Step"]], state.by, (by) => {
      state.by = by;
      show();
    }));
  new ResizeObserver(() => requestAnimationFrame(() => placeRing(report, state, ring))).observe(chart);
  stage.addEventListener("keydown", (event) => moveBetweenPoints(report, state, event, read));
  section.append(controls, el("div", { class: "map" }, el("div", { class: "card" }, stage, help), reading));
  show();
  read();
  return section;
}

function mapName(report, of) {
  const run = report.runs.find((each) => each.id === of.run);
  const many = report.runs.length > 1;
  return plain(wordsOf(report.prompts[of.prompt]), 60) + (many ? ` (${plain(run.name, 40)})` : "") + `, ${number(of.num_wrong)}`;
}

// From a point to the next one, cluster after cluster; up and down jump to another cluster.
function moveBetweenPoints(report, state, event, read) {
  const of = report.maps[state.map];
  const order = pointOrder(report, state);
  const here = order.indexOf(state.at);
  const moves = { ArrowRight: 1, ArrowLeft: -1 };
  if (event.key in moves) state.at = order[(here + moves[event.key] + order.length) % order.length];
  else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    const names = [...new Set(order.map((place) => of.cluster[place]))];
    const now = here < 0 ? -1 : names.indexOf(of.cluster[state.at]);
    const next = names[(now + (event.key === "ArrowDown" ? 1 : -1) + names.length) % names.length];
    state.at = order.find((place) => of.cluster[place] === next);
  } else if (event.key === "Home") state.at = order[0];
  else if (event.key === "End") state.at = order[order.length - 1];
  else if ((event.key === "Enter" || event.key === " ") && state.at !== null) showCompletion(report, of.completion[state.at]);
  else return;
  event.preventDefault();
  hideTooltip();
  read();
}

function pointOrder(report, state) {
  const of = report.maps[state.map];
  if (!of.order) {
    const sizes = new Map();
    for (const cluster of of.cluster) sizes.set(cluster, (sizes.get(cluster) ?? 0) + 1);
    const rank = (place) => -sizes.get(of.cluster[place]);
    of.order = of.x.map((_, place) => place).sort((a, b) => rank(a) - rank(b) || compare(of.cluster[a], of.cluster[b]) || of.step[a] - of.step[b]);
  }
  return of.order;
}

function openPoint(report, state, stage, completion, ring, reading) {
  state.at = report.maps[state.map].completion.indexOf(completion);
  reading.replaceChildren(...readingOf(report, state));
  placeRing(report, state, ring);
  hideTooltip();
  showCompletion(report, completion);
}

function placeRing(report, state, ring) {
  ring.hidden = state.at === null || !state.view;
  if (ring.hidden) return;
  const of = report.maps[state.map];
  const svg = ring.parentElement.querySelector("svg");
  if (!svg) return;
  const outer = ring.parentElement.getBoundingClientRect();
  const box = svg.getBoundingClientRect();
  const zoom = box.width / svg.width.baseVal.value || 1; // the chart shrinks with a narrow window
  const [dx, dy] = state.view.origin();
  const padding = state.view.padding();
  ring.style.left = `${box.left - outer.left + zoom * (state.view.scale("x")(of.x[state.at]) + dx + padding.left)}px`;
  ring.style.top = `${box.top - outer.top + zoom * (state.view.scale("y")(of.y[state.at]) + dy + padding.top)}px`;
}

function readingOf(report, state) {
  if (state.at === null) {
    return [el("h3", {}, "Nothing chosen"), el("p", { class: "note" }, "Choose a point to read it here: with the mouse, or with the arrow keys after you click or tab to the map.")];
  }
  const of = report.maps[state.map];
  const row = completionOf(report, of.completion[state.at]);
  const open = el("button", { type: "button" }, "Open in full");
  open.addEventListener("click", () => showCompletion(report, of.completion[state.at]));
  return [el("h3", {}, plain(`${clusterLabel(of.cluster[state.at])}, step ${number(of.step[state.at])}`, 100)),
    exampleText(row.text), putText(el("p", { class: "why" }), row.why ?? ""), open];
}

function clusterLabel(name) {
  return /^-?\d+$/.test(String(name)) ? `Cluster ${name}` : String(name);
}

function pointTooltip(report, event, value) {
  if (!value || value.completion === undefined) {
    hideTooltip();
    return;
  }
  const row = completionOf(report, value.completion);
  const list = el("dl");
  const add = (name, text) => list.append(el("dt", {}, name), putText(el("dd"), plain(text, 80)));
  add("answer", row.answer ?? "none");
  if (row.strategy) add("strategy", row.strategy);
  add("step", number(row.step));
  add("penalty", number(row.penalty, 3));
  const text = putText(el("pre", { dir: "auto" }), row.text.length > 600 ? beginning(row.text, 600) + "…" : row.text);
  placeTooltip(event, list, text);
}
