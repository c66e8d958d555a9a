"""`meds diversity` end to end, with a local server in the annotator's place."""

import json
import os
import re
from pathlib import Path

import pytest

from meds_rl.cli import main
from meds_rl.evaluation.annotator import Annotations
from meds_rl.rollouts.samples import read_samples, samples_table, write_samples

from ..evaluation.annotator.server import Reply, said, serving
from ..evaluation.diversity.test_measure import write_run


@pytest.fixture
def samples(tmp_path):
    rows = [
        {
            "benchmark": "pocket",
            "group": f"test {kind}",
            "problem_id": f"{kind} {problem}",
            "prompt": json.dumps([{"role": "user", "content": f"{kind} question {problem}"}]),
            "sample": number,
            "completion": f"{number}: so \\boxed{{{number % 3}}} \x1b[31m",
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


def test_escapes_in_the_name_of_a_group_do_not_reach_the_terminal(samples, capsys):
    rows = [{**row, "group": f"\x1b[2J{row['group']}\u202e"} for row in read_samples(samples).to_pylist()]
    write_samples(samples, samples_table(rows))
    assert main(["diversity", str(samples)]) == 0
    shown = capsys.readouterr().out
    assert "[2Jtest easy" in " ".join(shown.split())
    assert not [letter for letter in shown if not letter.isprintable() and letter != "\n"]


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
    assert shown.out.index("answer entropy") < shown.out.index("questions to tiny"), "tables come first"
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
        (["--annotate", "--endpoint", "http://h:abc/v1", "--model", "m"], "port"),
        (["--annotate", "--endpoint", "http://h:70000/v1", "--model", "m"], "port"),
        (["--annotate", "--endpoint", "http://a b/v1", "--model", "m"], "without spaces"),
        (["--annotate", "--endpoint", "http://a..b/v1", "--model", "m"], "cannot be"),
        (["--annotate", "--endpoint", "http://h/v1", "--model", "m", "--timeout", "inf"], "timeout"),
        (
            ["--annotate", "--endpoint", "http://h/v1", "--model", "m", "--parameters", '{"top_p": 1e999}'],
            "without NaN and Infinity",
        ),
        (["--json", "."], "is a folder"),
        (["--json", "/dev/null"], "--json /dev/null is no regular file and is not replaced; name a new file"),
        (["--json", "/dev/null/out.json"], "cannot be written"),
        (["--annotate", "--endpoint", "http://127.0.0.1:9", "--model", "m", "--cache", "/dev/null"], "cache"),
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


def test_parameters_that_are_no_json(samples, capsys):
    with pytest.raises(SystemExit):
        main(["diversity", str(samples), "--parameters", '{"top_p": NaN}'])
    assert "not JSON" in capsys.readouterr().err


def test_nothing_is_lost_when_the_annotator_is_interrupted(samples, tmp_path, capsys, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("meds_rl.cli.annotator.annotate", interrupted)
    arguments = ["diversity", str(samples), "--json", str(tmp_path / "out.json")]
    arguments += ["--annotate", "--endpoint", "http://127.0.0.1:9/v1", "--model", "m"]
    assert main(arguments) == 130
    assert "answer entropy" in capsys.readouterr().out
    assert "parts" in json.loads((tmp_path / "out.json").read_text())["results"][0]


def test_one_job_does_not_draw_for_the_other(samples, monkeypatch):
    seen = []

    def spy(_, questions, **__):
        seen.append({question.prompt for question in questions if "SOLUTION 1" not in question.prompt})
        return Annotations([None] * len(questions))

    monkeypatch.setattr("meds_rl.cli.annotator.annotate", spy)
    arguments = [
        "diversity",
        str(samples),
        "--annotate",
        "--endpoint",
        "http://127.0.0.1:9/v1",
        "--model",
        "m",
    ]
    arguments += ["--annotate-completions", "6"]
    for options in (["--annotate-problems", "1"], ["--annotate-problems", "2"], ["--seed", "1"]):
        assert main([*arguments, *options]) == 0
    assert seen[0] == seen[1] != seen[2]


def test_the_announcement_names_the_proxy(samples, capsys, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://me:word@proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setattr(
        "meds_rl.cli.annotator.annotate",
        lambda _, questions, **__: Annotations([None] * len(questions)),
    )
    arguments = ["diversity", str(samples), "--annotate", "--model", "m", "--endpoint"]
    assert main([*arguments, "http://far.example/v1"]) == 0
    shown = capsys.readouterr().out
    assert "through the proxy http://proxy.example:3128" in shown
    assert "word@" not in shown
    assert main([*arguments, "http://127.0.0.1:9/v1"]) == 0
    assert "proxy" not in capsys.readouterr().out


def test_names_that_are_no_text(samples, tmp_path, capsys):
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/run\xff"))
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("this file system has names of text only")
    path = samples.rename(folder / "samples.parquet")
    assert main(["diversity", str(path), "--json", str(folder / "out.json")]) == 0
    assert json.loads((folder / "out.json").read_text())["results"][0]["path"] == str(path)
    assert "run\\udcff" in capsys.readouterr().out


def test_agreement_is_shown_beside_chance(tmp_path, capsys):
    run = write_run(tmp_path / "run")
    assert main(["diversity", str(run), "--bins", "1", "--json", str(tmp_path / "out.json")]) == 0
    shown = capsys.readouterr().out
    assert "by chance" in shown
    assert "4 groups, 0% of them all wrong; 0 more that only filled up batches" in shown
    found = json.loads((tmp_path / "out.json").read_text())["results"][0]
    assert found["population"] == {"num_groups": 4, "num_all_wrong": 0, "num_fillers": 0}
    one = found["agreement"]["answer"]["steps 0–10"]
    assert (one["completions"], one["prompts"]) == (9, 2)
    assert one["by_chance"]["adjusted_rand"] <= one["adjusted_rand"]
