"""The categories that wrong completions are sorted into."""

import os
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple


class Category(NamedTuple):
    """A kind of mistake.

    Attributes:
        name: The label.
        meaning: What it means, for the annotator.
    """

    name: str
    meaning: str


def read_categories(path: str | os.PathLike[str] | None = None) -> list[Category]:
    """Categories out of a text file: one a line, `name: what it means`; lines that start with # are left out.

    Args:
        path: None: the eleven kinds of mathematical mistakes that come with the library.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: A line without a name or a meaning, a name that comes twice, or fewer than two categories.

    Example:
        >>> [category.name for category in read_categories()][:3], len(read_categories())
        (['misreading', 'calculation', 'sign or direction'], 11)
    """
    if path is None:
        text = (files(__package__) / "prompts" / "categories.txt").read_text(encoding="utf-8")
    else:
        text = Path(path).read_text(encoding="utf-8-sig")  # editors of Windows begin with a mark
    found: dict[str, Category] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, _, meaning = (part.strip() for part in line.partition(":"))
        if not name or not meaning:
            raise ValueError(
                f'line {number} of the categories must be "name: what it means", got {line[:80]!r}'
            )
        if name in found:
            raise ValueError(f"line {number} of the categories names {name!r} a second time")
        found[name] = Category(name, meaning)
    if len(found) < 2:
        raise ValueError(f"there must be two categories or more, got {len(found)}")
    return list(found.values())
