// Texts that stand out from what lies behind them by less than 4.5:1 (WCAG AA), as "TAG.class ratio".
() => {
  const channel = (value) => (value / 255 <= 0.03928 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4);
  const luminance = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const numbers = (text) => {
    const found = text.match(/[\d.]+/g).map(Number);
    return text.startsWith("color(") ? found.map((value, place) => (place < 3 ? 255 * value : value)) : found;
  };
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = numbers(getComputedStyle(at).backgroundColor);
      if (colour.length < 4 || colour[3] > 0.5) return colour;
    }
    return [255, 255, 255];
  };
  const bad = new Set();
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!own || element.closest("svg, script, style, noscript, .skip, .visually-hidden") || !element.getClientRects().length) continue;
    const [a, b] = [luminance(numbers(getComputedStyle(element).color)), luminance(ground(element))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) bad.add(`${element.tagName}.${element.className} ${ratio.toFixed(2)}`);
  }
  return [...bad];
}
