"""The annotator against `transformers serve`, a real server of the protocol, with real small models."""

import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager

import pytest

from meds_rl.evaluation.annotator import (
    Endpoint,
    Question,
    ReplyCache,
    annotate,
    diversity_question,
    read_categories,
    strategy_question,
)
from meds_rl.tasks.pocket import load_pocket_model

pytestmark = pytest.mark.long

TEMPLATE = "{% for message in messages %}{{ message['content'] }}\n{% endfor %}"


@contextmanager
def transformers_serve(folder, seconds=240):
    """The address of a server of the model in a folder, in a process of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    code = "import sys; from transformers.cli.transformers import main; sys.argv[0] = 'transformers'; main()"
    options = [
        "serve",
        str(folder),
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--device",
        "cpu",
        "--dtype",
        "float32",
    ]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    process = subprocess.Popen(
        [sys.executable, "-c", code, *options],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        deadline = time.monotonic() + seconds
        while True:
            try:
                opener.open(f"http://127.0.0.1:{port}/health", timeout=5).close()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > deadline:
                    pytest.fail(f"transformers serve did not start (exit code {process.poll()})")
                time.sleep(0.2)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait(30)


def first_digit(reply):
    found = re.search(r"[0-9]", reply)
    return int(found[0]) if found else None


def test_the_pocket_model_behind_a_real_server(tmp_path):
    pytest.importorskip("fastapi")
    model, tokenizer = load_pocket_model()
    tokenizer.chat_template = TEMPLATE
    model.save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    with transformers_serve(tmp_path / "model") as url:
        endpoint = Endpoint(url, str(tmp_path / "model"), {"temperature": 0, "max_tokens": 40}, timeout=60)
        # The pocket model does sums and nothing else: its reply to a sum holds a digit, to anything else no score.
        sums = [Question(f"what is {a} + 3 * 2?", "again", first_digit) for a in (4, 5)]
        score = diversity_question("what is 4 + 3 * 2?", ["4 + 3 = 7", "3 * 2 = 6"])
        found = annotate(endpoint, [*sums, score], cache=ReplyCache(tmp_path / "cache"), attempts=2, first_wait=0.1)
        again = annotate(endpoint, sums, cache=ReplyCache(tmp_path / "cache"))
        stranger = Endpoint(url, "no/such-model")
        unknown = annotate(stranger, sums[:1], attempts=1)
    assert None not in found.values[:2]
    assert found.values[2] is None
    assert found.errors == {"cut off at the length limit (max_tokens)": 2}
    assert (again.values, again.num_sent) == (found.values[:2], 0)
    assert unknown.values == [None]
    assert next(iter(unknown.errors)).startswith("http 4")


@pytest.mark.slow
def test_smollm2_behind_a_real_server(tmp_path):
    pytest.importorskip("fastapi")
    pytest.importorskip("gguf")
    from meds_rl.tasks.models import gguf_path, load_smollm2

    try:
        gguf_path()
    except ImportError as error:
        pytest.skip(str(error))
    model, tokenizer = load_smollm2("bfloat16")
    model.save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    questions = [
        Question("Repeat exactly: Score: 4", "Repeat exactly: Score: 4", first_digit),
        diversity_question("What is 3 + 4 * 2?", ["3 + 4 = 7, 7 * 2 = 14.", "4 * 2 = 8, 8 + 3 = 12."]),
        strategy_question("What is 3 + 4 * 2?", "3 + 4 = 7, 7 * 2 = 14.", read_categories()),
    ]
    with transformers_serve(tmp_path / "model") as url:
        endpoint = Endpoint(url, str(tmp_path / "model"), {"temperature": 0, "max_tokens": 16}, timeout=600)
        found = annotate(endpoint, questions, attempts=2, concurrency=1)
    print(found)
    assert found.values[0] == 4
    # 135 million parameters may or may not keep to the form; every question has a value or is counted as failed.
    assert found.num_failed == found.values.count(None)
    assert set(found.errors) <= {"not of the form asked for", "cut off at the length limit (max_tokens)"}
    assert len(questions) <= found.num_sent <= 2 * len(questions)
