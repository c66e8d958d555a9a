"""`_compute_advantage` with only the queue doubled: shaped scores in, verl's advantages out, raw scores after."""

import numpy as np
import pytest

pytest.importorskip("verl.trainer.ppo.v1")

import torch
from composing import composed
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf
from queue_double import Queue
from verl.trainer.ppo.v1 import PPOTrainerSync, trainer_base

from meds_rl.engines.settings import make_shaper
from meds_rl.engines.verl import MEDSTrainer
from meds_rl.engines.verl import batch as completions
from meds_rl.engines.verl.config import check_config
from meds_rl.shaping import group_advantages

CONFIG = composed()
# verl adds 1e-6 to a group's deviation, TRL and our default 1e-4.
EPS = 1e-6


class Words:
    """A tokenizer that is asked for nothing."""

    def decode(self, ids, skip_special_tokens):
        return f"\\boxed{{{ids[0]}}}"


def make_trainer(monkeypatch, queue, **meds):
    for module in (trainer_base, completions):
        monkeypatch.setattr(module, "tq", queue)
    made = object.__new__(MEDSTrainer)
    made.config = OmegaConf.merge(CONFIG, {"meds": meds})
    made._settings = check_config(made.config)
    made.shaper = make_shaper(vars(made._settings))
    made.tokenizer = Words()
    made.global_steps, made.total_training_steps = 1, 4
    return made


def row(score, feature=(1.0, 0.0), prompt="p", length=3, acc=None, uid="u"):
    """One completion as an agent loop puts it into the queue, and the fingerprint of its forward."""
    token_scores = torch.zeros(length)
    token_scores[-1] = score
    graded = {} if acc is None else {"acc": acc}
    return {
        "uid": uid,
        "responses": torch.arange(length),
        "response_mask": torch.ones(length, dtype=torch.int64),
        "rm_scores": token_scores,
        "old_log_probs": torch.zeros(length),
        "extra_fields": {"reward_extra_info": graded},
        "prompt_id": prompt,
        "raw_prompt": [{"role": "user", "content": prompt}],
        "meds_features": torch.tensor(feature, dtype=torch.float32),
    }


def advantage(queue, key):
    values = queue.rows[key]["advantages"]
    assert torch.equal(values, queue.rows[key]["returns"])
    assert (values == values[0]).all(), "one advantage for all tokens"
    return float(values[0])


def step(made, queue, rows, padding=()):
    metrics = {}
    before = {key: value["rm_scores"].clone() for key, value in rows.items()}
    made._compute_advantage(queue.batch(rows, padding), metrics)
    for key, scores in before.items():
        assert torch.equal(queue.rows[key]["rm_scores"], scores), "raw scores are back"
    return metrics


def group(uid, scores, **more):
    return {f"{uid}_{i}_0": row(score, uid=uid, length=2 + i, **more) for i, score in enumerate(scores)}


def test_a_second_visit_is_penalised(monkeypatch):
    queue = Queue()
    made = make_trainer(monkeypatch, queue)
    step(made, queue, group("a", [0.0, 0.0, 1.0]))
    metrics = step(made, queue, group("b", [0.0, 0.0, 1.0]))
    # Two equal errors are remembered, noise of size 2: 0.1 ln 3 = 0.10986. Shaped -0.10986, -0.10986, 1: mean 0.26009,
    # sample deviation 0.64078, so the right one has 0.73991 / 0.64078 = 1.15470 and the wrong ones -0.57735.
    found = [advantage(queue, f"b_{i}_0") for i in range(3)]
    assert found == pytest.approx([-0.57735, -0.57735, 1.15470], abs=1e-4)
    assert metrics["meds/mean_penalty"] == pytest.approx(0.10986, abs=1e-5)
    assert metrics["meds/memory_size"] == 4
    assert metrics["meds/raw_accuracy"] == pytest.approx(1 / 3)


def test_an_annealed_penalty_falls_with_verls_steps(monkeypatch):
    queue = Queue()
    made = make_trainer(monkeypatch, queue, anneal=[0.25, 0.75])
    penalties, alphas = [], []
    for made.global_steps, uid in enumerate("abcd", start=1):
        metrics = step(made, queue, group(uid, [0.0, 0.0, 1.0]))
        penalties.append(metrics["meds/mean_penalty"])
        alphas.append(metrics["meds/alpha"])
    assert alphas == pytest.approx([0.1, 0.1, 0.05, 0.0])
    assert penalties == pytest.approx([0.0, 0.1 * np.log(3), 0.05 * np.log(5), 0.0])
    assert metrics["meds/memory_size"] == 8


def test_a_penalty_tells_two_errors_apart(monkeypatch):
    queue = Queue()
    made = make_trainer(monkeypatch, queue, no_answer="free")
    step(made, queue, group("a", [0.0, 0.0, 1.0]))
    no_answer_row = row(0.0, feature=(float("nan"), float("nan")), uid="b")
    step(made, queue, {"b_0_0": row(0.0, uid="b"), "b_1_0": no_answer_row, "b_2_0": row(1.0, uid="b")})
    # Shaped -0.10986, 0, 1: mean 0.29671, deviation 0.61154.
    found = [advantage(queue, f"b_{i}_0") for i in range(3)]
    assert found == pytest.approx([-0.665, -0.485, 1.150], abs=1e-3)


@pytest.mark.parametrize("all_wrong", ["skip", "center"])
def test_entropies_are_added_last(monkeypatch, all_wrong):
    queue, plain = Queue(), Queue()
    rng = np.random.default_rng(0)
    entropies = {f"{uid}_{i}_0": torch.tensor(rng.uniform(0, 3, 2 + i)) for uid in "ab" for i in range(3)}
    for each, added in ((plain, {}), (queue, {"entropy_advantage": 0.3})):
        made = make_trainer(monkeypatch, each, all_wrong=all_wrong, **added)
        for uid, last in (("a", 1.0), ("b", 0.0)):
            rows = {key: value | {"entropy": entropies[key]} for key, value in group(uid, [0.0, 0.0, last]).items()}
            rows[f"{uid}_1_0"]["meds_features"] = torch.tensor([0.0, 1.0])
            step(made, each, rows)
    for key, values in entropies.items():
        base = advantage(plain, key)
        expected = [base + min(0.3 * h, abs(base) / 2.0) for h in values.tolist()]
        assert queue.rows[key]["advantages"].tolist() == pytest.approx(expected, abs=1e-6)
        assert advantage(plain, key) == queue.rows[key]["returns"][0]
    assert any(advantage(plain, key) for key in entropies)


def test_padding_rows_are_neither_counted_nor_remembered(monkeypatch):
    queue = Queue()
    made = make_trainer(monkeypatch, queue)
    rows = group("a", [0.0, 0.0, 1.0])
    pad = row(0.0, uid="padff", length=1)
    pad["response_mask"] = torch.zeros(1, dtype=torch.int64)
    metrics = step(made, queue, rows | {"padff_0_0": pad}, padding=("padff_0_0",))
    assert len(made.memory) == 2
    assert metrics["meds/raw_accuracy"] == pytest.approx(1 / 3)
    assert made._columns.keys() == rows.keys()


def test_of_an_agents_outputs_the_last_counts_and_all_share_its_advantage(monkeypatch):
    queue = Queue()
    made = make_trainer(monkeypatch, queue, all_wrong="center")
    rows = group("a", [0.0, 0.0])
    rows["a_1_1"] = row(0.0, uid="a", feature=(0.0, 1.0))
    step(made, queue, rows)
    assert len(made.memory) == 2
    again = {key.replace("a_", "b_"): value | {"uid": "b"} for key, value in rows.items()}
    step(made, queue, again)
    assert advantage(queue, "b_1_0") == advantage(queue, "b_1_1")


@pytest.mark.parametrize("all_wrong", ["skip", "center"])
def test_a_prompt_that_comes_twice_has_two_groups(monkeypatch, all_wrong):
    found = {}
    for name in ("alone", "with a twin"):
        queue = Queue()
        made = make_trainer(monkeypatch, queue, all_wrong=all_wrong, beta=2.0)
        step(made, queue, group("a", [0.0, 0.0, 0.0, 1.0]))
        rows = group("b", [0.0, 0.0, 0.0]) | {"b_3_0": row(0.0, uid="b", feature=(float("nan"),) * 2)}
        twin = group("c", [0.0, 0.0, 1.0, 1.0]) if name == "with a twin" else {}
        step(made, queue, rows | twin)
        found[name] = [advantage(queue, key) for key in rows]
        if twin:
            # A group with right and wrong ones is divided by its deviation as ever.
            assert [advantage(queue, f"c_{i}_0") > 0 for i in range(4)] == [False, False, True, True]
    assert found["alone"] == pytest.approx(found["with a twin"], abs=1e-6)
    # By hand: three completions are remembered, noise of size 3: .1 ln 4 = .13863, and no answer before. Rewards less
    # their mean -.10397: -.03466 and .10397; with "skip" nothing.
    expected = [0.0] * 4 if all_wrong == "skip" else [-0.03466] * 3 + [0.10397]
    assert found["alone"] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # Shaped as above: -.10986 twice, and 1; mean .26009, one of three is right.
        ("undivided", [-0.36995, -0.36995, 0.73991]),
        ("maxrl", [-1.10986, -1.10986, 2.21972]),
        # f = C(2, 2) / C(3, 2) = 1/3, s = sqrt(2) / 3; wrong: 1/3 - C(1, 1) / C(2, 1) = -1/6. Equal penalties add 0.
        ("pass_at_k", [-0.35355, -0.35355, 0.70711]),
        # Two thirds of 1.15470 and -0.57735.
        ("f_grpo", [-0.38490, -0.38490, 0.76980]),
    ],
)
def test_advantages_by_name(monkeypatch, name, expected):
    queue = Queue()
    made = make_trainer(monkeypatch, queue, advantage=name, advantage_k=2)
    step(made, queue, group("a", [0.0, 0.0, 1.0]))
    step(made, queue, group("c", [0.0, 0.0]) | group("b", [0.0, 0.0, 1.0]))
    assert [advantage(queue, f"b_{i}_0") for i in range(3)] == pytest.approx(expected, abs=2e-4)
    assert [advantage(queue, f"c_{i}_0") for i in range(2)] == [0, 0]


def test_a_score_with_a_punishment_for_length_is_not_what_is_right(monkeypatch):
    queue = Queue()
    made = make_trainer(monkeypatch, queue)
    rows = group("a", [0.0, 0.0])
    rows["a_0_0"]["extra_fields"] = {"reward_extra_info": {"score": 1.0}}  # right, and 1 too long: 1 - 1
    step(made, queue, rows)
    assert [made._columns[key][-1] for key in rows] == [True, False]


def test_a_reward_model_beside_the_actor_says_what_is_right_in_a_field_of_its_own(monkeypatch):
    queue = Queue()
    made = make_trainer(monkeypatch, queue)
    rows = group("a", [0.0, 0.9])
    for value, acc in zip(rows.values(), (1.0, 0.0), strict=True):
        value["acc"] = acc
    step(made, queue, rows)
    assert [made._columns[key][-1] for key in rows] == [True, False]


def test_right_is_what_the_reward_calls_so(monkeypatch):
    queue = Queue()
    made = make_trainer(monkeypatch, queue)
    # An overlong right completion (score 1 - 0.8) is right; a wrong one that scores above 0.5 without `acc` is right.
    rows = {
        "a_0_0": row(0.2, acc=True, uid="a"),
        "a_1_0": row(-1.0, acc=False, uid="a"),
        "a_2_0": row(0.9, acc=0.0, uid="a"),
        "a_3_0": row(0.9, uid="a"),
    }
    step(made, queue, rows)
    assert [made._columns[key][-1] for key in rows] == [True, False, False, True]


def test_prompts_are_named_by_their_content_where_the_data_do_not(monkeypatch):
    queue = Queue()
    made = make_trainer(monkeypatch, queue)
    rows = group("a", [0.0, 1.0])
    for value in rows.values():
        del value["prompt_id"]
        value["raw_prompt"] = [{"role": "user", "content": "Hi"}]
    step(made, queue, rows)
    assert made.memory.prompt_ids == ["557f6d9586f57ae7"]  # as in the docstring of meds_rl.tasks.base.prompt_id


def test_an_error_in_verl_leaves_raw_scores(monkeypatch):
    queue = Queue()
    made = make_trainer(monkeypatch, queue)
    step(made, queue, group("a", [0.0, 0.0, 1.0]))

    def fails(*_):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(PPOTrainerSync, "_compute_advantage", fails)
    rows = group("b", [0.0, 0.0, 1.0])
    with pytest.raises(RuntimeError, match="out of memory"):
        made._compute_advantage(queue.batch(rows), {})
    assert [float(queue.rows[f"b_{i}_0"]["rm_scores"][-1]) for i in range(3)] == [0.0, 0.0, 1.0]


@pytest.mark.parametrize("fingerprint", ["answer_string", "steps", "text"])
def test_fingerprints_of_the_text_need_no_worker(monkeypatch, fingerprint):
    queue = Queue()
    made = make_trainer(monkeypatch, queue, fingerprint=fingerprint)
    rows = group("a", [0.0, 0.0, 1.0])
    for value in rows.values():
        del value["meds_features"]
    step(made, queue, rows)
    assert len(made.memory) == 2


def test_the_memory_compares_outcomes(monkeypatch):
    queue = Queue()
    made = make_trainer(monkeypatch, queue, fingerprint="outcome", max_distance=0.0)
    ends = [("ok", "IndexError"), ("got 5", "ok"), "ok, IndexError", "got 5, ok", ("got 5", "ok"), None, ("ok", "ok")]

    def visit(uid):
        rows = group(uid, [0.0] * 6 + [1.0])
        for value, outcome in zip(rows.values(), ends, strict=True):
            del value["meds_features"]
            value["extra_fields"]["reward_extra_info"]["outcome"] = outcome
        step(made, queue, rows)
        return [made._columns[key] for key in rows]

    visit("a")
    seen = visit("b")
    # Remembered are two that end with "ok, IndexError", three with "got 5, ok", and one without an outcome.
    assert [columns[1] for columns in seen] == [2, 3, 2, 3, 3, 1, 0]
    first, second = "ok, IndexError", "got 5, ok"
    assert [columns[-2] for columns in seen] == [first, second, first, second, second, None, "ok, ok"]


def test_outcomes_that_the_reward_function_does_not_report(monkeypatch):
    queue = Queue()
    made = make_trainer(monkeypatch, queue, fingerprint="outcome")
    with pytest.raises(ValueError, match="Return a dict with score, acc and outcome"):
        step(made, queue, group("a", [0.0, 1.0]))
    rows = group("b", [0.0, 1.0])
    rows["b_0_0"]["extra_fields"]["reward_extra_info"]["outcome"] = ["a list"]
    with pytest.raises(TypeError, match="an outcome must be hashable"):
        step(made, queue, rows)
    rows = group("c", [0.0, 1.0])
    rows["c_0_0"]["extra_fields"]["reward_extra_info"]["outcome"] = ["something else of the user's"]
    states = make_trainer(monkeypatch, queue)
    step(states, queue, rows)
    assert [states._columns[key][-2] for key in rows] == [None, None]


GROUPS = st.lists(
    st.lists(st.tuples(st.sampled_from([0.0, 1.0, 0.3, -0.5]), st.integers(0, 2)), min_size=2, max_size=5),
    min_size=1,
    max_size=3,
)


@settings(max_examples=30)
@given(
    batches=st.lists(GROUPS, min_size=2, max_size=3),
    all_wrong=st.sampled_from(["skip", "center", "shape"]),
    scale_rewards=st.sampled_from(["group", "none"]),
)
def test_advantages_are_the_cores(batches, all_wrong, scale_rewards):
    with pytest.MonkeyPatch.context() as monkeypatch:
        queue = Queue()
        made = make_trainer(monkeypatch, queue, all_wrong=all_wrong, scale_rewards=scale_rewards, alpha=0.3, beta=2.0)
        twin = make_shaper(vars(made._settings))
        for number, groups in enumerate(batches):
            rows, ids = {}, []
            for place, members in enumerate(groups):
                uid = f"{number}-{place}"
                for i, (score, kind) in enumerate(members):
                    rows[f"{uid}_{i}_0"] = row(
                        score, feature=np.eye(3)[kind].tolist(), prompt=f"p{place}", uid=uid, length=1 + i
                    )
                    ids.append(f"p{place}")
            step(made, queue, rows)
            shaped = twin.shape(
                [float(value["rm_scores"].sum()) for value in rows.values()],
                prompt_ids=ids,
                features=torch.stack([value["meds_features"] for value in rows.values()]).numpy(),
                is_correct=np.array([float(value["rm_scores"].sum()) > 0.5 for value in rows.values()]),
            )
            # A group in which nothing is penalised keeps verl's advantages.
            penalised = np.isin(ids, [name for name, size in zip(ids, shaped.penalties, strict=True) if size > 0])
            divided = (shaped.normalize_by_std | ~penalised) & (scale_rewards == "group")
            expected = group_advantages(shaped.rewards, prompt_ids=ids, normalize_by_std=divided, eps=EPS)
            # float32 in verl, and a deviation of nearly nothing makes much of it: 1e-8 / 1e-6.
            found = [advantage(queue, key) for key in rows]
            assert found == pytest.approx(expected.tolist(), abs=0.1 if _tiny(shaped.rewards, ids) else 1e-4)


def _tiny(rewards, ids):
    """Whether a group's rewards differ by no more than rounding."""
    names = np.array(ids)
    spread = [np.ptp(rewards[names == name]) for name in set(ids)]
    return any(0 < value < 1e-4 for value in spread)


@settings(max_examples=15)
@given(groups=GROUPS)
def test_without_strength_advantages_are_verls_own(groups):
    with pytest.MonkeyPatch.context() as monkeypatch:
        queue = Queue()
        made = make_trainer(monkeypatch, queue, alpha=0.0)
        for visit in range(2):
            rows = {
                f"{visit}-{place}_{i}_0": row(score, prompt=f"p{place}", uid=f"{visit}-{place}", length=1 + i)
                for place, members in enumerate(groups)
                for i, (score, _) in enumerate(members)
            }
            step(made, queue, rows)
            ours = [queue.rows[key]["advantages"].clone() for key in rows]
            PPOTrainerSync._compute_advantage(made, queue.batch(rows), {})
            assert all(torch.equal(one, queue.rows[key]["advantages"]) for one, key in zip(ours, rows, strict=True))
