"""Adapters to training engines. Each is thin: the method itself lives in :mod:`meds_rl.shaping`."""

from importlib.metadata import PackageNotFoundError, requires, version
from importlib.util import find_spec


def check_installed(engine: str) -> None:
    """Raise ImportError if an engine is missing, or if pyproject.toml does not admit a version that is installed.

    pip refuses wrong versions only when it installs our extra. If it installs them later, it warns.
    """
    install = f'Install it with: pip install "meds-rl[{engine}]"'
    if find_spec(engine) is None:
        raise ImportError(f"meds_rl.engines.{engine} needs {engine}. {install}")
    from packaging.requirements import Requirement  # a dependency of both engines

    wrong = []
    for one in map(Requirement, _requirements()):
        if one.marker is None or one.marker.evaluate({"extra": engine}):
            found = _version(one.name)
            if found is not None and not one.specifier.contains(found, prereleases=True):
                wrong.append(f"{one.name}{one.specifier} (found {found})")
    if wrong:
        raise ImportError(f"meds_rl.engines.{engine} needs {', '.join(wrong)}. {install}")


def _requirements() -> list[str]:
    try:
        return requires("meds-rl") or []
    except PackageNotFoundError:  # a source tree that was never installed
        return []


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
