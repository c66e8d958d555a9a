"""The subcommands on rollouts of other programs."""

import json
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

import pytest
from rich.console import Console

from meds_rl.cli import main
from meds_rl.cli.report import default_output, writable
from meds_rl.cli.watch import watch_lines
from meds_rl.report.data import report_data
from meds_rl.report.live.dumps import DumpFollower
from meds_rl.report.live.terminal import largest_error_line
from meds_rl.rollouts import RunFolder, RunFolderError, read
from meds_rl.rollouts.collect import ReadOptions
from meds_rl.rollouts.dumps import Dump, find_sources
from meds_rl.rollouts.evaluations import with_evaluations
from meds_rl.rollouts.reading import opened
from meds_rl.rollouts.samples import samples_table, write_samples

sys.path.insert(0, str(Path(__file__).parents[1] / "report"))
from runs import RIGHT, WRONG, write_run

DUMPS = Path(__file__).parents[1] / "rollouts" / "dumps"


@pytest.fixture
def trl(tmp_path):
    return Path(shutil.copytree(DUMPS / "trl" / "completions", tmp_path / "out" / "completions"))


def test_a_report_of_a_dump_says_what_was_recognised_and_what_is_repeated(trl, capsys):
    data = trl.parent / "data.json"
    assert main(["report", str(trl), "--json", str(data)]) == 0
    said = capsys.readouterr().out
    assert said.startswith("out/completions:\n")
    assert "to “what is 9 * 3 - 6 * 2?” the policy gave the answer “42” 42 times" in said
    assert "Note: out/completions/: TRL completions, 6 files, 384 completions of 8 prompts in 6 batches." in said
    assert f"Report: {trl / 'report.html'}" in said
    (run,) = json.loads(data.read_text())["runs"]
    assert (run["name"], run["path"]) == ("out/completions", str(trl))
    assert main(["report", str(trl)]) == 0  # our own page is replaced and is no rollouts


def test_the_course_of_a_dump_shows_what_the_rollouts_have_and_no_more():
    with opened(find_sources([str(DUMPS / "trl")]), ReadOptions()) as runs:
        data = report_data(runs)
    assert [panel["id"] for panel in data["course"]["panels"]] == ["reward", "pass", "entropy", "distinct", "repeated"]
    assert [(run["has_memory"], run["num_clusters"]) for run in data["runs"]] == [(False, 0)]


def test_several_dumps_are_several_runs(tmp_path, capsys):
    for name in ("verl", "trl"):
        shutil.copytree(DUMPS / name, tmp_path / name)
    write_run(tmp_path / "ours", [[("p", "2", WRONG), ("p", "1", RIGHT)]], memory=False)
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "log.jsonl").write_text('{"loss": 1}\n')  # beside runs: something else
    (tmp_path / "evaluation").mkdir()
    shutil.copy(
        DUMPS / "trl" / "completions" / "completions_00001.parquet", tmp_path / "evaluation" / "samples.parquet"
    )
    assert main(["report", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    for name in ("dapo, task made-up, model none, seed 0:", "trl/completions:", "verl/rollouts:"):
        assert f"\n{name}\n" in f"\n{said}"
    assert "\n  Note: verl/validation/: verl validation, 1 file" in said  # an evaluation of verl/rollouts
    assert "/evaluation" not in said
    assert f"Report: {tmp_path / 'report.html'}" in said


def test_validation_is_an_evaluation_of_the_training_in_the_same_folder():
    with opened(find_sources([str(DUMPS / "verl")]), ReadOptions()) as runs:
        _, validation = runs
        alone = report_data([validation])
        right = validation.rollouts()["is_correct"].mean()
        data = report_data(with_evaluations(runs))
    assert alone["outlooks"] == []  # what a memory would do for training
    assert alone["runs"][0]["is_evaluation"]
    assert "These completions are of an evaluation: training did not see them." in alone["runs"][0]["notes"]
    (run,) = data["runs"]
    assert not run["is_evaluation"]
    assert run["path"].endswith("rollouts")
    assert run["notes"][-1].startswith("Its figures are under Evaluations")
    values = data["evaluations"]["values"]
    rows = list(zip(values["line"], values["step"], values["panel"], values["value"], strict=True))
    assert ("validation", 6, "pass@1", pytest.approx(right)) in rows  # 8 completions of each of 8 problems
    assert data["evaluations"]["panels"][1]["title"] == "pass@8"
    assert all(prompt["gold"] for prompt in data["prompts"])


def test_samples_of_meds_eval_keep_splits_and_right_answers(tmp_path):
    common = {"prompt": "2 + 2?", "problem_id": "p", "gold": "4"}
    rows = [
        {
            **common,
            "group": "test",
            "sample": i,
            "completion": f"\\boxed{{{i}}}",
            "answer": str(i),
            "is_correct": i == 4,
        }
        for i in (4, 5)
    ]
    write_samples(tmp_path / "samples.parquet", samples_table(rows))
    with opened(find_sources([str(tmp_path)]), ReadOptions()) as runs:
        data = report_data(runs)
    assert data["evaluations"]["values"]["line"][0] == "test"
    assert data["evaluations"]["values"]["value"][:2] == [0.5, 1.0]  # pass@1, pass@2
    assert data["prompts"][0]["gold"] == "4"


def test_a_run_that_nothing_graded_is_graded_by_its_reward(tmp_path):
    columns = {
        **dict.fromkeys(("prompt_id", "prompt"), ["p"] * 3),
        **dict.fromkeys(("step", "generation", "cluster", "memory_id"), [0] * 3),
        **dict.fromkeys(("cluster_size", "penalty", "advantage"), [0.0] * 3),
        **{name: [0.2, 1.2, 1.0] for name in ("reward", "shaped_reward")},
        **dict.fromkeys(("is_correct", "strategy", "num_tokens"), [None] * 3),
        "completion": ["1", "2", "3"],
        "answer": ["1", "2", "3"],
        "reason": ["not_graded"] * 3,
        "in_loss": [True] * 3,
    }
    run = RunFolder(tmp_path / "run")
    run.write_rollouts(0, columns)
    assert read(run.path, correct_above=0.9)["is_correct"].tolist() == [False, True, True]
    assert any("--correct-above X" in note for note in report_data([run])["runs"][0]["notes"])
    run.write_rollouts(1, {**columns, "is_correct": [True] * 3})
    with pytest.raises(ValueError, match="is a run folder, and its columns are known"):
        read(run.path, correct_above=0.9)


def test_the_output_folder_of_trl_leads_to_its_completions(trl):
    for name in ("config.json", "checkpoint-5/trainer_state.json"):
        (trl.parent / name).parent.mkdir(exist_ok=True)
        (trl.parent / name).write_text("{}")
    (dump,) = find_sources([str(trl.parent)])
    assert (dump.path, len(dump.files)) == (trl, 6)
    assert [one.path for one in find_sources([str(trl.parent.parent)])] == [trl]


def test_where_the_report_of_a_dump_goes(tmp_path, monkeypatch):
    file = tmp_path / "mine.jsonl.gz"
    file.write_bytes(b"")
    assert default_output([Dump(file, (file,))]) == tmp_path / "mine.jsonl.gz-report.html"
    assert default_output([Dump(tmp_path, (file,))]) == tmp_path / "report.html"
    (tmp_path / "below").mkdir()
    deep = Dump(tmp_path / "below", (file,))
    assert default_output([deep], [str(tmp_path)]) == tmp_path / "report.html"  # the folder that was given
    monkeypatch.chdir(tmp_path)
    relative = [Dump(Path("below"), (file,)), Dump(Path("other.csv"), (file,))]
    assert default_output(relative, ["below", "other.csv"]) == Path("report.html")  # as the paths are given
    monkeypatch.setattr(os, "access", lambda *_: False)
    output, note = writable(tmp_path / "report.html", [Dump(tmp_path, (file,))])
    assert output == Path("report.html")
    assert note == f"{tmp_path} cannot be written: the report is in the current folder."
    assert writable(tmp_path / "report.html", [tmp_path]) == (tmp_path / "report.html", "")  # a run's goes nowhere else


def test_options_are_for_the_rollouts_of_others_beside_a_run(tmp_path):
    write_run(tmp_path / "run", [[("p", "2", WRONG), ("p", "1", RIGHT)]] * 3, memory=False)
    (tmp_path / "other.jsonl").write_text('{"prompt": "p", "completion": "1", "solved": 1.0, "tidy": 1.0}\n')
    paths = [str(tmp_path / name) for name in ("run", "other.jsonl")]
    assert main(["report", *paths, "--reward", "solved", "--output", str(tmp_path / "page.html")]) == 0
    assert (tmp_path / "page.html").exists()


@pytest.mark.parametrize("command", ["report", "inspect", "watch", "diversity"])
def test_options_for_rollouts_of_others_are_refused_for_a_run(tmp_path, capsys, command):
    write_run(tmp_path / "run", [[("p", "2", WRONG), ("p", "1", RIGHT)]], memory=False)
    assert main([command, str(tmp_path / "run"), "--reward", "score"]) == 2
    assert "run is a run folder, and its columns are known; --prompt, " in capsys.readouterr().err


@pytest.mark.parametrize("command", [["report"], ["inspect"], ["watch", "--once"], ["diversity"]])
def test_every_command_says_what_is_missing(tmp_path, capsys, command):
    rows = [{"prompt": "p", "completion": "c", "quality": value} for value in (0.1, 0.2, 0.9)]
    file = tmp_path / "mine.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main([*command, str(file)]) == 2
    assert "the columns are prompt, completion, quality. Name one with --reward" in capsys.readouterr().err
    assert main([*command, str(file), "--reward", "quality", "--correct-above", "0.5"]) == 0
    assert "Traceback" not in capsys.readouterr().err


def test_inspect_shows_the_errors_of_a_dump_by_answer(trl, capsys):
    assert main(["inspect", str(trl), "--prompts", "1", "--clusters", "1"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "316 of 384 completions are wrong, of 8 prompts." in said
    assert "48 wrong completions of 26eeb69639798430: what is 2 * 8 + 7 * 3?" in said
    assert "│ 38 │ 1–6 │ 69 │" in said  # the largest error, its steps and its answer
    assert "… and 7 more prompts" in said
    assert main(["inspect", str(trl), "--prompt-id", "none"]) == 2
    assert "Prompt 'none' is not among the 8 prompts" in capsys.readouterr().err


def test_diversity_of_a_dump_says_nothing_of_dynamic_sampling(trl, capsys):
    assert main(["diversity", str(trl), "--bins", "1"]) == 0
    said = capsys.readouterr().out
    assert "316" in said
    assert "Dynamic sampling" not in said


def test_diversity_shows_the_other_measures_where_a_package_is_missing(trl, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "sacrebleu", None)
    assert main(["diversity", str(trl), "--bins", "3"]) == 0
    said = capsys.readouterr().out
    assert said.count('Left out: self-BLEU needs sacrebleu: pip install "meds-rl[eval]"') == 1
    assert "distinct-1" in said
    assert "self-BLEU (low" not in said


def test_nothing_is_left_in_the_temporary_folder(trl, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    assert main(["report", str(trl)]) == 0
    assert main(["inspect", str(trl), "--prompt-id", "none"]) == 2
    assert main(["watch", str(trl), "--once"]) == 0
    assert list((tmp_path / "temporary").iterdir()) == []


def rows(*rewards):
    return "".join(
        json.dumps({"prompt": "p", "completion": f"\\boxed{{{i}}}", "reward": reward}) + "\n"
        for i, reward in enumerate(rewards)
    )


def test_a_folder_that_another_program_writes_to_is_followed(tmp_path):
    dump, folder = tmp_path / "dump", tmp_path / "folder"
    follower = DumpFollower(str(dump), ReadOptions(), folder)
    assert not follower.poll()
    assert follower.step == 0  # there is nothing yet
    dump.mkdir()
    (dump / "step_1.jsonl").write_text(rows(0, 0))
    assert follower.poll()
    assert (follower.step, follower.num_completions, follower.num_wrong) == (2, 2, 2)
    (dump / "step_2.jsonl").write_text("")  # it is just being written
    assert not follower.poll()
    (dump / "step_2.jsonl").write_text(rows(0, 1, 0))
    assert follower.poll()
    assert (follower.step, follower.num_completions, follower.num_wrong) == (3, 5, 4)
    assert follower.course["repeated", "answer"] == {2: 0.5}
    (dump / "step_2.jsonl").write_text(rows(1, 1))  # it is written again
    assert follower.poll()
    assert (follower.step, follower.num_completions, follower.num_wrong) == (3, 4, 2)
    assert not follower.poll()


def test_the_newest_file_is_read_when_it_rests_or_has_a_successor(tmp_path):
    dump = tmp_path / "dump"
    dump.mkdir()
    follower = DumpFollower(str(dump), ReadOptions(), tmp_path / "folder", rest=60.0)
    (dump / "1.jsonl").write_text(rows(0, 0))
    follower.poll()
    assert follower.num_completions == 0  # it may be half written
    (dump / "1.jsonl").write_text(rows(0, 0, 1))
    os.utime(dump / "1.jsonl", (time.time() - 1, time.time() - 1))
    (dump / "2.jsonl").write_text(rows(0))
    follower.poll()
    assert follower.num_completions == 3
    os.utime(dump / "2.jsonl", (time.time() - 61, time.time() - 61))
    follower.poll()
    assert follower.num_completions == 4


def test_a_log_of_a_followed_dump_ends_with_its_largest_errors(tmp_path, capsys):
    dump = tmp_path / "dump"
    dump.mkdir()
    (dump / "step_1.jsonl").write_text(rows(0, 1))
    follower = DumpFollower(str(dump), ReadOptions(), tmp_path / "folder")

    def sleep(_):
        if follower.step == 3:
            raise KeyboardInterrupt
        (dump / "step_2.jsonl").write_text(rows(0, 0))

    watch_lines(follower, Console(width=100), 1.0, sleep)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("step 1, reward 0.5, pass@1 50 %")  # the program's own number
    assert lines[1].startswith("step 2, reward 0, pass@1 0 %")
    assert lines[-2] == "2 times “0” to “p”, steps 1 to 2"


def test_two_folders_cannot_be_watched_at_once(tmp_path):
    for name in ("one", "two"):
        shutil.copytree(DUMPS / "verl" / "rollouts", tmp_path / "verl" / name)
    with pytest.raises(RunFolderError, match=r"leads to 2 folders of rollouts; watch one: .*one, .*two\."):
        DumpFollower(str(tmp_path / "verl"), ReadOptions(), tmp_path).poll()


def test_of_a_training_and_its_validation_the_training_is_watched(tmp_path):
    """The validation before training is written first."""
    dump = tmp_path / "verl"
    shutil.copytree(DUMPS / "verl" / "validation", dump / "validation")
    follower = DumpFollower(str(dump), ReadOptions(), tmp_path / "folder")
    follower.poll()
    assert follower.num_completions == 64
    (dump / "rollouts").mkdir()
    (dump / "rollouts" / "1.jsonl").write_text("")  # it is just being written
    follower.poll()
    shutil.copy(DUMPS / "verl" / "rollouts" / "1.jsonl", dump / "rollouts")
    follower.poll()
    training = read(DUMPS / "verl" / "rollouts")
    assert follower.num_completions == (training["step"] == 1).sum()
    assert follower.notes[-1].startswith("verl/validation/: verl validation. It is left out here; meds report ")


UNMARKED = "".join(
    json.dumps({"prompt": "2 * 3?", "completion": f"2 * 3 = {n}, I think", "reward": int(n == 6), "step": step}) + "\n"
    for step in (0, 1)
    for n in (5, 5, 6)
)


def test_without_any_answers_none_is_shown(tmp_path, capsys):
    file = tmp_path / "mine.jsonl"
    file.write_text(UNMARKED)
    note = "No answers were found: name them with --answer-marker, --answer-pattern or --answer."
    for command in (["inspect"], ["watch", "--once"], ["diversity", "--bins", "1"], ["report"]):
        assert main([*command, str(file)]) == 0
        said = capsys.readouterr().out
        assert said.count(note) == 1
        if command != ["report"]:
            assert "no answer " not in said
            assert "entropy" not in said
            assert "Repeated" not in said
    assert main(["inspect", str(file)]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "times ┃ steps ┃ working ┃ example" in said  # by what the working did
    assert "│ 4 │ 0–1 │ a+b=x │" in said
    follower = DumpFollower(str(file), ReadOptions(), tmp_path / "folder")
    follower.poll()
    assert largest_error_line(follower, follower.largest_errors(1)[0]) == (
        "4 wrong completions of “2 * 3?”, steps 0 to 1"
    )


def test_watch_says_what_is_in_a_folder_without_a_run(tmp_path, capsys):
    assert main(["watch", "--once", str(tmp_path)]) == 2
    assert f"{tmp_path} holds no run folder and no rollouts: it has nothing." in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_command_that_is_ended_leaves_no_temporary_folder(trl, tmp_path, monkeypatch, number):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folders = []

    def end(*_, **__):
        folders.extend(tmp_path.glob("meds-rollouts-*"))
        os.kill(os.getpid(), number)

    monkeypatch.setattr("meds_rl.report.data.report_data", end)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
    try:
        status = main(["report", str(trl)])
    except SystemExit as error:
        status = error.code
    finally:
        signal.signal(signal.SIGINT, before)
    assert status == 128 + number
    assert len(folders) == 1
    assert not list(tmp_path.glob("meds-rollouts-*"))
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_a_look_that_fails_half_way_is_made_anew(tmp_path, monkeypatch):
    dump = tmp_path / "dump"
    dump.mkdir()
    (dump / "step_1.jsonl").write_text(rows(0, 1))
    follower = DumpFollower(str(dump), ReadOptions(), tmp_path / "folder")
    with monkeypatch.context() as broken:
        broken.setattr("meds_rl.rollouts.convert.Conversion.write", lambda _: (_ for _ in ()).throw(OSError("full")))
        with pytest.raises(OSError, match="full"):
            follower.poll(1.0)
    follower.poll(1.0)
    assert len(follower.folder.rollouts()) == 2


def test_a_name_with_escapes_does_not_reach_the_terminal(tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)  # bars are for terminals only
    path = tmp_path / "\x1b]0;evil\x07\x1b[31mred.jsonl"
    path.write_text(rows(0, 1))
    assert main(["report", str(path), "--output", str(tmp_path / "page.html")]) == 0
    out, err = capfd.readouterr()
    assert "evil" in out
    assert "evil" in err
    assert "\x1b]" not in out + err
    assert "\x07" not in out + err


def test_no_bar_is_written_where_there_is_no_terminal(tmp_path, capfd):
    path = tmp_path / "a.jsonl"
    path.write_text(rows(0, 1))
    assert main(["report", str(path), "--output", str(tmp_path / "page.html")]) == 0
    assert capfd.readouterr().err == ""


def test_each_of_several_rewards_is_drawn_whichever_says_right_or_wrong(tmp_path):
    import pandas as pd

    for step in (1, 2):
        rows = {"step": [step] * 2, "prompt": ["2 + 2?"] * 2, "completion": ["so 4", f"so {5 + step}"]}
        rewards = {"solved": [1.0, 0.0], "tidy": [0.5 * step, None], "advantage": [1.0, -1.0]}
        pd.DataFrame(rows | rewards).to_parquet(tmp_path / f"completions_0000{step}.parquet")
    lines = {}
    for options in (ReadOptions({"reward": "solved"}), ReadOptions(correct_above=1.0)):
        with opened(find_sources([str(tmp_path)]), options) as runs:
            course = report_data(runs)["course"]
        (panel,) = [panel for panel in course["panels"] if panel["id"] == "reward"]
        assert panel["help"] == "Mean over the batch's completions, as graded."
        labels = {line["id"]: line["label"] for line in panel["lines"]}
        values = zip(*(course["values"][name] for name in ("line", "step", "value")), strict=True)
        drawn = {(labels[line], step): value for line, step, value in values if line in labels}
        lines[options.correct_above] = drawn
    # The mean of tidy is over the completions that have it. The sum is 1.5 and 0, then 2 and 0.
    named = {("solved", 1): 0.5, ("solved", 2): 0.5, ("tidy", 1): 0.5, ("tidy", 2): 1.0}
    assert lines == {None: named, 1.0: named | {("raw", 1): 0.75, ("raw", 2): 1.0}}
