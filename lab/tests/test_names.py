"""The lab uses public names of the library only, and no two files of the lab import each other in a circle."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import meds_lab

ROOT = Path(meds_lab.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imports(path: Path) -> Iterator[tuple[str, str]]:
    """Module and name of each import of ours, wherever it is in the file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from ((node.module, alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_only_public_names_of_the_library_are_used(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    own = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    for module, name in imports(path):
        if module.split(".")[0] == "meds_rl":
            private = [part for part in [*module.split("."), name] if part.startswith("_") and part != "__version__"]
            assert not private, f"{module}.{name}"
    # `self._name` of a class that derives from one of the library would be the library's.
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and any(
            isinstance(base, ast.Name) and base.id in ("MEDSTrainer", "ErrorMemory", "RewardShaper")
            for base in node.bases
        ):
            used = {
                one.attr
                for one in ast.walk(node)
                if isinstance(one, ast.Attribute) and one.attr.startswith("_") and not one.attr.startswith("__")
            }
            assert used <= own, f"{node.name} uses {sorted(used - own)}"


def test_no_circle_of_files():
    modules = {".".join(["meds_lab", *path.relative_to(ROOT).with_suffix("").parts]): path for path in FILES}
    modules |= {name.removesuffix(".__init__"): path for name, path in modules.items()}
    needs = {}
    for name, path in modules.items():
        if name.endswith(".__init__"):
            continue
        found = {one for pair in imports(path) for one in (pair[0], ".".join(pair)) if one in modules}
        needs[name] = found - {name}
    while ready := [name for name, needed in needs.items() if not needed & needs.keys()]:
        for name in ready:
            del needs[name]
    assert not needs, f"a circle among {sorted(needs)}"
