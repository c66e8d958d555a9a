"""Cells run, fail, stop and go on: with a stand-in for the training."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from meds_lab.compare.grid import GridError
from meds_lab.compare.runner import folder_lock, run_cells
from meds_lab.compare.state import State, full_seconds, read_attempts, state_of


def methods(wish):
    return {"dapo": {"method": "dapo"}, "meds": {"method": "meds", "run_name": wish}}


def test_all_cells_run_and_no_more_than_asked_at_once(make, stand_in):
    _, cells = make(seeds=3)
    most = 0

    def look(progress):
        nonlocal most
        most = max(most, len(progress.running))

    assert run_cells(cells, 2, command=stand_in, on_look=look) == []
    assert {state_of(cell) for cell in cells} == {State.FINISHED}
    assert most == 2
    assert full_seconds(cells[0]) > 0
    assert [(one.status, one.jobs, one.resumed) for one in read_attempts(cells[0])] == [(0, 2, False)]
    with pytest.raises(ValueError, match="jobs must be at least 1"):
        run_cells(cells, 0)


def test_a_failure_does_not_stop_the_others_and_shows_its_end(make, stand_in):
    _, cells = make(seeds=1, methods=dict(reversed(methods("fail").items())))
    failures = run_cells(cells, 1, command=stand_in)
    assert [(failure.cell.method, failure.status) for failure in failures] == [("meds", 1)]
    assert failures[0].last_lines[-1] == "no such luck"
    assert [state_of(cell) for cell in cells] == [State.TO_BEGIN, State.FINISHED]


def test_a_failed_cell_goes_on_from_its_checkpoint(make, stand_in):
    _, (_, cell) = make(seeds=1, methods=methods("die"))
    assert [one.status for one in run_cells([cell], 1, command=stand_in)] == [1]
    assert state_of(cell) is State.TO_RESUME
    assert run_cells([cell], 1, command=stand_in) == []
    assert state_of(cell) is State.FINISHED
    assert [one.resumed for one in read_attempts(cell)] == [False, True]
    assert full_seconds(cell) is None, "what a part of a training took says nothing about a whole one"
    assert "--resume_from_checkpoint true" in cell.log_path.read_text()


def test_pieces_without_a_checkpoint_are_begun_anew(make, stand_in):
    _, (_, cell) = make(seeds=1, methods=methods("pieces"))
    run_cells([cell], 1, command=stand_in)
    assert state_of(cell) is State.TO_RESTART
    assert run_cells([cell], 1, command=stand_in) == []
    assert state_of(cell) is State.FINISHED
    assert not (cell.folder / "checkpoint-1").exists()


def test_the_evaluation_before_is_shared_within_a_unit(make, stand_in):
    _, cells = make()
    assert run_cells(cells, 1, shares_before=True, command=stand_in) == []
    first, second = (cell.log_path.read_text() for cell in cells[:2])
    assert "--eval_before_from" not in first
    assert f"--eval_before_from {cells[0].folder}" in second
    assert "--eval_before_from" not in cells[2].log_path.read_text(), "another seed, another evaluation"


def test_what_a_stopped_cell_left_behind_is_not_shared(make, stand_in):
    _, cells = make(seeds=1)
    left = cells[1].folder / "evaluation"
    left.mkdir(parents=True)
    for kind in ("parquet", "json"):
        (left / f"before.{kind}").touch()
    assert state_of(cells[1]) is State.TO_RESTART, "its folder goes when its turn comes"
    assert run_cells(cells, 2, shares_before=True, command=stand_in) == []
    assert f"--eval_before_from {cells[1].folder}" not in cells[0].log_path.read_text()


@pytest.fixture
def _as_in_a_terminal():
    """Whoever runs the tests in the background ignores signals, and so do its children: these here are heard."""
    defaults = {
        signal.SIGINT: signal.default_int_handler,
        signal.SIGTERM: signal.SIG_DFL,
        signal.SIGHUP: signal.SIG_DFL,
    }
    before = {number: signal.signal(number, handler) for number, handler in defaults.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("_as_in_a_terminal")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_trainings_and_the_next_run_goes_on(make, stand_in, number):
    _, (_, cell) = make(seeds=1, methods=methods("hang"))

    def kill():
        while not (cell.folder / "hangs").exists():
            time.sleep(0.05)
        os.kill(os.getpid(), number)

    running = {}

    def command(cell, overrides):
        # The process's number, written by itself, to see that it has gone.
        return ["sh", "-c", f'echo $$ > "{cell.folder}.pid"; exec "$@"', "sh", *stand_in(cell, overrides)]

    thread = threading.Thread(target=kill)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        run_cells([cell], 1, command=command, on_look=lambda progress: running.update(progress.running))
    thread.join()
    assert list(running) == [cell]
    with pytest.raises(ProcessLookupError):
        os.kill(int(cell.folder.with_name("meds.pid").read_text()), 0)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert state_of(cell) is State.TO_RESTART


def test_a_signal_that_is_ignored_stays_ignored(make, stand_in):
    _, cells = make(seeds=1)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does

    def look(_):
        os.kill(os.getpid(), signal.SIGHUP)

    try:
        assert run_cells(cells, 2, command=stand_in, on_look=look) == []
    finally:
        signal.signal(signal.SIGHUP, before)
    assert {state_of(cell) for cell in cells} == {State.FINISHED}


def test_one_at_a_time_also_when_only_a_training_is_left(tmp_path):
    with folder_lock(tmp_path) as inherited:
        with pytest.raises(GridError, match="still runs in"), folder_lock(tmp_path):
            pass
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=inherited)
    # As after kill -9 of meds-lab compare: its training still runs.
    with pytest.raises(GridError, match="or a training of one"), folder_lock(tmp_path):
        pass
    child.communicate(b"\n")
    with folder_lock(tmp_path):
        pass
