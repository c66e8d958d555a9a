"""Which tests an environment can run: TRL and verl cannot share one."""

from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import settings

# Nothing here asserts how long something takes: these machines are shared.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

ENGINES = Path(__file__).parent / "src" / "meds_rl" / "engines"
# Doctests import the modules they stand in.
collect_ignore = [str(ENGINES / name) for name in ("trl", "verl") if find_spec(name) is None]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what belongs to verl's environment, docstrings' examples too."""
    for item in items:
        if "verl" in item.path.parts and "engines" in item.path.parts:
            item.add_marker(pytest.mark.verl)
