"""The reward function in a real Ray actor, whose methods run outside of its main thread, as verl's workers' do."""

import asyncio
import inspect
from functools import partial

import pytest

pytest.importorskip("verl")
import ray
from verl.utils.import_utils import load_extern_object

from meds_rl.engines.verl import reward
from meds_rl.engines.verl.reward import compute_score
from meds_rl.tasks import Verdict

pytestmark = pytest.mark.verl

TOWER = "9^{9^{9^{9^{9}}}}"


@pytest.fixture
def worker():
    class Worker:  # here, so that Ray sends it whole: its processes cannot import this file
        async def grade(self, texts):
            score = load_extern_object("pkg://meds_rl.engines.verl.reward", "compute_score")
            jobs = [score(data_source="x", solution_str=text, ground_truth=r"\frac{1}{2}") for text in texts]
            return await asyncio.gather(*jobs)

    ray.init(num_cpus=1, include_dashboard=False, logging_level="error")
    yield ray.remote(Worker).remote()
    ray.shutdown()


def test_a_worker_grades_and_no_answer_stops_it(worker):
    texts = [r"\boxed{0.5}", rf"\boxed{{{TOWER}}}", r"\boxed{2}", r"half", r"\boxed{1}, no, \boxed{\frac12}"]
    graded = ray.get(worker.grade.remote(texts), timeout=120)
    assert [one["acc"] for one in graded] == [1.0, 0.0, 0.0, 0.0, 1.0]
    assert all(one["score"] == one["acc"] for one in graded)


def test_verl_awaits_it_rather_than_calling_it_in_a_thread():
    assert inspect.iscoroutinefunction(partial(compute_score))


def test_a_verdict_has_an_outcome(monkeypatch):
    def game(jobs):
        return [Verdict(text == row["answer"], ("ok", f"got {text}")) for text, row in jobs]

    monkeypatch.setattr(reward, "_grader", lambda _marker: game)
    graded = asyncio.run(compute_score("8", "7"))
    assert graded == {"score": 0.0, "acc": 0.0, "outcome": "ok, got 8"}
