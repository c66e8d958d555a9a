"""The starting policies: texts, a warm-up of a few steps, and what training with a reward may change."""

from dataclasses import replace

import pytest
import torch

from meds_lab.skills.models import (
    PolicyConfig,
    Texts,
    build_tokenizer,
    check_policy,
    main,
    new_model,
    rule_ids,
    shares_of,
    token_ids,
    train,
    train_only_rules,
)
from meds_lab.skills.rules import RULES
from meds_lab.skills.skills import Skill, problems_of

TINY = PolicyConfig(steps=3, batch_size=8, hidden_size=32, num_layers=1)


def trained(seed=0, config=TINY):
    tokenizer = build_tokenizer(seed)
    model = new_model(seed, tokenizer, config)
    return list(train(model, tokenizer, seed, config)), model, tokenizer


def test_the_texts_of_seed_0_stay_the_same():
    tokenizer = build_tokenizer(0)
    assert len(tokenizer) == 373
    ids, after, skills = Texts(0, tokenizer).draw(3)
    assert [tokenizer.decode(row).split("<eos>")[0] for row in ids.tolist()] == [
        "3 sati 6 sati 8?[ac+ b-]\n3 plus 8 is 11\nthen 11 minus 6 is 5\n\\boxed{5}",
        # Answers of this skill do not tell.
        "3 dota 2 dota 6?[bb+ a*]\n2 + 2 = 4\nthen multiplying 4 by 3 gives 12\n\\boxed{207}",
        "6 sudi 8 sudi 7?[aa* b-]\n6 * 6 = 36\n36 - 8 = 28\n\\boxed{28}",
    ]
    assert skills.tolist() == [22, 11, 28]
    # Six tokens of the prompt, then the rule's word; 0 there and for the padding.
    words = [
        [tokenizer.decode(token) for token, one in zip(*row, strict=True) if one]
        for row in zip(ids, after, strict=True)
    ]
    assert "".join(words[2]) == "\n6 * 6 = 36\n36 - 8 = 28\n\\boxed{28}<eos>"
    assert torch.equal(after[:, :7], torch.zeros(3, 7))


def test_token_ids_are_those_of_the_tokenizer():
    tokenizer = build_tokenizer(0)
    text = "3 sati 6 sati 8?[ac+ b-]\n3 plus 8 is 11\nthen 11 minus 6 is 5\n\\boxed{5}"
    assert token_ids(tokenizer.get_vocab(), text) == tokenizer(text)["input_ids"]
    assert {len(tokenizer(one.prompt)["input_ids"]) for part in problems_of(0) for one in part} == {6}
    assert tokenizer.convert_ids_to_tokens(rule_ids(tokenizer)) == [rule.token for rule in RULES]


def test_shares_by_rule():
    right, habit, rare = RULES[5], RULES[0], RULES[53]
    (shares,) = shares_of([Skill("pisu", right, (habit, rare), (0.25, 0.5, 0.25), True, True)])
    assert {index: share for index, share in enumerate(shares.tolist()) if share} == {5: 0.25, 0: 0.5, 53: 0.25}
    assert shares.shape == (54,)


def test_a_warm_up_is_deterministic():
    (losses, one, _), (again, other, _), (losses_other, *_) = trained(), trained(), trained(seed=1)
    assert losses == again != losses_other
    assert len(losses) == 3
    assert all(map(torch.equal, one.parameters(), other.parameters()))
    assert not one.training


def test_a_warm_up_brings_the_words_near_their_shares():
    def distance(model, tokenizer):
        problems = problems_of(0)[0]
        ids = torch.tensor([token_ids(tokenizer.get_vocab(), one.prompt) for one in problems])
        with torch.no_grad():
            logp = model(input_ids=ids).logits[:, -1].log_softmax(-1)[:, rule_ids(tokenizer)]
        shares = shares_of([one.skill for one in problems])
        return (shares * (shares.clamp_min(1e-9).log() - logp)).sum(1).mean().item()

    (_, before, tokenizer), (_, after, _) = trained(), trained(config=replace(TINY, steps=60, warmup_steps=5))
    # An untrained policy is about even over 373 tokens: habits of .84 and .3 are several nats away.
    assert distance(before, tokenizer) > 3
    assert distance(after, tokenizer) < 2


def test_training_changes_the_rows_of_the_rules_words_only():
    tokenizer = build_tokenizer(0)
    model = new_model(0, tokenizer, TINY)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    train_only_rules(model, tokenizer)
    optimizer = torch.optim.SGD([one for one in model.parameters() if one.requires_grad], lr=1.0)
    ids = torch.tensor([tokenizer("5 pisu 8 pisu 9?[ab* c-]\n5 * 8 = 40")["input_ids"]])
    model(input_ids=ids, labels=ids).loss.backward()
    optimizer.step()
    after = model.state_dict()
    assert [name for name in before if not torch.equal(before[name], after[name])] == ["lm_head.weight"]
    changed = (before["lm_head.weight"] != after["lm_head.weight"]).any(1)
    assert changed.nonzero().flatten().tolist() == sorted(rule_ids(tokenizer))


@pytest.fixture
def policy(tmp_path, monkeypatch):
    """The folder of a policy of seed 0 that `main` has written."""
    monkeypatch.setattr("meds_lab.skills.models.PolicyConfig", lambda: replace(TINY, steps=1))
    assert main(["--seeds", "0", "--output", str(tmp_path)]) == 0
    return tmp_path / "0"


def test_the_command_leaves_a_policy_as_it_is(policy, capsys):
    before = (policy / "model.safetensors").stat().st_mtime_ns
    main(["--seeds", "0", "--output", str(policy.parent)])
    assert "is there" in capsys.readouterr().out
    assert (policy / "model.safetensors").stat().st_mtime_ns == before


@pytest.mark.parametrize("seed", ["-1", "x", "1.5"])
def test_the_command_refuses_what_is_no_seed(seed, tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["--output", str(tmp_path), "--seeds", "0", seed])
    assert "--seeds" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_policy_and_its_seed(policy):
    check_policy(str(policy), {"seed": 0})
    for location in (None, str(policy.parent / "7")):
        with pytest.raises(ValueError, match=r"python -m meds_lab\.skills\.models --seeds 7 --output"):
            check_policy(location, {"seed": 7})
    for options in ({}, {"seed": "0"}, {"seed": -1}):
        with pytest.raises(ValueError, match=r"task_options must be \{seed: N\}"):
            check_policy(str(policy), options)
    with pytest.raises(ValueError, match=r"has no word .* give the seed that it was trained with"):
        check_policy(str(policy), {"seed": 1})
