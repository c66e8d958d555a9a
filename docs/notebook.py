"""Makes examples/tour.ipynb of the three examples and runs it: their code in cells, with what they print.

make notebook
python docs/notebook.py [FILE.ipynb]
"""

import ast
import os
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

ROOT = Path(__file__).parents[1]
SCRIPTS = ("see", "train", "own_loop")

HEAD = """\
# A tour in three examples

See which mistakes a policy repeats, train with a memory of them, and use the memory in a loop of your own. Everything
runs on a CPU, without a network, after `pip install -e ".[trl,report]"` in a clone. The cells are the scripts of this
folder; `make notebook` writes them."""

TO_THE_ROOT = """\
from os import chdir
from pathlib import Path

if Path("tour.ipynb").exists():
    chdir("..")  # the paths below begin in the clone's folder"""


def main() -> None:
    output = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "examples" / "tour.ipynb")
    notebook = tour()
    run(notebook)
    nbformat.write(notebook, output)


def tour() -> Any:
    cells = [new_markdown_cell(HEAD), new_code_cell(TO_THE_ROOT)]
    for name in SCRIPTS:
        source = (ROOT / "examples" / f"{name}.py").read_text(encoding="utf-8")
        title = (ast.get_docstring(ast.parse(source)) or "").partition(": python ")[0]
        cells += [new_markdown_cell(f"## [{name}.py]({name}.py)\n\n{title}."), *map(new_code_cell, parts(source))]
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"  # nbformat's are random
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return new_notebook(cells=cells, metadata={"kernelspec": kernel})


def parts(source: str) -> list[str]:
    """The paragraphs of a script after its docstring, the imports together with the first."""
    imports, *rest = re.split(r"\n\n+(?=[^\s\"])", source.strip())[1:]
    while re.match(r"(import|from) ", rest[0]):
        imports += "\n\n" + rest.pop(0)
    return [f"{imports}\n\n{rest[0]}", *rest[1:]]


def run(notebook: Any) -> None:
    """Run the cells in a copy of the folder, and keep what they print."""
    with tempfile.TemporaryDirectory() as folder:
        examples = Path(folder, "examples")
        examples.mkdir()
        (examples / "tour.ipynb").touch()
        Path(folder, "tests").symlink_to(ROOT / "tests")
        os.environ.update(IPYTHONDIR=f"{folder}/ipython", PYTHONWARNINGS="ignore", COLUMNS="100")
        NotebookClient(notebook, timeout=600, record_timing=False, resources={"metadata": {"path": examples}}).execute()
    notebook.metadata.pop("language_info", None)  # the version of Python
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = printed(cell.outputs)


def printed(outputs: list[Any]) -> list[Any]:
    """Without progress bars and warnings, which have times and paths; rich's text as text."""
    text = ""
    for output in outputs:
        if output.output_type == "stream" and output.name == "stdout":
            text += output.text
        elif output.output_type == "display_data" and not output.data["text/plain"].startswith("<"):
            text += output.data["text/plain"]
    return [nbformat.v4.new_output("stream", name="stdout", text=text)] if text else []


if __name__ == "__main__":
    main()
