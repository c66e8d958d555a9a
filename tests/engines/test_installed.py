"""Versions that the extras do not admit are refused when an adapter is imported, with the line that helps."""

import pytest

import meds_rl.engines as engines

NEEDED = ["numpy>=1.26", 'trl<2,>=1.10; extra == "trl"', 'verl[verl-core]<0.10,>=0.9.1; extra == "verl"']


@pytest.fixture
def installed(monkeypatch):
    versions = {"numpy": "2.4.6"}
    monkeypatch.setattr(engines, "_requirements", lambda: NEEDED)
    monkeypatch.setattr(engines, "find_spec", versions.get)
    monkeypatch.setattr(engines, "_version", versions.get)
    return versions


@pytest.mark.parametrize(
    ("engine", "found", "is_admitted"),
    [
        ("trl", "1.9.2", False),
        ("trl", "1.10.0", True),
        ("trl", "1.17.0.dev0", True),
        ("trl", "2.0.0", False),
        ("verl", "0.9.0", False),
        ("verl", "0.9.2", True),
        ("verl", "0.10.0.dev0", False),
    ],
)
def test_versions_outside_the_range_are_refused(installed, engine, found, is_admitted):
    installed[engine] = found
    if is_admitted:
        engines.check_installed(engine)
        return
    with pytest.raises(ImportError, match=rf'needs {engine}<.* \(found {found}\).*: pip install "meds-rl\[{engine}\]"'):
        engines.check_installed(engine)


def test_all_wrong_versions_are_named(installed):
    installed |= {"trl": "1.9.2", "numpy": "1.25.0"}
    with pytest.raises(ImportError, match=r"needs numpy>=1.26 \(found 1.25.0\), trl<2,>=1.10 \(found 1.9.2\)\. "):
        engines.check_installed("trl")


@pytest.mark.usefixtures("installed")
def test_a_missing_engine_is_named():
    with pytest.raises(ImportError, match=r'needs verl\. Install it with: pip install "meds-rl\[verl\]"'):
        engines.check_installed("verl")
