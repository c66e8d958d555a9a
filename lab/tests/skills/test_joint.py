"""The simulation of whole trainings, against torch's optimisers and by hand."""

import numpy as np
import pytest
import torch

from meds_lab.skills import joint


@pytest.mark.parametrize("kind", ["sgd", "adamw"])
def test_steps_are_those_of_torch(kind):
    rng = np.random.default_rng(0)
    weight = torch.zeros(3, 4, dtype=torch.float64, requires_grad=True)
    make = {"sgd": torch.optim.SGD, "adamw": lambda *given, **more: torch.optim.AdamW(*given, weight_decay=0, **more)}
    theirs, ours, step_of = make[kind]([weight], lr=joint.RATES[kind]), np.zeros((3, 4)), joint._Optimizer(kind)
    for _ in range(5):
        gradient = rng.normal(size=(3, 4)) * 1e-3
        weight.grad = torch.from_numpy(gradient)
        theirs.step()
        ours = ours - step_of(gradient)
    np.testing.assert_allclose(ours, weight.detach().numpy(), rtol=1e-9)


def test_penalties_of_a_group():
    visits, rules = joint.Visits(), np.array([4, 4, 5, 6])
    visits.rules[[4, 5]] = 7, 1
    visits.answers[3] = 2
    assert joint.penalties("none", 0.1, visits, rules, []).tolist() == [0, 0, 0, 0]
    assert joint.penalties("memory", 0.1, visits, rules, []) == pytest.approx([0.20794, 0.20794, 0.06931, 0], abs=1e-5)
    assert joint.penalties("batch-same-alpha", 0.1, visits, rules, []) == pytest.approx(
        [0.06931, 0.06931, 0, 0], abs=1e-5
    )
    assert joint.penalties("answers", 0.1, visits, rules, [3, 1, 3, 2]) == pytest.approx(
        [0.10986, 0, 0.10986, 0], abs=1e-5
    )


def test_a_kept_completion_replaces_the_most_repeated_error():
    visits, none = joint.Visits(), np.zeros(8)
    found = np.array([9, 1, 1, 1, 2, 2, 3, 3])  # 9 is right, in one of eight
    assert joint.trained_group("recall", visits, found, 9, none)[1][0] == pytest.approx(0.875)
    assert visits.is_kept
    visits.rules[2] = 5
    used, advantages = joint.trained_group("recall", visits, np.array([1, 1, 1, 2, 2, 3, 3, 3]), 9, none)
    assert used.tolist() == [1, 1, 1, 9, 2, 3, 3, 3]
    assert advantages.tolist() == [-0.125, -0.125, -0.125, 0.4375, -0.125, -0.125, -0.125, -0.125]
    for _ in range(3):
        joint.trained_group("recall", visits, np.array([1] * 8), 9, none)
    used, advantages = joint.trained_group("recall", visits, np.array([1] * 8), 9, none)
    assert used.tolist() == [1] * 8, "at most four groups in a row"
    joint.trained_group("recall", visits, np.array([9] * 5 + [1] * 3), 9, none)
    assert not visits.is_kept, "solved"


def test_a_training():
    after = joint.train(0, "none", "adamw", np.random.default_rng(0))
    assert after.shape == (24,)
    assert ((after > 0) & (after < 1)).all()
    assert joint.train(0, "none", "adamw", np.random.default_rng(0)).tolist() == after.tolist()


def test_recall_with_counts_in_the_batch_replaces_the_most_frequent_error():
    visits = joint.Visits(rules=np.bincount([3, 3, 3], minlength=54).astype(float), is_kept=True)
    group, none = np.array([1, 1, 1, 2, 2, 3, 3, 4]), np.zeros(8)
    assert joint.trained_group("recall-batch", visits, group, 9, none)[0].tolist() == [9, 1, 1, 2, 2, 3, 3, 4]
    assert joint.trained_group("recall", visits, group, 9, none)[0].tolist() == [1, 1, 1, 2, 2, 9, 3, 4]
    penalties = [joint.penalties(name, 0.1, visits, group, []) for name in ("batch", "recall-batch")]
    assert penalties[0].tolist() == penalties[1].tolist()
