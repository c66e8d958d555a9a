"""The package where nothing can be written, and from several threads."""

import ast
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numba.core import caching

from meds_rl.hdbscan import compiled, hierarchy
from meds_rl.hdbscan.spanning_tree import build, insert


def test_compiles_without_a_cache_where_no_folder_is_writable(monkeypatch):
    monkeypatch.setattr(caching.CacheImpl, "_locator_classes", [])

    @compiled.compiled(compiled.VALUES)
    def total(values):
        return values.sum()

    assert total(np.array([1.0, 2.0])) == 3.0
    assert total.stats.cache_path is None


def test_compiles_without_a_cache_where_the_disk_is_full(monkeypatch):
    def full(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr(caching.IndexDataCacheFile, "save", full)

    @compiled.compiled(compiled.VALUES)
    def total(values):
        return values.sum()

    assert total(np.array([1.0, 2.0])) == 3.0


def test_a_second_process_finds_the_compiled_code():
    code = (
        "from meds_rl.hdbscan import spanning_tree as tree; "
        "print(sum(sum(kernel.stats.cache_misses.values()) for kernel in "
        "(tree.star_edges, tree._join, tree._connect, tree._lengths)))"
    )
    for _ in range(2):
        output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert output.stdout.strip() == "0"


def test_a_kernel_calls_into_no_other_file():
    # Numba keeps compiled code until the kernel's own file changes; what it calls in another file may be outdated then.
    folder = Path(hierarchy.__file__).parent
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in folder.glob("*.py")}
    functions = [(path, node) for path, tree in trees.items() for node in tree.body if is_kernel(node)]
    assert len(functions) > 10
    for path, function in functions:
        imported = {
            alias.name
            for node in trees[path].body
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("meds_rl")
            for alias in node.names
        }
        used = {node.id for statement in function.body for node in ast.walk(statement) if isinstance(node, ast.Name)}
        assert not used & imported, f"{path.name}: {function.name}"


def is_kernel(node):
    decorators = map(ast.unparse, node.decorator_list) if isinstance(node, ast.FunctionDef) else ()
    return any(decorator == "part" or decorator.startswith("compiled(") for decorator in decorators)


def test_threads_side_by_side_give_what_one_gives():
    sets = [np.random.default_rng(seed).normal(size=(60 + seed, 5)) for seed in range(40)]

    def cluster(points):
        parent = build(points[:20])
        for n in range(30, len(points) + 10, 10):
            parent = insert(points[:n], parent)
        return parent.tolist(), hierarchy.tree_labels(points, parent).tolist()

    alone = [cluster(points) for points in sets]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(cluster, sets)) == alone
