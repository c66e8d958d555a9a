"""Fingerprints of remembered completions taken anew, in a real, tiny training loop."""

import numpy as np
import pandas as pd
import pytest

from meds_rl.engines.trl import MEDSTrainer
from meds_rl.engines.trl.completions import memory_ids
from meds_rl.engines.trl.sharing import share_of
from meds_rl.fingerprint import AnswerPosition, AnswerStates, LayerLogits, extract

from .conftest import even_length, train


def history(trainer, name) -> list[float]:
    return [row[f"meds/{name}"] for row in trainer.state.log_history if f"meds/{name}" in row]


@pytest.fixture
def fields() -> dict:
    """Four of eight prompts a step: each prompt comes every second one."""
    return {"max_steps": 6, "dynamic_sampling": False, "meds_reencode_tokens": 10_000}


def test_what_is_compared_is_as_the_policy_sees_it_now(model_path, dataset, make_config, fields):
    said = {}

    def hearing(prompts, completion_ids, **_):
        for prompt, ids in zip(prompts, completion_ids, strict=True):
            said.setdefault(prompt, set()).add(tuple(ids[:4]))
        return even_length(completion_ids)

    trainer = train(model_path, dataset, make_config(**fields), reward=hearing)
    memory, reencoding, tokenizer = trainer.memory, trainer._memory_step.reencoding, trainer.processing_class
    keys = list(reencoding.store.entries)
    assert len(reencoding.store) == sum(len(memory.entry(*key).vectors) for key in keys) > 0
    before = {key: memory.entry(*key).vectors.copy() for key in keys}
    figures = reencoding.renew(
        memory, keys, trainer.model, trainer.accelerator, share_of(trainer.accelerator)
    )
    assert figures["reencoded"] == len(reencoding.store)
    moved = 0.0
    for key in keys:
        entry, stored = memory.entry(*key), reencoding.store.entries[key]
        assert stored.ids.tolist() == memory_ids(memory, key).tolist()
        assert (entry.encoded_steps == memory.step).all()
        rows = [stored.spoken(place) for place in range(len(stored))]
        prompt = dataset["prompt"][dataset["prompt_id"].index(key.prompt_id)]
        assert {tuple(row.completion_ids.tolist()) for row in rows} <= said[prompt]
        expected = extract(
            trainer.model,
            LayerLogits(),
            [tokenizer(prompt).input_ids] * len(rows),
            [row.completion_ids.tolist() for row in rows],
            [AnswerPosition(2, int(row.completion_ids[3])) for row in rows],
        )
        np.testing.assert_allclose(entry.vectors, expected, rtol=1e-4, atol=1e-6)
        moved = max(moved, float(np.abs(entry.vectors - before[key]).max()))
    assert moved > 1e-3, "the policy did not move: the test shows nothing"


def test_a_budget_bounds_the_tokens_and_age_spares_the_young(model_path, dataset, make_config, fields):
    free = train(model_path, dataset, make_config(**fields))
    assert history(free, "fingerprint_age") == [0.0] * 6, "all that is looked at was just encoded anew"
    assert history(free, "reencoded_tokens")[0] == 0.0, "the first batch finds nothing"
    # Three tokens of a prompt and four of a completion: a budget of 20 is two completions.
    some = train(model_path, dataset, make_config(**{**fields, "meds_reencode_tokens": 20}))
    assert max(history(some, "reencoded")) == 2.0
    assert max(history(some, "reencoded_tokens")) == 14.0
    assert max(history(some, "fingerprint_age")) > 0
    none = train(model_path, dataset, make_config(**fields, meds_reencode_age=100))
    off = train(model_path, dataset, make_config(**{**fields, "meds_reencode_tokens": None}))
    assert history(none, "reencoded") == [0.0] * 6
    assert history(off, "reencoded") == []
    assert history(none, "fingerprint_age") == history(off, "fingerprint_age") != [0.0] * 6


def test_a_memory_with_bounds_drops_texts_too(model_path, dataset, make_config, fields):
    trainer = train(model_path, dataset, make_config(**fields, meds_capacity=3, meds_total_capacity=12))
    store, memory = trainer._memory_step.reencoding.store, trainer.memory
    assert 0 < len(memory) <= 12
    assert len(store) == sum(len(memory.entry(name).vectors) for name in memory.prompt_ids)


def test_a_fingerprint_that_reads_everything_keeps_everything(model_path, dataset, make_config, fields):
    trainer = train(model_path, dataset, make_config(**fields, fingerprint="pooled_logits"))
    store = trainer._memory_step.reencoding.store
    lengths = np.concatenate([entry.lengths for entry in store.entries.values()])
    assert lengths.max() > 4
    assert max(history(trainer, "reencoded")) > 0


def test_a_fingerprint_of_the_whole_answer_is_taken_from_the_whole_answer(
    model_path, dataset, make_config, fields
):
    def third_to_fifth(completion_ids, _tokenizer):
        ids = completion_ids
        return AnswerPosition(2, ids[3], min(5, len(ids) - 1)) if len(ids) > 3 else None

    trainer = MEDSTrainer(
        model_path,
        even_length,
        make_config(**{**fields, "learning_rate": 0.0}),
        dataset,
        answer_finder=third_to_fifth,
        fingerprint=AnswerStates(),
    )
    differences = []
    renew_batch = trainer.memory.renew_batch

    def compare(renewals, **share):
        for renewal in renewals:
            entry = trainer.memory.entry(renewal.prompt_id, renewal.is_correct)
            rows = np.searchsorted(entry.ids, renewal.ids)
            differences.append(np.abs(entry.vectors[rows] - renewal.features).max())
        renew_batch(renewals, **share)

    trainer.memory.renew_batch = compare
    trainer.train()
    lengths = np.concatenate([e.lengths for e in trainer._memory_step.reencoding.store.entries.values()])
    assert set(lengths.tolist()) == {4, 5, 6}, "kept up to the answer's last token"
    assert differences
    assert max(differences) < 1e-5, "a policy that stands still gives the same fingerprint again"


def test_half_counted_errors_reach_every_table(model_path, dataset, make_config, fields):
    args = make_config(**fields, meds_half_life=1.0, log_completions=True, num_completions_to_print=0)
    trainer = train(model_path, dataset, args)
    rollouts = trainer._run.rollouts()
    assert (rollouts["cluster_size"] % 1 != 0).any()
    expected = np.minimum(0.1 * np.log(rollouts["cluster_size"] + 1), 0.2)
    scored = rollouts["cluster"] != -4
    np.testing.assert_allclose(rollouts["penalty"][scored], expected[scored])
    files = sorted(trainer._run.path.glob("completions/*.parquet"))
    table = pd.concat([pd.read_parquet(path) for path in files])
    assert table["cluster_size"].tolist() == rollouts["cluster_size"].tolist()


def test_images_are_refused(model_path, dataset, make_config, fields):
    pictures = dataset.add_column("image", [None] * len(dataset))
    with pytest.raises(ValueError, match=r"cannot be used with images.*Set it to 0"):
        MEDSTrainer(model_path, even_length, make_config(**fields), pictures)
