"""distinct-n, self-BLEU and the Vendi score of texts: by hand, against independent code, hostile texts."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sacrebleu.metrics.bleu import BLEU
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.metrics.pairwise import cosine_similarity

from meds_rl.evaluation.diversity import distinct_n, self_bleu, vendi_score_of_kernel, vendi_score_of_texts
from meds_rl.evaluation.diversity.texts import words

SENTENCES = st.lists(st.lists(st.sampled_from("abcd"), max_size=8).map(" ".join), max_size=6)


def test_distinct_n_by_hand():
    texts = ["1 + 2 = 3", "1 + 2 = 4"]
    # Words: 1 + 2 = 3 4, 6 of 10. Pairs: 1+, +2, 2=, =3 and =4, 5 of 8.
    assert distinct_n(texts, 1) == pytest.approx(0.6)
    assert distinct_n(texts, 2) == pytest.approx(5 / 8)
    assert math.isnan(distinct_n(texts, 6))
    assert math.isnan(distinct_n([], 1))
    with pytest.raises(ValueError, match="n must be 1 or more, got 0"):
        distinct_n(texts, 0)


@given(SENTENCES, st.integers(1, 4))
def test_distinct_n_as_a_count_vectoriser_counts(texts, n):
    grams = [gram for text in texts for gram in zip(*(text.split()[i:] for i in range(n)), strict=False)]
    if not grams:
        assert math.isnan(distinct_n(texts, n))
        return
    counter = CountVectorizer(ngram_range=(n, n), token_pattern=r"\S+")
    counts = counter.fit_transform(texts)
    assert distinct_n(texts, n) == pytest.approx(counts.shape[1] / counts.sum())


def test_self_bleu_by_hand():
    # "a b c d e" against "a b c d f": precisions 4/5, 3/4, 2/3, 1/2, no brevity penalty: (1/5)^(1/4). Both ways alike.
    assert self_bleu(["a b c d e", "a b c d f"]) == pytest.approx(0.2**0.25)
    assert self_bleu(["one two three four"] * 3) == pytest.approx(1)
    assert math.isnan(self_bleu([]))
    assert math.isnan(self_bleu(["a"]))


def test_self_bleu_of_more_texts_than_it_reads():
    texts = [f"{i} is {i * i} and so on" for i in range(30)]
    with pytest.raises(ValueError, match="of 30 completions 16 are to be drawn: pass rng"):
        self_bleu(texts)
    first = self_bleu(texts, rng=np.random.default_rng(1))
    assert first == self_bleu(texts, rng=np.random.default_rng(1))
    assert first != self_bleu(texts, rng=np.random.default_rng(2))
    assert self_bleu(["a b c d x", "a b c d y"], max_words=4) == pytest.approx(1)
    for bounds in ({"max_completions": 1}, {"max_words": 0}):
        with pytest.raises(ValueError, match="must be"):
            self_bleu(texts, **bounds)


@given(SENTENCES)
def test_self_bleu_is_a_share(texts):
    found = self_bleu(texts)
    with_words = [text for text in texts if text]
    if len(with_words) < 2:
        assert math.isnan(found)
        return
    # sacrebleu, asked directly.
    bleu = BLEU(effective_order=True)
    pairs = [(text, with_words[:i] + with_words[i + 1 :]) for i, text in enumerate(with_words)]
    expected = sum(bleu.sentence_score(text, others).score for text, others in pairs) / len(pairs) / 100
    assert found == pytest.approx(min(1, expected))


@pytest.mark.parametrize("texts", [["", ""], [" \n", "\t"] * 3, ["a b c", ""]])
def test_self_bleu_of_no_words_says_nothing(texts):
    assert math.isnan(self_bleu(texts))


def test_self_bleu_reads_no_more_than_its_bound(monkeypatch):
    read = []
    real = BLEU.sentence_score

    def spy(self, hypothesis, references):
        read.extend([hypothesis, *references])
        return real(self, hypothesis, references)

    monkeypatch.setattr(BLEU, "sentence_score", spy)
    self_bleu(["w" * 300_000, "((" * 150_000, "a b " * 100_000], max_words=50)
    assert max(map(len, read)) <= 1050
    assert max(len(text.split()) for text in read) == 50


def test_self_bleu_of_a_script_without_spaces():
    texts = ["我们先算乘法再算加法", "我们先算乘法再算减法"]
    # Of the ten characters nine are shared, eight of nine pairs, seven of eight and six of seven.
    assert self_bleu(texts) < 0.01
    assert self_bleu(texts, tokenize="char") == pytest.approx((9 / 10 * 8 / 9 * 7 / 8 * 6 / 7) ** 0.25, abs=0.1)
    with pytest.raises(ValueError, match="tokenize must be"):
        self_bleu(texts, tokenize="words")


def test_vendi_of_texts_by_hand():
    # Equal texts count once; texts that share nothing count each: shares 2/3 and 1/3, exp(ln 3 - 2/3 ln 2).
    assert vendi_score_of_texts(["a b c d", "a b c d", "e f g h"]) == pytest.approx(3 / 2 ** (2 / 3))
    # "a b" and "a c": cosines 1/2 (words), 0 (pairs), 0 and 0 (too short: one n-gram each); K = 1/8:
    # eigenvalues (1 +- 1/8) / 2 = 9/16 and 7/16.
    expected = math.exp(-(9 / 16 * math.log(9 / 16) + 7 / 16 * math.log(7 / 16)))
    assert vendi_score_of_texts(["a b", "a c"]) == pytest.approx(expected)


def test_vendi_of_short_and_empty_texts():
    assert math.isnan(vendi_score_of_texts([]))
    assert vendi_score_of_texts([""]) == pytest.approx(1)
    assert vendi_score_of_texts(["7", "7"]) == pytest.approx(1)
    assert vendi_score_of_texts(["", "  "]) == pytest.approx(1)
    assert vendi_score_of_texts(["", "7"]) == pytest.approx(2)
    with pytest.raises(ValueError, match="max_n"):
        vendi_score_of_texts(["a"], max_n=0)


@given(st.lists(st.lists(st.sampled_from("abc"), min_size=3, max_size=8).map(" ".join), min_size=1, max_size=6))
def test_vendi_of_texts_as_scikit_learns_kernel(texts):
    kernels = [
        cosine_similarity(CountVectorizer(ngram_range=(n, n), token_pattern=r"\S+").fit_transform(texts))
        for n in (1, 2, 3)
    ]
    expected = vendi_score_of_kernel(np.mean(kernels, axis=0))
    assert vendi_score_of_texts(texts, max_n=3) == pytest.approx(expected)
    assert 1 - 1e-9 <= expected <= len(texts) + 1e-9


@pytest.mark.parametrize("text", ["\x00\x1b[2J", "\u202e\u2066 abc", "a" * 1_000_000, " ".join(["ab"] * 50_000)])
def test_hostile_texts(text):
    texts = [text, "a b c d"]
    assert len(words(text)) <= 50_000
    assert 0 < distinct_n(texts, 2) <= 1
    assert 0 <= self_bleu(texts) <= 1
    assert 1 <= vendi_score_of_texts(texts) <= 2
