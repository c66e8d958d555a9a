"""Rollouts of other programs with columns of all kinds: what they become, and what is said of them."""

import bz2
import gzip
import json
import lzma
import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from meds_rl.rollouts import RunFolderError, blocks, read
from meds_rl.rollouts import convert as conversion
from meds_rl.rollouts.blocks import LONGEST_LINE
from meds_rl.rollouts.collect import ReadOptions
from meds_rl.rollouts.convert import Conversion, convert
from meds_rl.rollouts.dumps import Dump, find_sources
from meds_rl.tasks import prompt_id

ROWS = [
    {"prompt": "2 + 2?", "completion": "so \\boxed{4}", "reward": 1},
    {"prompt": "2 + 2?", "completion": "so \\boxed{5}", "reward": 0},
    {"prompt": "3 + 3?", "completion": "no idea", "reward": 0},
]


def write(path, rows=ROWS):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def with_rewards(*rewards, **more):
    return [{"prompt": "p", "completion": "\\boxed{c}", "reward": reward, **more} for reward in rewards]


def test_a_plain_table(tmp_path):
    table = read(write(tmp_path / "mine.jsonl"))
    assert table["is_correct"].tolist() == [True, False, False]
    assert table["answer"].tolist()[:2] == ["4", "5"]
    assert table["answer"].isna().tolist() == [False, False, True]
    assert table["prompt_id"].tolist() == [prompt_id("2 + 2?")] * 2 + [prompt_id("3 + 3?")]
    assert table["num_tokens"].isna().all()  # no length is made up
    assert table["memory_id"].tolist() == [-1] * 3
    assert table.attrs["source"] == [
        "mine.jsonl: plain table, 1 file, 3 completions of 2 prompts. Right: reward is 1. "
        "Answers: \\boxed{...}, in 67 % of the completions.",
        "Nothing says when the completions were sampled: all are shown as one batch.",
    ]


def test_outcomes_beside_the_reward(tmp_path):
    outcomes = [["ok", "got [1, 2]"], "ok, IndexError", {"no": "outcome"}, None, 1]
    rows = [
        {"prompt": "p", "completion": f"c{place}", "reward": 0, "outcome": outcome}
        for place, outcome in enumerate(outcomes)
    ]
    table = read(write(tmp_path / "mine.jsonl", rows))
    assert table["outcome"].tolist()[:2] == ["ok, got [1,2]", "ok, IndexError"]
    assert table["outcome"].isna().tolist() == [False, False, True, True, True]
    graded = [{**row, "outcome": "wrong"} for row in rows]
    assert read(write(tmp_path / "graded.jsonl", graded), columns={"reward": "outcome"})["outcome"].isna().all()


def test_outcomes_that_trl_and_verl_have_logged(tmp_path):
    row = {"step": 1, "prompt": "p", "completion": "\\boxed{1}", "reward_func": 0.0, "advantage": 0.0}
    pq.write_table(
        pa.Table.from_pylist(
            [{**row, "outcome": ["ok", "IndexError"]}, {**row, "completion": "\\boxed{2}", "outcome": None}]
        ),
        tmp_path / "completions_00001.parquet",
    )
    table = read(tmp_path / "completions_00001.parquet")
    assert table.attrs["source"][0].startswith("completions_00001.parquet: TRL completions")
    assert table["outcome"].dropna().tolist() == ["ok, IndexError"]
    verl = {"input": "p", "output": "c", "score": 0.0, "step": 1, "uid": "u_0_0", "outcome": "lost by timeout"}
    table = read(write(tmp_path / "1.jsonl", [verl]))
    assert table["outcome"].tolist() == ["lost by timeout"]
    assert not any("No answers were found" in note for note in table.attrs["source"])  # outcomes name errors


TEXT = "".join(json.dumps(row) + "\n" for row in ROWS).encode()
CSV = b'prompt,completion,reward\n2 + 2?,"so, then\n\\boxed{4}",1\n2 + 2?,so \\boxed{5},0\n3 + 3?,no idea,0\n'
FILES = {
    "a.jsonl": TEXT,
    "a.ndjson": TEXT,
    "a.json": json.dumps(ROWS).encode(),
    "b.json": TEXT,
    "a.jsonl.gz": gzip.compress(TEXT),
    "a.jsonl.bz2": bz2.compress(TEXT),
    "a.jsonl.xz": lzma.compress(TEXT),
    "a.jsonl.zst": pa.compress(TEXT, "zstd", asbytes=True),
    "a.csv": CSV,
    "a.tsv": CSV.replace(b"so, then", b"so").replace(b",", b"\t"),
    "semicolon.csv": CSV.replace(b"so, then", b"so").replace(b",", b";"),
    "a.csv.zst": pa.compress(CSV, "zstd", asbytes=True),
}


@pytest.mark.parametrize("name", FILES)
def test_kinds_of_files_and_compressions(tmp_path, name):
    (tmp_path / name).write_bytes(FILES[name])
    table = read(tmp_path / name)
    assert table["answer"].tolist()[:2] == ["4", "5"]
    assert table["is_correct"].tolist() == [True, False, False]


def test_named_columns_come_before_what_the_format_says(tmp_path):
    rows = [
        {"step": 7, "prompt": "p", "completion": "c 1", "advantage": 0.5, "r": 0.0, "other": 1.0, "n": "x", "at": 3},
        {"step": 7, "prompt": "p", "completion": "c 2", "advantage": 0.5, "r": 1.0, "other": 1.0, "n": "y", "at": 2},
    ]
    table = read(write(tmp_path / "a.jsonl", rows), {"reward": "r", "answer": "n", "step": "at", "group": "n"})
    assert table["step"].tolist() == [2, 3]  # in the order of training
    assert table["answer"].tolist() == ["y", "x"]
    assert table["group_id"].tolist() == ["y", "x"]
    assert table["is_correct"].tolist() == [True, False]
    assert table["reward"].tolist() == [1.0, 0.0]
    with pytest.raises(RunFolderError, match=r"has no column score; the columns are step, prompt, completion, "):
        read(tmp_path / "a.jsonl", {"reward": "score"})
    with pytest.raises(
        ValueError, match="columns are named for prompt, completion, reward, step, answer, group; got x"
    ):
        read(tmp_path / "a.jsonl", {"x": "r"})


NESTED = [
    {"doc": {"question": "p", "info": {"id": 7}}, "out.text": "c 1", "grade": {"ok": 1.0}},
    {"doc": {"question": "q", "info": None}, "out.text": "c 2", "grade": {"ok": 0.0}},
]


@pytest.mark.parametrize("name", ["a.jsonl", "a.parquet"])
def test_nested_columns_are_named_with_dots(tmp_path, name):
    path = tmp_path / name
    if name == "a.jsonl":
        write(path, NESTED)
    else:
        info = pa.struct({"id": pa.int64()})
        types = {"doc": pa.struct({"question": pa.string(), "info": info}), "out.text": pa.string()}
        schema = pa.schema({**types, "grade": pa.struct({"ok": pa.float64()})})  # pyarrow 15 would sort the fields
        pq.write_table(pa.Table.from_pylist(NESTED, schema), path)
    columns = {"prompt": "doc.question", "completion": "out.text", "reward": "grade.ok", "group": "doc.info.id"}
    table = read(path, columns)
    assert table["prompt"].tolist() == ["p", "q"]
    assert table["completion"].tolist() == ["c 1", "c 2"]  # a name with a dot of its own
    assert table["is_correct"].tolist() == [True, False]
    assert [group for group in table["group_id"] if group == group and group] == ["7"]
    with pytest.raises(
        RunFolderError,
        match=r"has no column doc\.problem; the columns are doc, out\.text, grade, in them doc\.question, doc\.info, "
        r"grade\.ok, doc\.info\.id",
    ):
        read(path, {**columns, "prompt": "doc.problem"})


def test_without_prompts_the_groups_take_their_place(tmp_path):
    rows = [{"text": "c", "ok": ok, "g": group} for ok, group in ((True, 1), (False, 1), (False, 2))]
    table = read(write(tmp_path / "a.jsonl", rows), {"completion": "text", "reward": "ok", "group": "g"})
    assert table["prompt_id"].nunique() == 2
    assert table["prompt"].tolist() == ["group 1", "group 1", "group 2"]


@pytest.mark.parametrize(
    ("rewards", "above", "right", "said"),
    [
        ([1, 0, None], None, [True, False, False], "reward is 1"),
        ([True, False, True], None, [True, False, True], "reward is 1"),
        (["1.0", "False", "True"], None, [True, False, True], "reward is 1"),
        ([0, 0, 0], None, [False] * 3, "reward is 1"),
        ([-1, 1, -1], None, [False, True, False], "reward is 1, the larger of its two values (-1 and 1)"),
        ([0.2, 0.5, 0.9], 0.5, [False, False, True], "reward is above 0.5"),
    ],
)
def test_which_completions_are_right(tmp_path, rewards, above, right, said):
    table = read(write(tmp_path / "a.jsonl", with_rewards(*rewards)), correct_above=above)
    assert table["is_correct"].tolist() == right
    assert table["reward"].isna().tolist() == [reward is None for reward in rewards]  # not graded
    assert f"Right: {said}." in table.attrs["source"][0]


def test_rewards_of_many_values_need_a_bound(tmp_path):
    path = write(tmp_path / "a.jsonl", with_rewards(0, 1, 0.25, 0.5))
    with pytest.raises(RunFolderError, match=r"4 different values, from 0 \(median 0.375\) to 1: .*--correct-above X"):
        read(path)


@pytest.mark.parametrize(
    ("rewards", "said"),
    [
        ([-1, -1, -1, 1, 1, -1.5], r"X \(such as 0, midway between the commonest values, -1 and 1\), or"),
        ([0, 0, 0.1, 0.1, 0.3], r"X, or"),  # probably bonuses for a form
        ([1, 2, 3, 4, 5], r"X, or"),  # two of five values
    ],
)
def test_a_bound_is_proposed_where_most_rewards_have_two_values(tmp_path, rewards, said):
    with pytest.raises(RunFolderError, match=said):
        read(write(tmp_path / "a.jsonl", with_rewards(*rewards)))


def verl(score, **more):
    return {"input": "p", "output": f"\\boxed{{{score}}}", "gts": "4", "score": score, "step": 1, **more}


def test_dapos_penalty_for_length_is_taken_off_a_score_that_says_right(tmp_path):
    given = [(1.0, 0.0), (0.3, -0.7), (-1.0, 0.0), (-2.0, -1.0)]
    rows = [verl(score, overlong_reward=part) for score, part in given]
    table = read(write(tmp_path / "1.jsonl", rows))
    assert table["is_correct"].tolist() == [True, True, False, False]
    assert table["reward"].tolist() == [score for score, _ in given]
    said = "Right: score - overlong_reward is 1, the larger of its two values (-1 and 1)."
    assert said in table.attrs["source"][0]


def test_what_graders_write_without_an_answer_is_none(tmp_path):
    found = ["[INVALID]", "None", "", None, "[invalidanswer]", " 7 ", "none of them"]
    table = read(write(tmp_path / "1.jsonl", [verl(0.0, acc=False, pred=one) for one in found]))
    assert table["answer"].fillna("-").tolist() == ["-"] * 5 + ["7", "none of them"]


def test_right_answers_are_kept_where_the_files_agree(tmp_path):
    rows = [verl(0.0), verl(1.0), verl(0.0, input="q", gts=None), verl(0.0, input="r"), verl(0.0, input="r", gts=5)]
    dump = Dump(write(tmp_path / "1.jsonl", rows), (tmp_path / "1.jsonl",))
    assert convert(dump, ReadOptions(), tmp_path / "run").source["golds"] == {prompt_id("p"): "4"}


def test_missing_steps_and_files_with_fewer_rows_are_named(tmp_path):
    for step in (1, 2, 3, 4, 6, 7, 11, 12):  # 5, and 8 to 10 are missing
        write(tmp_path / f"{step}.jsonl", many(5 if step == 12 else 12, step=step))
    notes = read(tmp_path).attrs["source"]
    assert notes[1:] == [
        "Fewer completions than most files have (12): 12.jsonl (5).",
        "Missing: step 5, 8 to 10.",
    ]


def test_files_of_any_size_and_steps_at_any_distance_are_named_as_none(tmp_path):
    for place, step in enumerate((1, 2, 7, 30, 31, 90)):
        write(tmp_path / f"{step}.jsonl", many(12 + place, step=step))
    assert not read(tmp_path).attrs["source"][1:]


def test_batches_that_trl_did_not_save_are_guessed(tmp_path):
    for step in (5, 10, 15, 20):
        rows = trl(correct=[1.0, 0.0], neat=[0.5, 0.5])
        rows |= {"step": [step] * 2, "completion": [f"{step}", f"{step + 1}"]}
        pq.write_table(pa.table(rows), tmp_path / f"completions_{step:05d}.parquet")
    table = read(tmp_path)
    first, *notes = table.attrs["source"]
    assert "Right: correct is 1. Reward: correct + neat." in first
    assert table["reward"].tolist() == [1.5, 0.5] * 4
    assert notes[0].startswith("The steps are 5 apart. With logging_steps above 1, TRL saves only the newest batch")
    assert notes[1] == "TRL completions have no reward_weights: a sum of rewards counts each once."


def test_our_own_rollouts_are_read_where_they_were_copied_to(tmp_path):
    run = convert(Dump(write(tmp_path / "a.jsonl"), (tmp_path / "a.jsonl",)), ReadOptions(), tmp_path / "run")
    (tmp_path / "copy").mkdir()
    for _, path in run.rollout_files():
        (tmp_path / "copy" / path.name).write_bytes(path.read_bytes())
    table = read(tmp_path / "copy")
    assert "copy/: meds-rl rollouts, 1 file, 3 completions of 2 prompts" in table.attrs["source"][0]
    columns = ["step", "prompt", "completion", "reward", "is_correct", "answer"]
    assert table[columns].equals(read(tmp_path / "a.jsonl")[columns])


def trl(**rewards):
    n = len(next(iter(rewards.values())))
    return {
        "step": [1] * n,
        "prompt": ["p"] * n,
        "completion": [f"\\boxed{{c{i}}}" for i in range(n)],
        **rewards,
        "advantage": [0.0] * n,
    }


@pytest.mark.parametrize(
    ("rewards", "said"),
    [
        (
            {"length_reward": [0.1, 0.7], "my_reward": [1.0, 0.0]},
            "Right: my_reward is 1. Reward: length_reward + my_reward.",
        ),
        ({"format_reward": [1.0, 1.0], "accuracy_reward": [1.0, 0.0]}, "Right: accuracy_reward is 1."),
        ({"check": [1.0, None], "extra": ["a", "b"]}, "Right: check is 1."),
        ({"format_reward": [1.0, 0.0], "accuracy_reward": [1.0, -1.0]}, "Right: accuracy_reward is 1, the larger"),
        ({"check": [1.0, 0.0], "truncated": [0, 1]}, "Right: check is 1."),  # whole numbers are no rewards of TRL
    ],
)
def test_which_of_trls_rewards_says_right(tmp_path, rewards, said):
    path = tmp_path / "completions_00001.parquet"
    pq.write_table(pa.table(trl(**rewards)), path)
    table = read(path)
    assert said in table.attrs["source"][0]
    first = next(iter(rewards.values()))[0]
    assert table["reward"][0] == pytest.approx(first + 1.0 if "+" in said or "accuracy" in said else first)


def test_a_constant_says_nothing(tmp_path):
    path = tmp_path / "completions_00001.parquet"
    pq.write_table(pa.table(trl(check=[0.0, 0.3], turns=[1.0, 1.0])), path)
    with pytest.raises(RunFolderError, match="could say right or wrong: check, turns"):
        read(path)


def test_several_rewards_that_could_say_right_are_named(tmp_path):
    path = tmp_path / "completions_00001.parquet"
    pq.write_table(pa.table(trl(a_reward=[1.0, 0.0], b_reward=[0.0, 1.0])), path)
    with pytest.raises(RunFolderError, match="could say right or wrong: a_reward, b_reward"):
        read(path)
    assert read(path, {"reward": "b_reward"})["is_correct"].tolist() == [False, True]


def test_completions_that_trl_logs_again_count_once(tmp_path):
    for step in (1, 2, 3):
        rows = trl(accuracy_reward=[1.0, 0.0])
        rows["step"] = [step] * 2
        rows["completion"] = ["x", "y"] if step < 3 else ["z", "y"]
        pq.write_table(pa.table(rows), tmp_path / f"completions_{step:05d}.parquet")
    table = read(tmp_path)
    assert table["step"].tolist() == [1, 1, 3, 3]
    assert "Left out: 1 file with the same completions as an earlier one" in " ".join(table.attrs["source"])


def test_a_policy_that_says_the_same_at_every_step_is_not_taken_for_a_batch_logged_again(tmp_path):
    for step in (1, 2):
        rows = {**trl(accuracy_reward=[1.0, 0.0, 0.0]), "step": [step] * 3, "completion": ["x"] * 3}
        pq.write_table(pa.table(rows), tmp_path / f"completions_{step:05d}.parquet")
    assert len(read(tmp_path)) == 6


def test_answers_that_are_programs(tmp_path):
    rows = [{"prompt": "p", "completion": f"So:\n```python\nx = {n}\n```", "reward": 0} for n in (1, 2)]
    assert list(read(write(tmp_path / "a.jsonl", rows), answer_marker="code")["answer"]) == ["x = 1", "x = 2"]


def test_answers_by_marker_by_pattern_and_by_none(tmp_path):
    texts = ["<answer>1</answer>", "so 7 or 8 <answer>2</answer>", "#### 3"]
    path = write(tmp_path / "a.jsonl", [{"prompt": "p", "completion": text, "reward": 0} for text in texts])

    def answers(**options):
        values = read(path, **options)["answer"]
        return [None if value != value else value for value in values]

    assert answers() == ["1", "2", None]  # the marker that most have
    assert answers(answer_marker="hashes") == [None, None, "3"]
    assert answers(answer_marker="code") == [None] * 3
    assert answers(answer_marker="so 7 or is") == [None] * 3
    assert answers(answer_pattern="[0-9]") == ["1", "2", "3"]  # the last match
    assert answers(answer_pattern="so ([0-9]) or ([0-9])") == [None, "7", None]  # its first group
    assert answers(answer_pattern="(a+)+$") == [None] * 3  # linear time
    with pytest.raises(ValueError, match="is no regular expression of RE2"):
        answers(answer_pattern="(?=x)")
    with pytest.raises(ValueError, match=r"one of boxed, answer_tag, hashes, code, or the text before .*; got 'x'"):
        answers(answer_marker="x")
    with pytest.raises(ValueError, match="--answer-marker or --answer-pattern, not both"):
        answers(answer_marker="boxed", answer_pattern="x")


def test_no_marker_is_found_where_few_completions_have_one(tmp_path):
    path = write(tmp_path / "a.jsonl", [*ROWS[:1], *ROWS[2:] * 19])  # 1 of 20 is less than a tenth
    table = read(path)
    assert table["answer"].isna().all()
    assert table.attrs["source"][:2] == [
        "No answers were found: name them with --answer-marker, --answer-pattern or --answer.",
        "a.jsonl: plain table, 1 file, 20 completions of 2 prompts. Right: reward is 1.",
    ]
    assert read(path, answer_marker="hashes").attrs["source"][0].startswith("No answers were found: ")


# What most completions say -> how it is called, and the answers of two such completions and one without.
GUESSED = {
    "9 - 2 = {}. The answer is {}. I am sure.": 'what follows "answer is" or "Answer:"',
    "**Final Answer:**\n\n${}$": 'what follows "answer is" or "Answer:"',
    "So the final result is {}!": 'what follows "final result is"',
    "9 - 2 gives\n\n**{}**.": "the last line, where it is a number or a letter",
}


@pytest.mark.parametrize("text", GUESSED)
def test_answers_that_are_not_marked_are_guessed_where_most_completions_say_them_alike(tmp_path, text):
    def rows(*texts):
        return write(tmp_path / "a.jsonl", [{"prompt": "p", "completion": each, "reward": 0} for each in texts])

    said = [text.replace("{}", "17"), text.replace("{}", "-3.5")]
    table = read(rows(*said, "no idea"))
    assert table["answer"].tolist()[:2] == ["17", "-3.5"]
    assert table["answer"].isna().tolist() == [False, False, True]
    assert table.attrs["source"][0].endswith(f"Answers: {GUESSED[text]}, in 67 % of the completions.")
    assert read(rows(said[0], "no idea", "none"))["answer"].isna().all()  # 1 of 3 is less than a half
    marked = read(rows(*[f"{each}\n\\boxed{{4}}" for each in said], *said))  # half of them: a marker comes first
    assert marked["answer"].tolist()[:2] == ["4", "4"]
    assert marked["answer"].isna().tolist() == [False, False, True, True]
    assert read(rows(*said), answer_marker="boxed")["answer"].isna().all()  # as the user says


def test_what_is_too_long_is_no_answer(tmp_path):
    def first(words):
        rows = [{"prompt": "p", "completion": f"The answer is {words}", "reward": 0}]
        return read(write(tmp_path / "a.jsonl", rows))["answer"].tolist()[0]

    assert first("x" * 80) == "x" * 80
    assert first("x" * 81) != "x" * 81


def test_words_in_the_place_of_rewards(tmp_path):
    path = write(tmp_path / "a.jsonl", with_rewards("Correct", "wrong", None, "unclear", verdict="good"))
    table = read(path)
    assert table["is_correct"].astype(bool).tolist() == [True, False, False, False]
    assert table["reward"].tolist()[:2] == [1.0, 0.0]
    assert table["reward"].isna().tolist() == [False, False, True, True]  # neither right nor wrong
    assert "reward has words, which are read as numbers: “Correct” as 1, “wrong” as 0." in table.attrs["source"]
    with pytest.raises(RunFolderError, match=r"verdict has no numbers, but 'good'\. A reward is a number, or one of "):
        read(path, {"reward": "verdict"})
    with pytest.raises(RunFolderError, match="has no column nope; the columns are prompt, completion, reward, verdict"):
        read(path, {"reward": "nope"})


def test_messages_tool_calls_and_images_are_text(tmp_path):
    call = {"id": "1", "function": {"name": "add", "arguments": '{"a": 2}'}}
    rows = [
        {
            "prompt": [{"role": "user", "content": [{"type": "image", "image": "..."}, {"type": "text", "text": "?"}]}],
            "completion": [
                {"role": "assistant", "content": None, "tool_calls": [call]},
                {"role": "tool", "content": "\\boxed{9}"},
                {"role": "assistant", "content": [{"type": "text", "text": "\\boxed{4}"}, {"type": "image_url"}]},
            ],
            "reward": 1,
        },
        {"prompt": "q", "completion": [{"role": "tool", "content": "\\boxed{9}"}], "reward": 0},
    ]
    table = read(write(tmp_path / "a.jsonl", rows))
    assert json.loads(table["prompt"][0]) == [
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "?"}]}
    ]
    assert table["completion"][0] == '[tool call] add({"a": 2})\n[tool] \\boxed{9}\n\\boxed{4}\n[image]'
    assert table["answer"][0] == "4"
    assert table["answer"].isna().tolist() == [False, True]  # what only a tool wrote is no answer of the model


def test_steps_come_from_names_and_rows_in_the_order_of_training(tmp_path):
    for number in (10, 2):
        write(tmp_path / f"step_{number}" / "x.jsonl", [{**row, "completion": f"{number}"} for row in ROWS])
    table = read(tmp_path)
    assert table["step"].tolist() == [2] * 3 + [10] * 3
    assert table["generation"].tolist() == [0] * 3 + [1] * 3
    assert table["completion"].tolist() == ["2"] * 3 + ["10"] * 3


def test_rows_of_many_blocks_and_files_stay_in_order(tmp_path, monkeypatch):
    monkeypatch.setattr(conversion, "ROWS_A_FILE", 7)
    rows = [{"prompt": f"p{i % 3}", "completion": f"c{i}", "reward": i % 2, "step": (i * 7) % 5} for i in range(50)]
    for number in range(3):
        write(tmp_path / f"part-{number}.jsonl", rows[number::3])
    table = read(tmp_path)
    read_rows = [row for number in range(3) for row in rows[number::3]]
    expected = sorted(read_rows, key=lambda row: row["step"])  # stable
    assert table["completion"].tolist() == [row["completion"] for row in expected]
    assert table["step"].tolist() == [row["step"] for row in expected]
    assert table["prompt"].tolist() == [row["prompt"] for row in expected]


HOSTILE = {
    "not UTF-8": (TEXT + b'{"prompt": "\xff", "completion": "x", "reward": 1}\n', "1 line left out"),
    "cut off": (TEXT + TEXT[:30], "1 line left out, as they are no rows, first in line 4 of a.jsonl"),
    "a raw NUL": (TEXT + b'{"prompt": "\0"}\n', "1 line left out"),
    "nested without end": (TEXT + b"[" * 10**6 + b"\n" + b'{"a":' * 10**5, "2 lines left out"),
    "no object": (TEXT + b"[1, 2]\n", "1 line left out"),
    "nulls": (TEXT + b'{"prompt": null, "completion": null, "reward": null}\n', "Left out: 1 row without a prompt"),
    "other types": (TEXT + b'{"prompt": 1, "completion": {"a": 1}, "reward": []}\n', "Left out: 1 row without"),
    "no number": (TEXT + b'{"prompt": "p", "completion": "c", "reward": {"a": 1}}\n', "Not graded, neither"),
    "huge numbers": (TEXT + b'{"prompt": "p", "completion": "c", "reward": 1e999}\n', "Not graded, neither"),
    "lone surrogates": (TEXT + b'{"prompt": "\\ud800", "completion": "\\udfff", "reward": 0}\n', ""),
    "the same key twice": (TEXT + b'{"prompt": "p", "prompt": "q", "completion": "c", "reward": 1}\n', ""),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_damaged_lines_are_left_out_and_counted(tmp_path, name):
    data, said = HOSTILE[name]
    (tmp_path / "a.jsonl").write_bytes(data)
    table = read(tmp_path)
    assert table["answer"].tolist()[:2] == ["4", "5"]
    assert said in " ".join(table.attrs["source"])


NOTHING = {
    "an empty file": lambda path: path.write_bytes(b""),
    "a folder of this name": lambda path: path.mkdir(),
    "a pipe": os.mkfifo,
    "a link to itself": lambda path: path.symlink_to(path),
    "noise": lambda path: path.write_bytes(bytes(np.random.default_rng(0).integers(0, 256, 9999, dtype=np.uint8))),
    "a line without end": lambda path: path.write_bytes(b'{"prompt": "' + b"x" * (LONGEST_LINE + 9_000_000)),
    "other columns": lambda path: write(path, [{"a": 1, "b": 2}]),
    "no reward": lambda path: write(path, [{"prompt": "p", "completion": "c", "quality": 1}]),
}
SAID = {
    "other columns": "its columns are a, b. Name the columns with --prompt, --completion and --reward",
    "no reward": "no column says right or wrong; the columns are prompt, completion, quality. Name one with --reward",
    "a line without end": "has a line of more than 64 MB",
    "an empty file": "it is empty",
}


@pytest.mark.parametrize("name", NOTHING)
def test_nothing_to_read_is_one_sentence(tmp_path, name):
    NOTHING[name](tmp_path / "a.jsonl")
    with pytest.raises(RunFolderError, match=SAID.get(name, "holds no")):
        read(tmp_path)


@pytest.mark.parametrize("data", [b"", b"PAR1" + bytes(200) + b"PAR1"])
def test_damaged_parquet_beside_good_files(tmp_path, data):
    write(tmp_path / "a.jsonl")
    (tmp_path / "b.parquet").write_bytes(data)
    assert "1 file cannot be read to the end: " in " ".join(read(tmp_path).attrs["source"])
    (tmp_path / "a.jsonl").unlink()
    with pytest.raises(RunFolderError, match=r"holds no rows: .*b\.parquet cannot be read"):
        read(tmp_path)


def test_files_of_another_format_are_left_out_and_named(tmp_path):
    write(tmp_path / "a.jsonl")
    write(tmp_path / "log.jsonl", [{"loss": 1.0}])
    assert "of another format: log.jsonl (loss)." in " ".join(read(tmp_path).attrs["source"])


def test_files_that_are_added_are_written_after_the_others(tmp_path):
    files = [write(tmp_path / f"step_{number}.jsonl", with_rewards(0, 1)) for number in (1, 2)]
    one = Conversion(Dump(tmp_path, tuple(files)), ReadOptions(), tmp_path / "run")
    one.add(files)
    one.write()
    before = [path.read_bytes() for _, path in one.run.rollout_files()]
    one.add([write(tmp_path / "step_3.jsonl", with_rewards(1, 0))])
    one.write()
    assert [path.read_bytes() for _, path in one.run.rollout_files()][: len(before)] == before
    assert one.run.rollouts()["step"].tolist() == [1, 1, 2, 2, 3, 3]
    one.add([write(tmp_path / "step_0.jsonl", with_rewards(1))])  # an earlier one: all is written again
    one.write()
    assert one.run.rollouts()["step"].tolist() == [0, 1, 1, 2, 2, 3, 3]


def test_dumps_and_files_are_found(tmp_path):
    for name in ("a/step_2.jsonl", "a/step_10.jsonl", "b/x.parquet", "c/notes.txt", "d/mine.jsonl", "d/yours.jsonl"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")

    def found(*paths):
        return [(one.path.name, [file.name for file in one.files]) for one in find_sources([str(p) for p in paths])]

    assert found(tmp_path) == [
        ("a", ["step_2.jsonl", "step_10.jsonl"]),
        ("b", ["x.parquet"]),
        ("d", ["mine.jsonl", "yours.jsonl"]),
    ]
    both = [("a", ["step_2.jsonl", "step_10.jsonl"])]
    assert found(tmp_path / "a" / "*.jsonl") == both
    assert found(tmp_path / "a" / "step_10.jsonl", tmp_path / "a" / "step_2.jsonl") == both  # as a shell gives them
    assert found(tmp_path / "d" / "*") == [("mine.jsonl", ["mine.jsonl"]), ("yours.jsonl", ["yours.jsonl"])]
    with pytest.raises(RunFolderError, match=r"c holds no run folder and no rollouts: it has notes\.txt\. Accepted is"):
        find_sources([str(tmp_path / "c")])
    with pytest.raises(RunFolderError, match=r"notes\.txt is no \.parquet"):
        find_sources([str(tmp_path / "c" / "notes.txt")])


def many(num=12, **more):
    return [{"prompt": f"p{i % 3}", "completion": f"\\boxed{{{i}}}", "reward": i % 2, **more} for i in range(num)]


def test_copies_and_links_count_once(tmp_path):
    write(tmp_path / "rollouts.jsonl", many(step=3))
    write(tmp_path / "rollouts (1).jsonl", many(step=3))
    write(tmp_path / "later.jsonl", many(step=4))  # the same at another step is none
    (tmp_path / "rollouts.jsonl.gz").write_bytes(gzip.compress((tmp_path / "rollouts.jsonl").read_bytes()))
    (tmp_path / "latest.jsonl").symlink_to("later.jsonl")
    (tmp_path / "._rollouts.jsonl").write_bytes(b"\0")  # of another system's file manager
    table = read(tmp_path)
    assert table["step"].tolist() == [3] * 12 + [4] * 12
    assert table.attrs["source"][1:] == ["Left out: 2 files with the same completions as an earlier one."]


def test_small_files_with_the_same_completion_are_no_copies(tmp_path):
    for number in range(3):
        write(tmp_path / f"sample-{number}.jsonl", ROWS[:1])
    assert len(read(tmp_path)) == 3


def test_a_reward_that_is_not_there_or_no_number_is_named(tmp_path):
    path = write(tmp_path / "a.jsonl", with_rewards("good", "bad"))
    with pytest.raises(RunFolderError, match="reward has no numbers, but 'good'"):
        read(path)
    with pytest.raises(RunFolderError, match="has no column nope; the columns are prompt, completion, reward"):
        read(path, {"reward": "nope"})
    notes = read(write(path, with_rewards(1, "bad", "1"))).attrs["source"]
    assert "Not graded, neither right nor wrong: 1 completion; a reward is 'bad', which is no number." in notes


def test_lengths_that_are_none_are_unknown(tmp_path):
    rows = [{**row, "num_tokens": length} for row, length in zip(ROWS, (7, -1, 1e300), strict=True)]
    lengths = read(write(tmp_path / "a.jsonl", rows))["num_tokens"]
    assert lengths[0] == 7
    assert lengths[1:].isna().all()


def test_steps_that_are_no_numbers_are_named(tmp_path):
    path = write(tmp_path / "a.jsonl", with_rewards(0, 1, step="step-10"))
    with pytest.raises(RunFolderError, match="--step step: 'step-10' is no number"):
        read(path, {"step": "step"})
    assert read(path).attrs["source"][1] == (
        "Nothing says when the completions were sampled: all are shown as one batch; a step is 'step-10', which is no "
        "number."
    )


@pytest.mark.parametrize("rewards", [(0, 0.1), (0, 0.5), (-1, 0), (-1, -0.5)])
def test_two_rewards_of_which_the_larger_may_be_no_right_one_need_a_bound(tmp_path, rewards):
    path = write(tmp_path / "a.jsonl", with_rewards(*rewards))
    with pytest.raises(RunFolderError, match=r"reward has 2 different values.*--correct-above X"):
        read(path)
    assert read(path, correct_above=rewards[0])["is_correct"].tolist() == [False, True]


def test_right_or_wrong_beside_a_reward(tmp_path):
    rows = [{**row, "reward": reward, "correct": reward > 1} for row, reward in zip(ROWS, (1.2, 0.2, 0.4), strict=True)]
    table = read(write(tmp_path / "a.jsonl", rows))
    assert table["is_correct"].tolist() == [True, False, False]
    assert table["reward"].tolist() == [1.2, 0.2, 0.4]
    both = [{**row, "reward": i % 2, "correct": i // 2} for i, row in enumerate(ROWS)]
    with pytest.raises(RunFolderError, match="could say right or wrong: reward, correct"):
        read(write(tmp_path / "a.jsonl", both))
    # In another file the column has the right answers.
    table = read(write(tmp_path / "a.jsonl", [{**row, "correct": "42"} for row in ROWS]))
    assert "Right: reward is 1." in table.attrs["source"][0]


def test_a_file_that_is_gone_when_it_is_read_is_named(tmp_path):
    there = write(tmp_path / "step_1.jsonl")
    dump = Dump(tmp_path, (there, tmp_path / "step_2.jsonl"))
    notes = convert(dump, ReadOptions(), tmp_path / "run").source["notes"]
    assert notes[1].startswith("1 file cannot be read to the end: ")
    assert notes[1].endswith("step_2.jsonl is gone.")


def test_a_long_prompt_of_many_rows_takes_little_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(conversion, "CHARACTERS_A_FILE", 5_000)
    columns = {"prompt": ["p" * 1000] * 40, "completion": [f"c{i}" for i in range(40)], "reward": [0, 1] * 20}
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    dump = Dump(tmp_path, (tmp_path / "a.parquet",))
    run = convert(dump, ReadOptions(), tmp_path / "run")
    assert len(list(run.rollout_files())) == 8  # 5 rows of 1,002 characters reach 5,000
    monkeypatch.setattr(blocks, "BLOCK", 8_000)
    rows = [block.num_rows for block in blocks.read_blocks(tmp_path / "a.parquet", blocks.Damage())]
    assert rows[0] <= 32
    assert sum(rows) == 40
