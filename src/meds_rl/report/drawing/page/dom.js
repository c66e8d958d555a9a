// Making elements, writing numbers.
"use strict";

// Children that are strings become text nodes: no markup is ever parsed.
function el(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

function svgEl(name, attributes = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

function number(value, digits = 0) {
  if (value === null || value === undefined) return "–";
  return value.toLocaleString("en", { maximumFractionDigits: digits, minimumFractionDigits: digits });
}

function counted(count, name) {
  return `${number(count)} ${name}${count === 1 ? "" : "s"}`;
}

// A small share with one digit, as the sentences write it.
function percent(value, digits = value > 0 && value < 0.0995 ? 1 : 0) {
  return value === null || value === undefined ? "–" : number(100 * value, digits) + "\u00a0%";
}

function short(value) {
  if (value === null || value === undefined) return "–";
  if (Number.isInteger(value)) return number(value);
  return Math.abs(value) >= 100 ? number(value) : number(value, Math.abs(value) >= 10 ? 1 : 3);
}

function signed(value, digits = 3) {
  if (value === null || value === undefined) return "–";
  const shown = number(Math.abs(value), digits);
  return (Number(shown.replaceAll(",", "")) === 0 ? "" : value > 0 ? "+" : "−") + shown;
}

function runPlace(report, run) {
  const variants = [...new Set(report.runs.map((each) => each.variant))];
  const place = variants.length > 1 ? variants.indexOf(run.variant) : report.runs.indexOf(run);
  return place;
}

function runColour(report, run) {
  return `var(--c${runPlace(report, run) % 8})`;
}

function runTitle(report, run, name = run.name) {
  const title = el("span");
  const place = runPlace(report, run);
  const colour = runColour(report, run); // from the ninth on the same colours as rings
  const style = place < 8 ? `background: ${colour}` : `box-shadow: inset 0 0 0 3px ${colour}`;
  title.append(el("span", { class: "dot", style, "aria-hidden": "true" }), plain(name, 200));
  return title;
}

// A group of buttons of which one is pressed.
function choice(label, options, chosen, onChange) {
  const group = el("div", { class: "choice", role: "group", "aria-label": label });
  for (const [value, text] of options) {
    const button = el("button", { type: "button", "aria-pressed": String(value === chosen) }, text);
    button.addEventListener("click", () => {
      for (const other of group.children) other.setAttribute("aria-pressed", String(other === button));
      onChange(value);
    });
    group.append(button);
  }
  return group;
}

function picker(label, options, chosen, onChange) {
  const select = el("select", { "aria-label": label });
  for (const [value, text] of options) select.append(el("option", { value, selected: value === chosen }, text));
  select.addEventListener("change", () => onChange(select.value));
  return el("label", {}, label, select);
}

// Bars: how often in each stretch of training.
function sparkline(counts, width, height, label) {
  const svg = svgEl("svg", { class: "spark", width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label });
  const most = Math.max(1, ...counts);
  const step = width / counts.length;
  svg.append(svgEl("line", { x1: 0, x2: width, y1: height - 0.5, y2: height - 0.5 }));
  counts.forEach((count, place) => {
    if (!count) return;
    const tall = Math.max(1.5, (count / most) * (height - 2));
    svg.append(svgEl("rect", { x: place * step, y: height - tall, width: Math.max(1, step - 1), height: tall }));
  });
  return svg;
}
