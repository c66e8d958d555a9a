"""Make the fixtures of verifiers: its command line `vf-eval`, against the server of `serve_completions.py`.

python tests/rollouts/dumps/make_verifiers.py {0.1.5,0.1.14,0.4.0}     # where this version is installed

The server must run on port 8765, freshly started. 0.1.5 needs "openai<2", "openai-agents<0.4" and httpx beside it.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
SERVER = "http://127.0.0.1:8765/v1"


def new(output: Path) -> list[str]:
    """verifiers 0.2 and later. Nothing is uploaded."""
    words = [
        "pocket_v04",
        "--env.agent.harness.id",
        "pocket_v04",
        "--env.agent.runtime.type",
        "subprocess",
        "--no-push",
    ]
    words += ["--no-rich", "--model", "pocket-stuck", "--client.base-url", SERVER, "--client.api-key-var", "STUB_KEY"]
    return [*words, "-r", "8", "-c", "1", "-o", str(output), "--run.name", "pocket_v04--pocket-stuck"]


def old() -> list[str]:
    words = ["pocket_v01", "-m", "pocket-stuck", "-b", SERVER, "-k", "STUB_KEY"]
    return [*words, "-n", "5", "-r", "8", "-c", "1", "-s"]


def main() -> None:
    version = sys.argv[1]
    output = Path(tempfile.mkdtemp())
    command = [str(Path(sys.executable).parent / "vf-eval"), *(old() if version.startswith("0.1") else new(output))]
    environment = os.environ | {"PYTHONPATH": str(HERE), "STUB_KEY": "none", "HF_HUB_OFFLINE": "1"}
    subprocess.run(command, cwd=output, env=environment, check=True)
    target = HERE / "verifiers" / version
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for name in ("results.jsonl", "metadata.json", "traces.jsonl"):
        for path in output.rglob(name):
            # The folder of a subprocess stands in a trace: not this machine's.
            (target / name).write_text(path.read_text().replace(str(Path.home()), "/home/user"))


if __name__ == "__main__":
    main()
