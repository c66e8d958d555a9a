// Opens everything on the report's page and says what is wrong; called once a run, with what to search for.
async (terms) => {
  const idle = () => new Promise((done) => setTimeout(done, 0));
  const all = (selector) => [...document.querySelectorAll(selector)];
  const bad = new Set();
  // An invisible character, or one that turns text around, as text; after an emoji U+FE0F only makes it one.
  const unseen = /(?![\t\n])[\p{Cc}\p{Default_Ignorable_Code_Point}\p{Bidi_Control}\p{Zl}\p{Zp}\p{Cs}]/u;
  const shown = new Set(["aria-label", "aria-roledescription", "title", "placeholder", "label"]);
  const legible = (text, node) => !unseen.test(text.replace(node.closest("svg") ? /[\u200c\u200d\ufe0f\p{Cs}]/gu : /\p{Emoji}\ufe0f/gu, ""));
  const named = (node) => `${node.tagName}.${node.className.baseVal ?? node.className} in ${node.closest("[data-figure], section")?.dataset.figure ?? node.closest("[id]")?.id}`;
  const look = (where) => {
    if (window.__owned !== undefined) bad.add(`${where}: a script of a completion ran`);
    const strange = all("img, iframe, object, embed, form:not(.vega-bindings), base, video, audio, math, template, marquee, svg script, foreignObject, a[href]:not([href^='#']), body style");
    for (const node of strange) bad.add(`${where}: <${node.tagName}> ${node.outerHTML.slice(0, 80)}`);
    for (const node of all("body *")) {
      for (const { name, value } of node.attributes) {
        if (/^on/i.test(name)) bad.add(`${where}: attribute ${name}`);
        if (shown.has(name) && !legible(value, node)) bad.add(`${where}: ${name} of ${named(node)} is ${JSON.stringify(value.slice(0, 60))}`);
      }
    }
    const words = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let node = words.nextNode(); node; node = words.nextNode()) {
      const around = node.parentElement;
      if (!around.closest("script, style") && !legible(node.data, around)) bad.add(`${where}: ${named(around)} shows ${JSON.stringify(node.data.slice(0, 60))}`);
    }
    const scripts = all("script").length;
    if (scripts !== 3) bad.add(`${where}: ${scripts} scripts`);
    const { scrollWidth } = document.scrollingElement;
    if (scrollWidth > innerWidth) bad.add(`${where}: ${scrollWidth} pixels wide in a window of ${innerWidth}`);
  };
  window.__look = (where) => {
    bad.clear();
    look(where);
    return [...bad];
  };
  const press = async (selector) => {
    for (let place = 0; place < all(selector).length; place += 1) {
      all(selector)[place].click();
      await idle();
    }
  };
  for (const details of all("details")) details.open = true;
  look("summary");
  for (let place = 0; place < all("#ways .choice button").length || place === 0; place += 1) {
    all("#ways .choice button")[place]?.click();
    await press("#ways .unfold[aria-expanded=false]");
    look("ways");
  }
  const kinds = all("#errors [aria-label='Group errors by'] button").length;
  for (let place = 0; place < Math.max(1, kinds); place += 1) {
    all("#errors [aria-label='Group errors by'] button")[place]?.click();
    for (let number = 0; number < 10; number += 1) all("#errors tr.row .open[aria-expanded=false]")[0]?.click();
    await idle();
    look("errors");
  }
  const search = document.getElementById("search");
  for (const term of terms) {
    search.value = term;
    search.dispatchEvent(new Event("input"));
    await idle();
    look("search");
  }
  search.value = "";
  search.dispatchEvent(new Event("input"));
  await press("#map .choice button, #evaluations .choice button");
  const stage = document.querySelector("#map .stage");
  for (const key of ["ArrowRight", "ArrowDown", "End", "Enter"]) {
    stage?.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
    await idle();
    look("map");
  }
  document.querySelector("#detail[open] button")?.click();
  return [...bad];
}
