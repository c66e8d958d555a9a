// Completions may be hostile: they enter the page as text nodes only, with invisible characters made visible.
"use strict";

// Controls, directions, zero widths, fillers, blanks, tags, variation selectors (but the one that makes an emoji) and
// halves of characters.
const UNSEEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u2800\u3164\ufe00-\ufe0e\ufeff\uffa0\ufff0-\ufffb\u{1bca0}-\u{1bca3}\u{1d173}-\u{1d17a}\u{e0000}-\u{e0fff}\ud800-\udfff]|(?<!\p{Emoji})\ufe0f/gu;
const SHOWN_AT_FIRST = 20000;

function nameOf(letter) {
  const code = letter.codePointAt(0);
  if (code < 0x20) return String.fromCodePoint(0x2400 + code);
  if (code === 0x7f) return "\u2421";
  return "U+" + code.toString(16).toUpperCase().padStart(4, "0");
}

// Appends text to a node: control and direction characters as marked names, hits of a search as <mark>.
function putText(node, text, query) {
  let last = 0;
  for (const found of text.matchAll(UNSEEN)) {
    putMarked(node, text.slice(last, found.index), query);
    node.append(el("span", { class: "control-character", title: "a character that cannot be seen" }, nameOf(found[0])));
    last = found.index + found[0].length;
  }
  putMarked(node, text.slice(last), query);
  return node;
}

// A sentence of ours whose lines do not break before a "%".
function putSentence(node, text) {
  return putText(node, text.replace(/(\d) ?%/g, "$1\u00a0%"));
}

// Equations that are not broken over two lines; a line may end with a hyphen, but not with a minus sign.
function unbroken(text) {
  return text.replace(/(?<=[\d)]) ([-+*/^=]) (?=[\d(])/g, (_, sign) => `\u00a0${sign === "-" ? "\u2212" : sign}\u00a0`);
}

// The beginning of a text, no character cut in two.
function beginning(text, length) {
  if (text.length <= length) return text;
  const high = text.charCodeAt(length - 1);
  return text.slice(0, high >= 0xd800 && high < 0xdc00 ? length - 1 : length);
}

function putMarked(node, text, query) {
  const plain = text.toLowerCase();
  if (!query || plain.length !== text.length) {
    if (text) node.append(text);
    return;
  }
  let from = 0;
  for (let at = plain.indexOf(query); at >= 0; at = plain.indexOf(query, from)) {
    if (at > from) node.append(text.slice(from, at));
    node.append(el("mark", {}, text.slice(at, at + query.length)));
    from = at + query.length;
  }
  if (from < text.length) node.append(text.slice(from));
}

// A text in one line without invisible or direction characters, for labels and attributes.
function plain(text, width) {
  const line = beginning(String(text), 8 * width).replace(/\s+/g, " ").replace(UNSEEN, nameOf).trim();
  return line.length > width ? beginning(line, width - 1) + "…" : line;
}

// A <pre> with a long text, whose end is shown on a click.
function textBlock(text, query) {
  const block = el("pre", { class: "text", dir: "auto", tabindex: "0" });
  if (text.length <= SHOWN_AT_FIRST) return putText(block, text, query);
  const first = beginning(text, SHOWN_AT_FIRST);
  putText(block, first, query);
  const more = el("button", { type: "button" }, `Show all ${number(text.length)} characters`);
  more.addEventListener("click", () => {
    more.remove();
    putText(block, text.slice(first.length), query);
    block.focus();
  });
  return el("div", {}, block, more);
}
