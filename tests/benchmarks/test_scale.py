"""The arithmetic behind docs/performance.md next to memories that are really filled, and a simulation of few visits."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
import scale
from scale_arithmetic import Scale, short

from meds_rl import ErrorMemory
from meds_rl.memory import Visit

SMALL = Scale(14, prompts=3, wrong=8, epochs=20, batch_prompts=3)


def filled(one: Scale) -> ErrorMemory:
    memory = ErrorMemory(capacity=one.capacity)
    for rows in scale.visits(one, one.prompts):
        rows = rows.reshape(one.prompts, one.wrong, one.features)
        memory.remember_batch([Visit(f"prompt {i}", rows[i]) for i in range(one.prompts)])
    return memory


@pytest.mark.parametrize("features", [14, 100])
@pytest.mark.parametrize("capacity", [None, 64, 8])
def test_bytes_are_those_of_a_memory(features, capacity):
    one = Scale(features, prompts=3, wrong=8, epochs=20, batch_prompts=3, capacity=capacity)
    memory = filled(one)
    assert len(memory) == 3 * one.remembered() == 3 * (capacity or 160)
    assert memory.nbytes == one.arrays()


def test_the_papers_fingerprint_by_hand():
    one = Scale(14)
    # 8 wrong x 100 epochs = 800 of 4 * 14 + 8 = 64 bytes, 100 visits of 24: 53,600 bytes a prompt, 25,000 prompts.
    assert one.arrays() == 25_000 * 53_600
    assert one.peak_of_a_step() == 512 * 53_600
    assert one.sent() == 512 * 16 * 14 * 4  # a right completion's fingerprint travels too
    assert one.steps == 4_882  # 100 epochs of 48.8
    assert one.arrays(epoch=1) == 25_000 * (8 * 64 + 24)


def test_bytes_are_written_short():
    assert [short(count) for count in (0, 7, 999, 1_000, 26_843_545_600, 10**15)] == [
        "0 B",
        "7 B",
        "999 B",
        "1.00 kB",
        "26.8 GB",
        "1000 TB",
    ]


def test_a_course_has_a_time_for_every_visit_and_threads_are_compared():
    memory = ErrorMemory()
    assert len(scale.course(memory, SMALL, prompts=2)) == 20
    assert len(memory) == 2 * 160
    assert scale.speedup(memory, SMALL, 2, threads=2) > 0
    assert len(memory) == 2 * (160 + 6 * 8)


def test_the_files_rates():
    assert min(scale.file_rate(14, 100_000)) > 0
