// Draws the figures with Vega, when they come into view and again when the colours change.
"use strict";

const charts = { themes: null, drawn: new Map(), watcher: null };

function currentScheme() {
  return document.documentElement.dataset.theme === "dark" ? "dark" : "light";
}

function startCharts(report) {
  charts.themes = report.themes;
  charts.watcher = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      charts.watcher.unobserve(entry.target);
      draw(entry.target);
    }
  }, { rootMargin: "300px" });
  addEventListener("beforeprint", drawAll);
}

// Draws the figures that did not come into view yet: for printing, and for a reader who scrolls fast.
function drawAll() {
  for (const [chart, one] of charts.drawn) {
    if (one.turn || !chart.isConnected) continue;
    charts.watcher.unobserve(chart);
    draw(chart);
  }
}

function drawInIdleTime() {
  const next = [...charts.drawn.keys()].find((chart) => chart.isConnected && !charts.drawn.get(chart).turn);
  if (!next) return;
  charts.watcher.unobserve(next);
  draw(next).then(() => requestIdleCallback(drawInIdleTime));
}

// A card with a figure in it. `values` may come later (a map's points) than the specification.
function figureCard(figure, extra = {}) {
  const chart = el("div", { class: "chart", role: "img", "aria-label": `${plain(figure.title, 120)}. ${plain(figure.help, 400)}` });
  const save = el("button", { type: "button", class: "save", "aria-label": `Save ${plain(figure.title, 80)} as SVG` }, "SVG");
  save.addEventListener("click", () => saveFigure(chart, figure.name));
  const card = el("div", { class: "card figure", "data-figure": figure.name },
    el("header", {}, el("h3", {}, extra.title ?? plain(figure.title, 120)), save), extra.now, chart, el("p", { class: "help" }, plain(figure.help, 600)));
  putFigure(chart, figure, extra);
  return card;
}

function putFigure(chart, figure, extra = {}) {
  charts.drawn.set(chart, { figure, extra, view: null, turn: 0 });
  charts.watcher.observe(chart);
}

function dropFigure(chart) {
  charts.drawn.get(chart)?.view?.finalize();
  charts.drawn.delete(chart);
}

async function draw(chart) {
  const one = charts.drawn.get(chart);
  if (!one) return;
  const turn = (one.turn += 1);
  const spec = { ...coloured(one.figure.spec), data: { name: "values", values: one.figure.values } };
  const result = await vegaEmbed(chart, spec, {
    actions: false, ast: true, renderer: "svg", mode: "vega-lite", config: charts.themes[currentScheme()],
    tooltip: one.extra.tooltip ?? showTooltip, loader: { load: refuse }, hover: true,
  });
  if (turn !== one.turn || !charts.drawn.has(chart)) {
    result.view.finalize();
    return;
  }
  one.view?.finalize();
  one.view = result.view;
  one.extra.onView?.(result.view);
}

// A scale that names the theme's colours "@0", "@1", ... with those colours.
function coloured(spec) {
  const color = spec.encoding?.color;
  if (!color?.scale?.range?.includes?.("@0")) return spec;
  const theme = charts.themes[currentScheme()].range.category;
  const range = color.scale.range.map((name) => (name.startsWith("@") ? theme[Number(name.slice(1))] : name));
  return { ...spec, encoding: { ...spec.encoding, color: { ...color, scale: { ...color.scale, range } } } };
}

// No figure loads anything.
function refuse() {
  return Promise.reject(new Error("This page loads nothing."));
}

function redrawCharts() {
  for (const chart of charts.drawn.keys()) {
    if (!chart.isConnected) dropFigure(chart);
    else if (charts.drawn.get(chart).view) draw(chart);
  }
}

async function saveFigure(chart, name) {
  const view = charts.drawn.get(chart)?.view;
  if (!view) return;
  const svg = await view.toSVG();
  const link = el("a", { href: URL.createObjectURL(new Blob([svg], { type: "image/svg+xml" })), download: `${name}.svg` });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

// Vega's tooltip as text only.
function showTooltip(_, event, item, value) {
  if (value === null || value === undefined || value === "") {
    hideTooltip();
    return;
  }
  const list = el("dl");
  const nearest = item?.datum?.datum; // for the nearest point of a line, Vega-Lite gives the numbers without the names
  for (const [key, text] of Object.entries(typeof value === "object" ? value : { "": value })) {
    const shown = nearest && typeof nearest[key] === "string" ? nearest[key] : text;
    list.append(el("dt", {}, plain(key, 60)), el("dd", {}, plain(shown, 160)));
  }
  placeTooltip(event, list);
}

function placeTooltip(event, ...content) {
  const box = document.getElementById("tooltip");
  box.replaceChildren(...content);
  box.hidden = false;
  const { width, height } = box.getBoundingClientRect();
  const x = event.clientX + 14 + width > innerWidth ? event.clientX - width - 14 : event.clientX + 14;
  const y = event.clientY + 14 + height > innerHeight ? event.clientY - height - 14 : event.clientY + 14;
  box.style.left = `${Math.max(6, x)}px`;
  box.style.top = `${Math.max(6, y)}px`;
}

function hideTooltip() {
  document.getElementById("tooltip").hidden = true;
}
