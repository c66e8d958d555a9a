"""`meds diversity` end to end, with a local server in the annotator's place."""

import json
import re

import pytest

from meds_rl.cli import main
from meds_rl.runs.samples import samples_table, write_samples

from ..evaluation.annotator.server import Reply, said, serving


@pytest.fixture
def samples(tmp_path):
    rows = [
        {
            "benchmark": "pocket",
            "group": f"test {kind}",
            "problem_id": f"{kind} {problem}",
            "prompt": json.dumps([{"role": "user", "content": f"{kind} question {problem}"}]),
            "sample": number,
            "completion": f"so \\boxed{{{number % 3}}} \x1b[31m",
            "answer": str(number % 3),
            "is_correct": number == 0,
            "fingerprint": [float(number), float(number % 3)],
        }
        for kind in ("easy", "hard")
        for problem in range(3)
        for number in range(5)
    ]
    path = tmp_path / "samples.parquet"
    write_samples(path, samples_table(rows))
    return path


def test_tables_and_json(samples, tmp_path, capsys):
    assert main(["diversity", str(samples), "--json", str(tmp_path / "out.json")]) == 0
    shown = capsys.readouterr().out
    assert "answer entropy, nats" in shown
    assert "\x1b[31m" not in shown
    data = json.loads((tmp_path / "out.json").read_text())
    assert data["schema_version"] == 1
    [result] = data["results"]
    assert list(result["parts"]) == ["pocket test easy", "pocket test hard"]
    part = result["parts"]["pocket test easy"]
    # Wrong are the answers 1 2 0 1 of each of three problems.
    assert (part["num_problems"], part["num_completions"]) == (3, 12)
    assert part["figures"]["distinct_answers"]["value"] == 3
    assert part["figures"]["repeated_share"]["value"] == 0.25
    assert set(part["figures"]) >= {"self_bleu", "vendi_fingerprints", "top1_eigenvalue_ratio"}


def test_the_annotator(samples, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("MY_KEY", "sk-secret")

    def answer(body, _):
        prompt = body["messages"][0]["content"]
        if "hard question 1" in prompt:
            return Reply({"error": "sk-secret"}, status=400)
        return said("Score: 4" if "SOLUTION 1" in prompt else "Category: 2")

    with serving(answer) as server:
        arguments = ["diversity", str(samples), "--annotate", "--endpoint", server.url, "--model", "tiny"]
        arguments += ["--api-key-env", "MY_KEY", "--json", str(tmp_path / "out.json")]
        assert main(arguments) == 0
        shown = capsys.readouterr()
        assert main(arguments) == 0
        again = capsys.readouterr()
    # A score of each of six problems, a label of each of 24 wrong completions; of one problem all 5 fail.
    assert "30 questions to tiny" in shown.out
    assert "30 requests will be sent" in shown.out
    assert "25 are answered in the cache" in re.sub(r"\s+", " ", again.out)
    assert "http 400 (5)" in shown.out
    assert "calculation" in shown.out
    text = (tmp_path / "out.json").read_text()
    found = json.loads(text)["results"][0]["annotator"]
    assert found["failed"] == 5
    assert found["labels"] == {"calculation": 20}
    assert found["scores"]["pocket test hard"] == {"mean": 4.0, "scores": {"hard 0": 4, "hard 2": 4}}
    assert "sk-secret" not in shown.out + shown.err + text
    assert (samples.parent / "annotator_cache").is_dir()
    assert all(headers["Authorization"] == "Bearer sk-secret" for _, headers, _ in server.requests)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--annotate"], "needs --endpoint URL and --model NAME"),
        (["--annotate", "--endpoint", "http://127.0.0.1:9"], "needs --endpoint URL and --model NAME"),
        (["--endpoint", "http://127.0.0.1:9"], "of no use without --annotate"),
        (["--annotate", "--endpoint", "x", "--model", "m"], "must be an address"),
        (
            ["--annotate", "--endpoint", "http://127.0.0.1:9", "--model", "m", "--api-key-env", "NONE_SUCH"],
            "NONE_SUCH",
        ),
        (
            ["--annotate", "--endpoint", "http://127.0.0.1:9", "--model", "m", "--concurrency", "0"],
            "--concurrency",
        ),
        (["--bins", "0"], "bins must be 1 or more"),
        (["--per-problem", "0"], "per_problem must be 1 or more"),
    ],
)
def test_bad_input_is_said_in_a_sentence(samples, capsys, monkeypatch, options, message):
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    assert main(["diversity", str(samples), *options]) == 2
    assert message in capsys.readouterr().err


def test_no_such_path(tmp_path, capsys):
    assert main(["diversity", str(tmp_path / "none")]) == 2
    assert "no file or folder" in capsys.readouterr().err
