r"""Reads a Python program as its statements, with names replaced by v1, v2, ... and long strings left out.

>>> a = "```python\ndef total(xs):\n    s = 0\n    for x in xs:\n        s += x\n    return s\n```"
>>> b = "def f(numbers):\n    result = 0\n    for n in numbers:\n        result += n\n    return result"
>>> read_code(a).key == read_code(b).key
True
>>> read_code(b).name
'def v1(v2): v3 = 0; for v4 in v2: v3 += v4; return v3'
"""

from __future__ import annotations

import ast
import builtins
import re
import warnings
from itertools import pairwise

from meds_rl.fingerprint.roles import Working, mix, text_hash

MAX_CHARACTERS = 20_000
"""A longer program is not read."""

_FENCED = re.compile(r"^([ \t]*)```[ \t]*(\w*)[^\n]*\n(.*?)(?:^[ \t]*```|\Z)", re.DOTALL | re.MULTILINE)
_LANGUAGES = ("python", "python3", "py")
_DEFINES = re.compile(r"^(?:async +def|def|class)\b", re.MULTILINE)
_BEGINS = re.compile(r"^(?:def|class|import|from|for|while|async|return|if|@)\b", re.MULTILINE)
_BUILTINS = frozenset(dir(builtins))
_NEXT, _HEADER = 211, 223


def find_program(completion: str) -> str | None:
    r"""The program that a completion gives as its answer, without blank lines around it; None if there is none.

    With fences, it is the last block marked as Python, or else the last block without a language. Blocks that define a
    function or class come first, because models often add a block that only calls it. A block without a closing fence
    ends with the completion. Without a fence, it is the whole completion if that is Python, or the body of a function,
    with a statement that is more than a name or value.

    >>> find_program("So:\n```python\nprint(1)\n```\nIt prints\n```\n1\n```")
    'print(1)'
    >>> find_program("    return a + b")
    '    return a + b'
    >>> find_program("I do not know.") is None
    True
    """
    fenced = _FENCED.findall(completion)
    if fenced:
        tagged = [one for one in fenced if one[1].lower() in _LANGUAGES] or [one for one in fenced if not one[1]]
        blocks = [_dedented(text, indent) for indent, _, text in tagged]
        defining = [block for block in blocks if _DEFINES.search(block)]
        return _trimmed((defining or blocks)[-1]) if blocks else None
    if len(completion) <= MAX_CHARACTERS and (_does_something(completion) or _does_something(f"if 1:\n{completion}")):
        return _trimmed(completion)
    return None


def _dedented(block: str, indent: str) -> str:
    """The block without the indentation of its fence, which a block in a list has."""
    return re.sub(f"^{indent}", "", block, flags=re.MULTILINE) if indent else block


def _trimmed(program: str) -> str | None:
    return re.sub(r"\A(?:[ \t]*\n)+", "", program.rstrip()) or None


def _does_something(text: str) -> bool:
    """Whether the text is Python with a statement that is more than a name or value."""
    tree = parse(text)
    statements = tree.body if tree is not None else []
    if text.startswith("if 1:\n") and statements and isinstance(statements[0], ast.If):
        statements = statements[0].body
    return any(not isinstance(one, ast.Expr) or isinstance(one.value, ast.Call) for one in statements)


def parse(program: str) -> ast.Module | None:
    """The program's syntax tree; None if it is not Python, or nested too deeply."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about invalid escapes in the program's strings
            return ast.parse(program)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def read_code(completion: str) -> Working | None:
    """The statements of the last fenced program, or of a completion that is a program; None if there is none."""
    fenced = _FENCED.findall(completion)
    text = find_program(completion) if fenced else completion
    if text is None or len(text) > MAX_CHARACTERS or not (_is_tagged(fenced) or _BEGINS.search(text)):
        return None
    tree = parse(text)
    if tree is None:
        return None
    try:
        lines = list(_lines(_Renamed().visit(tree).body))
    except (ValueError, RecursionError, MemoryError):
        return None
    if not lines:
        return None
    own = [text_hash(line) for line in lines]
    key = 0
    for number in own:
        key = mix(key, number)
    neighbours = [mix(_NEXT, one, other) for one, other in pairwise(own)]
    name = " ".join(line if line.endswith(":") else f"{line};" for line in lines).removesuffix(";")
    return Working(name, name, key, (*own, *neighbours))


def _is_tagged(fenced: list[tuple[str, str, str]]) -> bool:
    return any(name.lower() in _LANGUAGES for _, name, _ in fenced)


class _Renamed(ast.NodeTransformer):
    """Variables, arguments and functions become v1, v2, ... in their order; builtins keep their names."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}

    def _name(self, name: str) -> str:
        return name if name in _BUILTINS else self._names.setdefault(name, f"v{len(self._names) + 1}")

    def visit_Name(self, node: ast.Name) -> ast.AST:
        node.id = self._name(node.id)
        return node

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.arg, node.annotation = self._name(node.arg), None
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.name, node.returns, node.body = self._name(node.name), None, _without_docstring(node.body)
        return self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        if node.value is None:
            return ast.Pass()
        return self.generic_visit(ast.Assign([node.target], node.value, lineno=0))

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        if isinstance(node.value, str) and len(node.value) > 12:
            return ast.Constant("...")
        return node


def _without_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    first = body[0]
    is_docstring = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    return body[1:] if is_docstring and len(body) > 1 else body


def _lines(body: list[ast.stmt]) -> list[str]:
    """The statements as `ast.unparse` writes them, without comments; imports are left out."""
    kept = [statement for statement in body if not isinstance(statement, ast.Import | ast.ImportFrom)]
    text = ast.unparse(ast.Module(kept, []))
    return [line.strip() for line in text.splitlines() if line.strip()]
