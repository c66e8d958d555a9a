"""The wheel: small, whole, and usable in an empty folder outside the clone."""

import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MOST_BYTES = 3_000_000

pytestmark = pytest.mark.wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, ROOT], check=True
    )
    (path,) = folder.glob("meds_rl-*.whl")
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
