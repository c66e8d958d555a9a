"""The starting policies: texts, a warm-up of a few steps, and what training with a reward may change."""

import torch

from meds_lab.skills.models import Texts, build_tokenizer


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
    words = [[tokenizer.decode(token) for token, one in zip(*row, strict=True) if one] for row in zip(ids, after)]
    assert words[2] == [
        "\n",
        "6",
        " * ",
        "6",
        " = ",
        "36",
        "\n",
        "36",
        " - ",
        "8",
        " = ",
        "28",
        "\n",
        "\\boxed{",
        "28",
        "}",
        "<eos>",
    ]
    assert torch.equal(after[:, :7], torch.zeros(3, 7))
