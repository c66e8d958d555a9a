"""What is on disk of a cell, and whether it is what the grid asks for."""

import pytest
import yaml

from meds_lab.compare.grid import GridError
from meds_lab.compare.state import State, changed_fields, given_fields, refuse_changed, state_of


def put_recipe(cell, **changes):
    """As a training leaves it."""
    given = {**cell.fields, "output_dir": "elsewhere", **changes}
    head = "".join(f"#   {line}\n" for line in yaml.safe_dump(given).splitlines())
    cell.folder.mkdir(parents=True)
    (cell.folder / "recipe.yaml").write_text(f"# The resolved recipe. What the user gave:\n{head}task: pocket\n")
    cell.write_recipe()


@pytest.fixture
def cell(make):
    return make()[1][0]


def test_states(cell):
    assert state_of(cell) is State.TO_BEGIN
    cell.folder.mkdir(parents=True)
    assert state_of(cell) is State.TO_BEGIN
    (cell.folder / "rollouts").mkdir()
    assert state_of(cell) is State.TO_RESTART
    states = cell.folder / "checkpoint-2" / "trainer_state.json"
    states.parent.mkdir()
    states.write_text('{"global')
    assert state_of(cell) is State.TO_RESTART, "a kill left half a checkpoint"
    states.write_text("{}")
    assert state_of(cell) is State.TO_RESUME
    (cell.folder / "evaluation").mkdir()
    (cell.folder / "evaluation" / "after.parquet").write_text("")
    assert state_of(cell) is State.TO_RESUME, "the figures come last"
    (cell.folder / "evaluation" / "after.json").write_text("{}")
    assert state_of(cell) is State.FINISHED


def test_a_run_as_asked_for_is_taken(cell):
    # Where it lies, and whose evaluation before training it took over, is no part of what was trained.
    put_recipe(cell, eval_before_from="sibling")
    assert changed_fields(cell) == []
    refuse_changed([cell])


def test_another_recipe_is_refused_with_what_differs(cell):
    put_recipe(cell, learning_rate=1.0, weight_decay=0.5)
    assert changed_fields(cell) == [
        ("learning_rate", "1.0", "0.0003"),
        ("weight_decay", "0.5", "not given"),
    ]
    with pytest.raises(GridError, match=r"learning_rate was 1\.0, the grid asks for 0\.0003; weight_decay was 0\.5"):
        refuse_changed([cell])


def test_a_folder_of_somebody_else_is_refused(cell):
    cell.folder.mkdir(parents=True)
    with pytest.raises(GridError, match="meds-lab compare did not make it"):
        refuse_changed([cell])


def test_given_fields_keep_their_kinds(tmp_path):
    path = tmp_path / "recipe.yaml"
    given = "#   a: '1e-3'\n#   b:\n#     c: [1, x]\n#   d: |-\n#     two\n#     lines\n"
    path.write_text(f"# Given:\n{given}a: 3\n#   e: 1\n")
    assert given_fields(path) == {"a": "1e-3", "b": {"c": [1, "x"]}, "d": "two\nlines"}
    assert given_fields(tmp_path / "none") is None
    path.write_text("a: 1\n")
    with pytest.raises(GridError, match="does not contain what was given"):
        given_fields(path)
