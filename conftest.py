"""Which tests an environment can run: TRL and verl cannot share one."""

import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import settings

# Nothing here asserts how long something takes: these machines are shared.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

SOURCE = Path(__file__).parent / "src" / "meds_rl"
# Doctests import the modules they stand in.
collect_ignore = [str(SOURCE / "engines" / name) for name in ("trl", "verl") if find_spec(name) is None]
collect_ignore.append(str(Path(__file__).parent / "tests" / "typed_user.py"))  # for type checkers only
if shutil.which("bwrap") is None:
    collect_ignore.append(str(SOURCE / "tasks" / "sandbox.py"))  # its examples run programs


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what belongs to verl's environment, docstrings' examples too."""
    for item in items:
        if "verl" in item.path.parts and "engines" in item.path.parts:
            item.add_marker(pytest.mark.verl)
