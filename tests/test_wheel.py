"""The release: an sdist, and of it a wheel that is small, whole, typed, and usable in a folder outside the clone."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MOST_BYTES = 3_000_000
MOST_BYTES_OF_THE_SDIST = 6_000_000
TYPED = [ROOT / "tests" / "typed_user.py", *(ROOT / "examples").glob("*.py")]

pytestmark = pytest.mark.wheel


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    """The folder of the sdist, and of the wheel that is built from it."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run([sys.executable, "-m", "build", "--outdir", folder, ROOT], check=True)
    return folder


@pytest.fixture(scope="module")
def wheel(release):
    (path,) = release.glob("meds_rl-*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """Runs `meds` of the wheel, in an empty folder. Everything else is taken from this environment."""
    folder = tmp_path_factory.mktemp("empty")
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    python = folder / "venv" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-deps", wheel], check=True)
    (packages,) = (folder / "venv" / "lib").glob("python*/site-packages")
    # The wheel's own folder comes first on the path, so the clone's editable install is not seen.
    (packages / "this_environment.pth").write_text(sysconfig.get_path("purelib") + "\n")

    def meds(*arguments):
        return subprocess.run(
            [folder / "venv" / "bin" / "meds", *arguments],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "HF_HUB_OFFLINE": "1"},
        )

    found = subprocess.run(
        [python, "-c", "import meds_rl; print(meds_rl.__file__)"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(found.stdout.strip()).is_relative_to(folder)
    return folder, meds


def test_the_wheel_is_small_and_holds_what_the_library_reads(wheel):
    assert wheel.stat().st_size <= MOST_BYTES
    names = zipfile.ZipFile(wheel).namelist()
    for part in ("_recipes/pocket.yaml", "py.typed", "model.safetensors", "page/template.html", "meds_trainer.yaml"):
        assert any(name.endswith(part) for name in names), part
    assert not [name for name in names if "meds_lab" in name or "compare-" in name]


def test_the_sdist_has_what_the_tests_read_and_no_checkpoints_of_the_lab(release):
    (path,) = release.glob("meds_rl-*.tar.gz")
    assert path.stat().st_size <= MOST_BYTES_OF_THE_SDIST
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for part in ("conftest.py", "constraints.txt", "Makefile", "tests/test_docs.py", "examples/see.py", "CITATION.cff"):
        assert part in names
    assert not [name for name in names if name.startswith(("lab/checkpoints", "runs"))]


def test_an_index_shows_the_readme_without_dead_links(release, wheel):
    subprocess.run([sys.executable, "-m", "twine", "check", "--strict", *release.iterdir()], check=True)
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        shown = message_from_bytes(archive.read(name)).get_payload()
    links = re.findall(r"\]\(([^)\s]+)\)|(?:src|href|srcset)=\"([^\"]+)", shown)
    assert links == [("https://arxiv.org/abs/2604.11297", "")]


@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_type_checkers_accept_what_users_write(installed, checker, tmp_path):
    """They read the annotations in the wheel."""
    python = installed[0] / "venv" / "bin" / "python"
    for path in TYPED:
        shutil.copy(path, tmp_path)
    (tmp_path / "mypy.ini").write_text("[mypy]\nstrict = true\n[mypy-datasets.*]\nignore_missing_imports = true\n")
    option = {"mypy": "--python-executable", "pyright": "--pythonpath"}[checker]
    done = subprocess.run(
        [sys.executable, "-m", checker, option, python, *(path.name for path in TYPED)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_shipped_recipe_trains_and_its_run_is_reported(installed):
    folder, meds = installed
    few = ("--max_steps", "2", "--eval_samples", "0", "--save_strategy", "no")
    trained = meds("train", "pocket.yaml", "--output_dir", "runs/one", *few)
    assert trained.returncode == 0, trained.stderr
    reported = meds("report", "runs/one")
    assert reported.returncode == 0, reported.stderr
    assert list((folder / "runs").rglob("*.html"))


def test_the_demo_runs(installed):
    folder, meds = installed
    done = meds("demo", "--steps", "1", "--output", "demo")
    assert done.returncode == 0, done.stderr
    assert (folder / "demo" / "report.html").is_file()
