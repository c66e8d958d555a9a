r"""Reads a working without numbers: which names of the prompt each sentence has, and whether it has a "not".

>>> prompt = "Zoey says that Riley is a liar. Who lies?"
>>> read_copied(prompt, "Riley is no liar, so Zoey lies.\nRiley tells the truth").name
'not b, a, b'
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import pairwise

from meds_rl.fingerprint.roles import Working, letter_of, mix

MAX_SENTENCES = 100
MAX_NAMES = 64

_WORD = re.compile(r"[^\W\d_]+")
_SENTENCE = re.compile(r"[.,;:!?\n]+")
_NO_NAMES = frozenset(
    _WORD.findall(
        "a an and are as at by each find for from given he her his how i if in is it let of on or she so suppose the "
        "then there they this to we what when where which who why with you your"
    )
)
_LISTED = re.compile(r"^[^\w\n]*(?:[A-Z][a-z]+ )?\d+\W", re.MULTILINE)  # "1.", "Case 2:"
_DIGIT = re.compile(r"\d")
_QUOTES = frozenset("'\"“‘`")
_NOT = frozenset(("not", "no", "never", "cannot", "n", "isn", "doesn", "false"))
_PLACE, _NEXT, _NEGATED = 307, 311, 313


@lru_cache(maxsize=4096)
def _names(prompt: str) -> dict[str, int]:
    """The names in a prompt -> their place: words that always begin with a capital, and quoted words."""
    found: dict[str, int] = {}
    common = {word for word in _WORD.findall(prompt) if word[0].islower()} | _NO_NAMES
    for match in _WORD.finditer(prompt):
        word, before = match[0], prompt[max(0, match.start() - 1) : match.start()]
        if before in _QUOTES or (word[0].isupper() and word.lower() not in common):
            found.setdefault(word.lower(), len(found))
    return dict(list(found.items())[:MAX_NAMES])


def read_copied(prompt: str, working: str) -> Working | None:
    """The sentences of a working with a name of the prompt; None if there are none, or if it has numbers: names do
    not say what was done with these."""
    names = _names(prompt)
    if not names or _DIGIT.search(_LISTED.sub(" ", working)):
        return None
    steps: list[str] = []
    codes: list[int] = []
    for sentence in _SENTENCE.split(working)[: 4 * MAX_SENTENCES]:
        words = [word.lower() for word in _WORD.findall(sentence)]
        places = [names[word] for word in words if word in names]
        if places and len(steps) < MAX_SENTENCES:
            is_negated = not _NOT.isdisjoint(words)
            steps.append(("not " if is_negated else "") + " ".join(letter_of(place) for place in places))
            code = _NEGATED if is_negated else 0
            for place in places:
                code = mix(_PLACE, code, place)
            codes.append(code)
    if not steps:
        return None
    key = 0
    for code in codes:
        key = mix(key, code)
    neighbours = [mix(_NEXT, one, other) for one, other in pairwise(codes)]
    name = ", ".join(steps)
    return Working(name, name, key, (*codes, *neighbours))
