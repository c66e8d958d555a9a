"""Errors by cluster and by answer, worked out by hand."""

from meds_rl.report.errors import find_errors
from meds_rl.report.source import read_run
from meds_rl.report.ways import ways

from .runs import RIGHT, WRONG, write_run

# p: "2" three times a batch, "3" twice in the first two, no answer once; q: "9" once a batch.
BATCH = [
    ("p", "2", WRONG),
    ("p", "2", WRONG),
    ("p", "2", WRONG),
    ("p", "1", RIGHT),
    ("q", "9", WRONG),
    ("q", "8", RIGHT),
]
BATCHES = [
    [*BATCH, ("p", "3", WRONG), ("p", "3", WRONG), ("p", None, WRONG)],
    [*BATCH, ("p", "3", WRONG), ("p", "3", WRONG)],
    BATCH,
]
STRATEGIES = {"2": "sign", "3": "order", "9": "sign", "None": "order"}


def by_name(run, by):
    return {(error.prompt_id, error.name): error for error in find_errors(run, 100)[0] if error.by == by}


def test_by_answer(tmp_path):
    write_run(tmp_path, BATCHES, memory=False, strategies=STRATEGIES)
    run = read_run(tmp_path)
    errors = by_name(run, "answer")
    assert {key: len(error.rows) for key, error in errors.items()} == {
        ("p", "2"): 9,
        ("p", "3"): 4,
        ("p", "no answer"): 1,
        ("q", "9"): 3,
    }
    largest = errors["p", "2"].to_dict()
    assert largest["share"] == 9 / 17
    assert largest["share_of_prompt"] == 9 / 14
    assert largest["course"] == [3, 3, 3]
    assert (largest["born"], largest["last"], largest["state"]) == (0, 2, None)  # made 9 times
    assert largest["answers"] == [["2", 9]]
    assert largest["strategies"] == [["sign", 9]]
    assert errors["p", "3"].life.state is None  # made 4 times
    assert errors["p", "no answer"].kind == "no_answer"
    # Rows of p's "2": the newest, the first, the one in the middle.
    rows = errors["p", "2"].rows
    assert errors["p", "2"].examples() == [rows[8], rows[0], rows[4]]
    assert errors["p", "no answer"].examples() == [errors["p", "no answer"].rows[0]]


def test_by_cluster_and_by_answer_where_there_is_a_memory(tmp_path):
    write_run(tmp_path, BATCHES, strategies=STRATEGIES)
    run = read_run(tmp_path)
    clusters = by_name(run, "cluster")
    sizes = sorted((key[0], error.kind, len(error.rows)) for key, error in clusters.items())
    # Equal fingerprints are one cluster; q's three copies of one point have no second group: noise, which is no error.
    assert sizes == [("p", "cluster", 4), ("p", "cluster", 9), ("p", "no_answer", 1), ("q", "noise", 3)]
    assert {error.name for error in clusters.values()} >= {"in no cluster", "no answer"}
    assert len(by_name(run, "answer")) == 4
    largest = max(clusters.values(), key=lambda error: len(error.rows)).to_dict()
    # Penalties of "2": unseen, then |C| = 3 and 6 (noise or cluster): the last is min(.1 ln 7, .2) = .1946.
    assert round(largest["penalty_last"], 4) == 0.1946
    assert sum(largest["reason_counts"].values()) == 9


def test_the_largest_are_listed_and_the_rest_is_counted(tmp_path):
    write_run(tmp_path, BATCHES, memory=False)
    errors, left_out = find_errors(read_run(tmp_path), 2)
    assert [len(error.rows) for error in errors] == [9, 4]
    assert left_out == {"answer": 2}


def test_nothing_wrong_and_nothing_at_all(tmp_path):
    write_run(tmp_path / "right", [[("p", "1", RIGHT)]])
    assert find_errors(read_run(tmp_path / "right"), 10) == ([], {"cluster": 0, "answer": 0})
    assert ways(read_run(tmp_path / "right")) == []


def test_errors_across_prompts_by_strategy(tmp_path):
    write_run(tmp_path, BATCHES, strategies=STRATEGIES)
    found = [way.to_dict() for way in ways(read_run(tmp_path))]
    assert [(way["by"], way["name"], way["count"], way["prompts"]) for way in found] == [
        ("strategy", "sign", 12, 2),
        ("strategy", "order", 5, 1),
    ]
    assert found[0]["share"] == 12 / 17
    assert found[0]["course"] == [4, 4, 4]


def test_a_strategy_with_a_zero_character_is_one_of_its_own(tmp_path):
    write_run(tmp_path, BATCHES, strategies={"2": "sign\0", "3": "sign", "9": "sign\0"})
    found = {way.name: len(way.rows) for way in ways(read_run(tmp_path)) if way.by == "strategy"}
    assert found == {"sign\0": 12, "sign": 4}  # 9 of "2" and 3 of "9"; 4 of "3"


def test_equal_answers_to_different_prompts_are_no_common_error(tmp_path):
    batch = [("p", "7", WRONG), ("q", "7", WRONG), ("q", "5", WRONG), ("q", None, WRONG)]
    write_run(tmp_path, [batch], memory=False)
    assert ways(read_run(tmp_path)) == []
