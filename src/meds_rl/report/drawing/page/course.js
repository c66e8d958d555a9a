// The course of training, panel by panel; and the evaluations, by group of problems.
"use strict";

function courseSection(report) {
  const section = el("section", { id: "course", "aria-label": "Course of training" });
  const own = report.runs.every((run) => run.is_dump) ? "" : "A step is the number of optimiser steps done before a batch was sampled: the first batch is step 0. ";
  const theirs = report.runs.some((run) => run.is_dump) ? "Rollouts of other programs keep the steps that these count. " : "";
  const seeds = new Set(report.runs.map((run) => run.variant)).size < report.runs.length ? "Thin lines are the seeds of a variant, thick lines their mean." : "";
  section.append(el("h2", {}, "Course of training"), el("p", { class: "lead" }, `${own}${theirs}${seeds}`));
  const grid = el("div", { class: "grid" });
  for (const figure of report.figures.course.filter(hasCourse)) {
    grid.append(figureCard(figure, { now: lastValues(report, figure, figure.name !== "course-memory") }));
  }
  section.append(grid);
  return section;
}

// A single step has no course.
function hasCourse(figure) {
  return new Set(figure.values.map((row) => row.step)).size > 1;
}

// The last value of each line, or its mean over the last third, in words; of several seeds the mean.
function lastValues(report, figure, ofThird = false) {
  const lines_ = new Map();
  for (const row of figure.values) lines_.set(`${row.run}\n${row.line}`, [...(lines_.get(`${row.run}\n${row.line}`) ?? []), row]);
  const averaged = ofThird && [...lines_.values()].every((rows) => rows.length >= 3);
  const ends = new Map([...lines_].map(([key, rows]) => {
    const last = averaged ? rows.slice(Math.ceil((2 * rows.length) / 3)) : rows.slice(-1);
    return [key, { ...rows[rows.length - 1], value: last.reduce((sum, row) => sum + row.value, 0) / last.length }];
  }));
  const many = report.runs.length > 1;
  const lines = new Set(figure.values.map((row) => row.line)).size > 1;
  const groups = new Map();
  for (const row of ends.values()) {
    const name = many ? row.variant + (lines ? `, ${row.line}` : "") : lines ? row.line : "";
    groups.set(name, [...(groups.get(name) ?? []), row]);
  }
  if (!groups.size || groups.size > 4) return null;
  const said = el("p", { class: "now" });
  const last = (rows) => Math.max(...rows.map((row) => row.step));
  const steps = new Set(figure.values.map((row) => row.step)).size;
  const differ = new Set([...groups.values()].map(last)).size > 1;
  [...groups].forEach(([name, rows], place) => {
    const mean = rows.reduce((sum, row) => sum + row.value, 0) / rows.length;
    const shown = figure.percent ? percent(mean, 1) : short(mean);
    said.append(place ? " · " : averaged ? "mean over the batches of the last third: " : steps > 1 ? "at the end: " : "", name ? `${plain(name, 40)} ` : "", el("b", {}, shown), differ ? ` (step ${number(last(rows))})` : "");
  });
  return said;
}

// The group with the lowest pass@1 at the end, where there is most to see; the first of equal ones.
function hardest(figures) {
  const ofFirstMeasure = figures.filter((figure) => figure.title === figures[0].title);
  const lowest = (figure) => {
    const end = Math.max(...figure.values.map((row) => row.step));
    return Math.min(...figure.values.filter((row) => row.step === end).map((row) => row.value));
  };
  return ofFirstMeasure.reduce((best, figure) => (lowest(figure) < lowest(best) ? figure : best)).group;
}

function seedsOfEvaluations(report) {
  const isDrawnAsDots = report.figures.evaluations.every((figure) => !hasCourse(figure));
  return isDrawnAsDots && new Set(report.runs.map((run) => run.variant)).size < report.runs.length ? " Faint dots are the seeds of a variant, the others their mean." : "";
}

function evaluationSection(report) {
  const section = el("section", { id: "evaluations", "aria-label": "Evaluations" });
  section.append(el("h2", {}, "Evaluations"), el("p", { class: "lead" }, report.runs.every((run) => run.is_evaluation) ? `Samples of each problem.${seedsOfEvaluations(report)}` : "Samples of each problem before, during and after training."));
  const groups = [...new Set(report.figures.evaluations.map((figure) => figure.group))];
  const grid = el("div", { class: "grid" });
  const show = (group) => grid.replaceChildren(...report.figures.evaluations.filter((figure) => figure.group === group).map((figure) => figureCard(figure, { now: lastValues(report, figure) })));
  const first = hardest(report.figures.evaluations);
  if (groups.length > 1) section.append(el("div", { class: "controls" }, choice("Problems", groups.map((group) => [group, plain(group, 60)]), first, show)));
  section.append(grid);
  show(first);
  return section;
}
