// Opens the report: reads the data, puts the sections in place, sets up theme and keys.
"use strict";

const THEMES = ["auto", "light", "dark"];
const systemDark = matchMedia("(prefers-color-scheme: dark)");
let theme = "auto";

function applyTheme() {
  const scheme = theme === "auto" ? (systemDark.matches ? "dark" : "light") : theme;
  const changed = document.documentElement.dataset.theme !== scheme;
  document.documentElement.dataset.theme = scheme;
  const button = document.getElementById("theme");
  const names = { auto: "as the system has them", light: "light", dark: "dark" };
  button.textContent = `◐ ${theme[0].toUpperCase()}${theme.slice(1)}`;
  button.setAttribute("aria-label", `Colours: ${names[theme]}`);
  if (changed && charts.themes) redrawCharts();
}

function setUpTheme() {
  document.getElementById("theme").addEventListener("click", () => {
    theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
    applyTheme();
  });
  systemDark.addEventListener("change", applyTheme);
  applyTheme();
}

function setUpNavigation(sections) {
  const nav = document.getElementById("nav");
  const links = new Map();
  for (const section of sections) {
    const link = el("a", { href: `#${section.id}` }, section.getAttribute("aria-label"));
    links.set(section, link);
    nav.append(link);
  }
  const watcher = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      for (const [section, link] of links) {
        if (section === entry.target) link.setAttribute("aria-current", "true");
        else link.removeAttribute("aria-current");
      }
      showLink(nav, links.get(entry.target));
    }
  }, { rootMargin: "-20% 0px -70% 0px" });
  for (const section of sections) watcher.observe(section);
  const fade = () => {
    nav.classList.toggle("more-left", nav.scrollLeft > 1);
    nav.classList.toggle("more-right", nav.scrollLeft + nav.clientWidth < nav.scrollWidth - 1);
  };
  nav.addEventListener("scroll", fade, { passive: true });
  new ResizeObserver(fade).observe(nav);
}

// On a phone the strip of links is wider than the window, and fades where it goes on. Scrolling it must not scroll the
// page.
function showLink(nav, link) {
  nav.scrollTo({ left: link.offsetLeft - nav.offsetLeft - (nav.clientWidth - link.offsetWidth) / 2 });
}

function setUpKeys() {
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") hideTooltip();
    const typing = /^(input|select|textarea)$/i.test(event.target.tagName ?? "");
    if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || document.getElementById("detail").open) return;
    event.preventDefault();
    document.getElementById("search")?.focus();
  });
  document.addEventListener("scroll", hideTooltip, { passive: true });
}

async function openReport() {
  document.getElementById("loading").hidden = false;
  setUpTheme();
  const report = await readReport();
  startCharts(report);
  setUpDetail();
  const sections = [summarySection(report)];
  if (report.outlooks?.length) sections.push(outlookSection(report));
  if (report.errors.length) sections.push(errorsSection(report));
  if (report.maps.length) sections.push(mapSection(report));
  if (report.figures.course.some(hasCourse)) sections.push(courseSection(report));
  if (report.figures.evaluations.length) sections.push(evaluationSection(report));
  if (report.differences?.rows?.length) sections.push(comparisonSection(report));
  const main = document.getElementById("main");
  main.replaceChildren(...sections);
  setUpNavigation(sections);
  setUpKeys();
  document.getElementById("made").textContent = `Made by meds-rl ${report.version} on ${report.made}. The page holds all of its data and loads nothing. Keys: / searches, arrows move on the map, Esc closes.`;
  requestIdleCallback(drawInIdleTime);
  document.documentElement.dataset.ready = "true";
}

openReport().catch((error) => {
  const place = document.getElementById("loading") ?? document.getElementById("main");
  place.textContent = `The report cannot be shown: ${error.message}`;
  throw error;
});
