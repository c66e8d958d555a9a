"""The answer's place in token ids, whatever the tokenizer does, and its text."""

from __future__ import annotations

import itertools
import pickle
import subprocess
import sys

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from meds_rl.fingerprint import AnswerPosition, answer_finder, answer_text, extract_answer
from meds_rl.tasks.pocket.model import load_pocket_tokenizer

EOS = "</s>"
boxed = answer_finder()


def pieces_tokenizer(pieces, **special):
    """A tokenizer whose tokens are exactly `pieces`, joined without spaces: token i is pieces[i]."""
    tokenizer = Tokenizer(models.WordLevel({piece: i for i, piece in enumerate(pieces)}, unk_token=pieces[0]))
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special)


def find(pieces, finder=boxed):
    """The pieces (before the answer, at p and at t), or None."""
    found = place(pieces, finder)
    return found and ("".join(pieces[: found.position]), *pieces[found.position : found.position + 2])


def place(pieces, finder=boxed):
    """Where the answer is, by a tokenizer of these pieces."""
    names = list(dict.fromkeys([*pieces, EOS, "<pad>"]))
    tokenizer = pieces_tokenizer(names, eos_token=EOS, pad_token="<pad>")
    ids = [names.index(piece) for piece in pieces]
    found = finder(ids, tokenizer)
    assert found is None or found.position < found.end < len(ids)
    assert found is None or ids[found.position + 1] == found.target_id
    return found


@pytest.mark.parametrize(("pieces", "expected"), [
    # (text before p, token p, token t)
    (["so ", "\\", "boxed", "{", "4", "2", "}"], ("so \\boxed", "{", "4")),
    (["so ", "\\boxed{", "4", "2", "}", EOS], ("so ", "\\boxed{", "4")),
    (["so \\", "boxed{", "42", "}"], ("so \\", "boxed{", "42")),
    (["so ", "\\boxed", "{4", "2", "}"], ("so \\boxed", "{4", "2")),  # the next token, even so
    (["so ", "\\boxed", "{4", "}", EOS], ("so \\boxed", "{4", "}")),  # the next token, even so
    (["so ", "\\boxed", "{4}", EOS], ("so ", "\\boxed", "{4}")),  # no next token in the box: the token itself
    (["so ", "\\boxed", "{4}", "."], ("so ", "\\boxed", "{4}")),
    (["so ", "\\boxed", "{4"], ("so ", "\\boxed", "{4")),  # cut off, but begun
    (["\\boxed", "{\\", "frac", "{1}{2}", "}"], ("\\boxed", "{\\", "frac")),
    (["\\boxed{\\frac", "{", "1", "}", "{2}}"], ("", "\\boxed{\\frac", "{")),
    (["\\boxed{", "1", "}, no: ", "\\", "boxed", "{", "2", "}"], ("\\boxed{1}, no: \\boxed", "{", "2")),
    (["\\boxed{1}, no \\boxed{", "2", "}"], ("", "\\boxed{1}, no \\boxed{", "2")),
    (["\\boxed{", " ", "\n", "7", "}"], ("\\boxed{ ", "\n", "7")),  # p is the token before t
    (["\\boxed{ ", " 7", "}"], ("", "\\boxed{ ", " 7")),
    (["\\boxed{", "\\boxed{", "3", "}", "}"], ("\\boxed{", "\\boxed{", "3")),
    (["\\boxed{", "1"], ("", "\\boxed{", "1")),  # cut off after the first token
    (["a", "\\boxed{"], None),  # cut off at the marker
    (["a", "\\boxed{", " "], None),
    (["\\boxed{", EOS], None),
    (["\\boxed{", " ", "<pad>"], None),
    (["\\boxed{", "}"], None),  # empty
    (["\\boxed", "{}", "."], None),
    (["\\boxed{", " ", "}", " 7"], None),
    (["\\boxed{", "1", "} ", "\\boxed{", "}"], None),  # the last one counts
    (["\\boxed", " {", "1", "}"], None),  # not the marker
    (["boxed{", "1", "}"], None),
    (["so 42", EOS], None),
    ([], None),
])  # fmt: skip
def test_boxed(pieces, expected):
    assert find(pieces) == expected


@pytest.mark.parametrize(("marker", "pieces", "expected"), [
    ("answer_tag", ["so <", "answer", ">", "42", "</answer>"], ("so <answer", ">", "42")),
    ("answer_tag", ["<answer>\n", "4", "2", "\n</answer>"], ("", "<answer>\n", "4")),
    ("answer_tag", ["<answer>", "</answer>"], None),
    ("answer_tag", ["<answer>3", "</answer>", "<answer>", "\n", "5"], ("<answer>3</answer><answer>", "\n", "5")),
    ("answer_tag", ["</answer>", "3"], None),
    ("hashes", ["so\n", "####", " ", "42"], ("so\n####", " ", "42")),
    ("hashes", ["so\n", "##", "##", " 42"], ("so\n##", "##", " 42")),
    ("hashes", ["#### 1\n", "####", "#", "#", "#", " 2"], ("#### 1\n#######"[:-1], "#", " 2")),
    ("hashes", ["####", "\n"], None),
    ("Answer:", ["Answer: 1\n", "Answer", ":", " ", "42", "."], ("Answer: 1\nAnswer:", " ", "42")),
    ("Answer:", ["**Answer:", "** ", "42", EOS], ("**Answer:", "** ", "42")),
    ("answer is", ["The answer is", ":", "\n", "7"], ("The answer is:", "\n", "7")),
    ("Answer:", ["Answer:", " ", EOS], None),
])  # fmt: skip
def test_other_markers(marker, pieces, expected):
    assert find(pieces, answer_finder(marker)) == expected


@pytest.mark.parametrize(("marker", "pieces", "end"), [
    # The answer's last piece is number `end`, counted from 0.
    ("boxed", ["so ", "\\", "boxed", "{", "4", "2", "}"], 5),
    ("boxed", ["\\boxed{", "5", "1", "}", ".", EOS], 2),
    ("boxed", ["\\boxed{", "42", "}"], 1),
    ("boxed", ["\\boxed{", "5", "1}", EOS], 2),  # shares its token with the closing brace
    ("boxed", ["\\boxed{", "5", "1}.", "\n"], 2),
    ("boxed", ["\\boxed{", "5", "1", " ", "\n", "}"], 2),  # white space is no part of it
    ("boxed", ["\\boxed{", "\n", "5", " 1", " }"], 3),
    ("boxed", ["\\boxed", "{4}", "."], 1),
    ("boxed", ["\\boxed", "{4", "}", EOS], 2),  # ends at p, but an end comes after p
    ("boxed", ["\\boxed{", "\\frac", "{", "1", "}{", "2", "}", "}", "."], 6),  # nested braces
    ("boxed", ["\\boxed{\\frac", "{", "1", "}", "{2}}", "}"], 4),
    ("boxed", ["\\boxed{", "\\{", "1", "\\", "}", "}", "}"], 4),  # a printed brace closes nothing
    ("boxed", ["\\boxed{", "1", "} or ", "\\boxed{", "2", "3", "}"], 5),
    ("boxed", ["\\boxed{", "\\boxed{", "3", "}", "}"], 2),
    ("boxed", ["\\boxed{", "1", "2"], 2),  # cut off: the last token written
    ("boxed", ["\\boxed{", "1", "2", EOS, "<pad>", "<pad>"], 2),
    ("boxed", ["\\boxed{", "1", " ", EOS], 2),
    ("boxed", ["\\boxed{", "1", "2", EOS, "}"], 2),  # closed too late
    ("boxed", ["\\boxed{", "\\frac", "{", "1", "}"], 4),
    ("boxed", ["\\boxed", "{4"], 1),
    ("answer_tag", ["so <answer>", "4", "2", "</answer>"], 2),
    ("answer_tag", ["<answer>", "4", "2", "</", "answer", ">"], 2),  # the tag begins like more of the answer
    ("answer_tag", ["<answer>\n", "4", "2", "\n</answer>"], 2),
    ("answer_tag", ["<answer>", "4", "2</answer>", EOS], 2),
    ("answer_tag", ["<answer>", "4", "</", "ans"], 3),  # cut off
    ("hashes", ["so\n", "####", " ", "4", "2"], 4),
    ("hashes", ["####", " 4", "2", EOS], 2),
    ("hashes", ["####", " 4", "2", " ", "\n", "Thanks"], 2),
    ("hashes", ["#### 1\n", "####", "#", " 2", "3\n", "yes"], 4),
    ("Answer:", ["Answer:", " 3", ".", "5", ".", " So"], 3),
    ("Answer:", ["Answer:", " 3", ".", "5", ".", EOS], 3),
])  # fmt: skip
def test_where_answers_end(marker, pieces, end):
    assert place(pieces, answer_finder(marker)).end == end


@st.composite
def cut_texts(draw):
    """A text with a box and the pieces that it is cut into, at random."""
    words = st.sampled_from(["so ", "\\", "boxed", "{", "}", " ", "é", "\\boxed{1}", "7", "\n", "#"])
    before = "".join(draw(st.lists(words, max_size=8)))
    answer = draw(st.text(st.sampled_from(" \n12é\\,"), max_size=5).filter(lambda text: not text.endswith("\\")))
    after = draw(st.sampled_from(["}", "}.", "} $ and so on", ""]))
    text = before + "\\boxed{" + answer + after
    cuts = draw(st.sets(st.integers(1, len(text)), max_size=len(text)))
    edges = sorted({0, len(text)} | cuts)
    return before, answer, after, [text[a:b] for a, b in itertools.pairwise(edges)]


@settings(max_examples=300)
@given(cut_texts())
@example(("", "\\}", "}", ["\\boxed{", "\\}", "}"]))
def test_any_cutting_of_any_text(case):
    before, answer, after, pieces = case
    brace = len(before) + len("\\boxed{") - 1  # where the last marker ends, counted in characters
    ends = [len("".join(pieces[: i + 1])) for i in range(len(pieces))]
    holder = next(i for i, end in enumerate(ends) if end > brace)
    held = "".join(pieces[: holder + 1])[brace + 1 :]
    visible = [i for i in range(holder + 1, len(pieces)) if pieces[i].strip()]
    if not answer.strip():
        target = None
    elif (held.startswith(answer) and len(held) > len(answer)) or not visible:
        target = holder  # closed within the token, or nothing comes after it
    else:
        target = visible[0]
    expected = ("".join(pieces[: target - 1]), pieces[target - 1], pieces[target]) if target else None
    assert find(pieces) == expected
    if target:
        last = brace + len(answer.rstrip())  # the answer's last character
        end = next(i for i, end in enumerate(ends) if end > last) if after else len(pieces) - 1
        assert place(pieces).end == max(end, target)


TRAINING_TEXT = [
    "We multiply 6 by 7, so the answer is \\boxed{42}.",
    "Thus $x = \\boxed{\\frac{1}{2}}$ and \\boxed{-3} follows; \\boxed{ 4 }.",
    "naïve café 你好 \\boxed{4} \\boxed{x^2}",
] * 3


def byte_level():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=320, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(TRAINING_TEXT, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


def unsplit_byte_level():
    """As above, but merges cross words: `\\boxed{4` may be one token."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=340, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(TRAINING_TEXT, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


def metaspace():
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=120, initial_alphabet=list("\\{}0123456789 abcdefxé你好"), unk_token="<unk>",
        special_tokens=["<unk>"], show_progress=False,
    )  # fmt: skip
    tokenizer.train_from_iterator(TRAINING_TEXT, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


def byte_fallback(words=("\\", "boxed", "▁", "▁so", "4", "2", "}")):
    """Like Llama's: words, and for all else one token a byte; no word for `{`."""
    vocabulary = {"<unk>": 0} | {f"<0x{byte:02X}>": byte + 1 for byte in range(256)}
    vocabulary |= {word: 257 + i for i, word in enumerate(words)}
    tokenizer = Tokenizer(models.BPE(vocabulary, [], unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


@pytest.fixture(scope="module", params=[byte_level, unsplit_byte_level, metaspace])
def trained(request):
    return request.param()


@settings(max_examples=150)
@example(before="", answer="4", after="")
@given(
    before=st.text(st.characters(codec="utf-8", exclude_characters="\\"), max_size=90),
    answer=st.from_regex(r"\A[ ]?-?[0-9x你é]{1,4}\Z"),
    after=st.sampled_from(["}", "}.", "}$ 你好", ""]),
)
def test_trained_tokenizers(trained, before, answer, after):
    text = before + " \\boxed{" + answer + after
    encoded = trained(text, return_offsets_mapping=True, add_special_tokens=False)
    ids, offsets = encoded["input_ids"], encoded["offset_mapping"]
    found = boxed(ids, trained)
    if "<unk>" in trained.convert_ids_to_tokens(ids[-len(answer + after) - 2 :]):
        return  # the text is lost
    brace = len(before) + len(" \\boxed{") - 1
    holder = next(i for i, (start, end) in enumerate(offsets) if start <= brace < end)
    if holder == 0 and (len(ids) == 1 or offsets[0][1] > brace + len(answer) + 1):
        assert found is None  # the first token also closes the box, or is all: none stands before it
        return
    assert found is not None
    assert ids[found.position + 1] == found.target_id
    between = trained.decode(ids[holder + 1 : found.position + 1])
    itself = found.position + 1 == holder  # a token that holds all of the answer
    assert itself or (found.position >= holder and not between.strip())
    assert not itself or (offsets[holder][1] > brace + len(answer))
    last = brace + len(answer)  # a character of several tokens is there with the last of them
    end = max(i for i, (start, end) in enumerate(offsets) if start <= last < end) if after else len(ids) - 1
    assert found.end == max(end, found.position + 1)


def test_the_pocket_tokenizer():
    tokenizer = load_pocket_tokenizer()
    ids = tokenizer("7 + 5 is 12.\n\\boxed{12}").input_ids
    assert tokenizer.convert_ids_to_tokens(ids)[-4:] == ["\\boxed{", "1", "2", "}"]
    n = len(ids)
    assert boxed(ids, tokenizer) == AnswerPosition(n - 4, ids[-3], n - 2)
    assert boxed([*ids, tokenizer.eos_token_id], tokenizer) == AnswerPosition(n - 4, ids[-3], n - 2)
    assert boxed([*ids[:-2], tokenizer.eos_token_id], tokenizer) == AnswerPosition(n - 4, ids[-3], n - 3)
    minus = tokenizer("\\boxed{-3}").input_ids
    assert boxed(minus, tokenizer) == AnswerPosition(0, minus[1], 2)


def test_a_brace_in_bytes_that_unfinished_characters_hide():
    tokenizer = byte_fallback()
    bytes_ = [byte + 1 for byte in "{你好}".encode()]
    ids = [tokenizer.convert_tokens_to_ids(t) for t in ("▁so", "\\", "boxed")] + bytes_
    texts = [tokenizer.decode(ids[:n]) for n in range(4, 9)]
    assert [texts[0], texts[3]] == ["so\\boxed{", "so\\boxed{你"]
    assert "{" not in texts[1]  # the decoder gives up on all bytes of the run
    assert boxed(ids, tokenizer) == AnswerPosition(3, 0xE4 + 1, 9)  # 4 bytes to the `{`, 6 of the answer
    ids = [*ids[:4], tokenizer.convert_tokens_to_ids("4")]
    assert boxed(ids, tokenizer) == AnswerPosition(3, ids[4], 4)


def test_long_completions():
    pieces = ["word ", "\\boxed{", "1", "} ", EOS]
    tokenizer = pieces_tokenizer(pieces, eos_token=EOS)
    for tail in (0, 10, 63, 64, 200, 511, 512, 1000, 2500):
        ids = [0] * 900 + [1, 2, 3] + [0] * 700 + [1, 2, 3] + [0] * tail
        assert boxed(ids, tokenizer) == AnswerPosition(1603, 2)
    assert boxed([0] * 3000, tokenizer) is None
    assert boxed([0, 1] + [2] * 9 + [0] * 2500, tokenizer) == AnswerPosition(1, 2, 2510)  # never closed
    # A long answer: its end is in the window, its beginning is not.
    assert boxed([0, 1] + [2] * 600 + [3], tokenizer) == AnswerPosition(1, 2, 601)


def test_special_tokens_that_the_tokenizer_does_not_name():
    backend = Tokenizer(models.WordLevel({"\\boxed{": 0, "1": 1, "}": 2}, unk_token="1"))
    backend.decoder = decoders.Fuse()
    backend.add_special_tokens([AddedToken("<|im_end|>", special=True)])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend)
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert boxed([0, end], tokenizer) is None
    assert boxed([0, 1, 2, end], tokenizer) == AnswerPosition(0, 1)


def test_an_own_function():
    tokenizer = pieces_tokenizer(["a", "=", "4"])
    after_equals = answer_finder(
        lambda ids, _: AnswerPosition(ids.index(1), ids[ids.index(1) + 1]) if 1 in ids else None
    )
    assert after_equals([0, 1, 2], tokenizer) == AnswerPosition(1, 2)
    assert after_equals([0, 2], tokenizer) is None
    assert answer_finder(lambda *_: (0, 1))([0, 1, 2], tokenizer) == AnswerPosition(0, 1, 1)  # a plain pair
    assert answer_finder(lambda *_: AnswerPosition(0, 1, 2))([0, 1, 2], tokenizer).end == 2
    for end in (0, 3):
        with pytest.raises(ValueError, match=f"position 0 and end {end} of 3 tokens; allowed ends are 1 to 2"):
            answer_finder(lambda *_, end=end: AnswerPosition(0, 1, end))([0, 1, 2], tokenizer)
    with pytest.raises(ValueError, match="position 2 of 3 tokens; allowed is 0 to 1"):
        answer_finder(lambda *_: AnswerPosition(2, 0))([0, 1, 2], tokenizer)
    with pytest.raises(ValueError, match="target 7, but the token after position 0 is 1"):
        answer_finder(lambda *_: AnswerPosition(0, 7))([0, 1, 2], tokenizer)


def last_word(text):
    """A text function: the last word is the answer."""
    words = text.split()
    return words[-1] if words else None


@settings(max_examples=150)
@example(before="", answer="4")
@given(
    before=st.text(st.characters(codec="utf-8"), max_size=40),
    answer=st.from_regex(r"\A-?[0-9x你é]{1,4}\Z"),
)
def test_the_span_of_a_text_function_contains_its_answer(trained, before, answer):
    ids = trained(f"so {before} = {answer}", add_special_tokens=False)["input_ids"]
    shown = trained.decode(ids)
    if last_word(shown) != answer or len(ids) < 2:
        return  # the text is lost
    found = answer_finder(last_word)(ids, trained)
    assert answer in trained.decode(ids[found.position + 1 : found.end + 1])
    assert answer_text(last_word, shown, ids, trained) == answer


@given(number=st.integers(-9999, 9999), after=st.sampled_from(["", ".", ".\n"]))
def test_a_text_function_and_the_pocket_tokenizer(number, after):
    tokenizer = load_pocket_tokenizer()

    def after_is(text):
        return text.rpartition("is ")[2].removesuffix(after) or None

    ids = [*tokenizer(f"7 + 5 is {number}{after}").input_ids, tokenizer.eos_token_id]
    found = answer_finder(after_is)(ids, tokenizer)
    assert tokenizer.decode(ids[found.position + 1 : found.end + 1]).strip() == str(number)
    assert ids[found.position + 1] == found.target_id


def test_a_text_function_is_not_led_into_special_tokens():
    pieces = ["so ", "m", "}", "<|im_end|>"]
    tokenizer = pieces_tokenizer(pieces, eos_token="<|im_end|>")
    assert answer_finder(lambda _: "m")([0, 1, 2, 3], tokenizer) == AnswerPosition(0, 1, 1)
    assert answer_finder(lambda _: "42")([0, 1, 2, 3], tokenizer) == AnswerPosition(1, 2, 2)  # nowhere: the last one
    assert answer_finder(lambda _: None)([0, 1, 2, 3], tokenizer) is None


def test_a_character_of_several_tokens_belongs_to_the_answer_as_a_whole():
    tokenizer = byte_fallback()
    ids = [tokenizer.convert_tokens_to_ids("▁so"), *(byte + 1 for byte in "你".encode()), 0]
    assert answer_finder(lambda _: "你")(ids, tokenizer) == AnswerPosition(0, ids[1], 3)


def test_an_end_left_out_is_the_first_token():
    place = AnswerPosition(3, 7)
    assert place == AnswerPosition(position=3, target_id=7, end=4) != AnswerPosition(3, 7, 5)
    assert pickle.loads(pickle.dumps(place)) == place
    assert type(place._replace(end=6)) is AnswerPosition


def test_functions_are_called_by_what_they_take():
    tokenizer = pieces_tokenizer(["a", "=", "4"])
    for of_text in (lambda _text: "4", lambda _text="": "4", lambda _text, _more=None: "4"):
        assert answer_finder(of_text)([0, 1, 2], tokenizer) == AnswerPosition(1, 2)
    for of_ids in (lambda _ids, _tokenizer: (0, 1), lambda *_both: (0, 1), lambda _ids, _tokenizer, _more=0: (0, 1)):
        assert answer_finder(of_ids)([0, 1, 2], tokenizer) == AnswerPosition(0, 1)
    for neither in (lambda: "4", lambda _ids, _tokenizer, _more: (0, 1)):
        with pytest.raises(TypeError, match="called with a text, or with token ids and a tokenizer; got <function"):
            answer_finder(neither)


# ---- Programs.


@pytest.mark.parametrize(
    ("text", "program"),
    [
        (
            "So:\n```python\nx = 1\n```\nor\n```py\nx = 2\n\n```\nIt prints\n```\n2\n```",
            "x = 2",
        ),  # the last one in Python
        # a block that only calls what the block before it defines
        ("```python\ndef f(x):\n    return x\n```\nUse it:\n```python\nf(1)\n```", "def f(x):\n    return x"),
        ("```\nx = 1\n```", "x = 1"),
        ("```\nx = 1\n```\nRun it:\n```bash\npython x.py\n```", "x = 1"),
        ("```bash\npython x.py\n```", None),
        ("1. so\n   ```Python3\n   if x:\n     y = 1\n   ```", "if x:\n  y = 1"),
        ("```python\nx = 1\ny", "x = 1\ny"),  # cut off
        ("```python\n\n```", None),
        ("\n\n    return x\n", "    return x"),  # the rest of a function
        ("    return x\n\nprint(f(1))\n", "    return x\n\nprint(f(1))"),
        ("def f(): return 1", "def f(): return 1"),
        ("print(1)", "print(1)"),
        ("x", None),  # a word, and a number
        ("42", None),
        ("The answer is 42.", None),
        ("if 1:\n x", None),  # no Python
        ("x = 1\n" * 4_000, None),  # too long to be parsed
        ("", None),
    ],
)
def test_the_program_of_a_completion(text, program):
    assert extract_answer(text, "code") == program


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        # (text before p, p = the program's last token, t)
        (["```python\n", "x", " = 1", "\n", "```", EOS], ("```python\nx", " = 1", "\n")),
        (["```\n", "x = 1\n", "```\n", "So ", "x = 1", "."], ("```\nx = 1\n```\nSo ", "x = 1", ".")),  # the last place
        (["```python\nx", " = 1\n```"], ("", "```python\nx", " = 1\n```")),  # the last token has to come after p
        (["x", " = ", "1"], ("x", " = ", "1")),
        (["x", " = ", "1", EOS], ("x = ", "1", EOS)),
        (["no ", "program", EOS], None),
        (["x=1"], None),  # no token comes after it
    ],
)
def test_the_place_of_a_program_is_its_end(pieces, expected):
    assert find(pieces, answer_finder("code")) == expected


def test_what_reads_the_working_reads_a_whole_program():
    pieces = ["Here:\n", "```python\n", "x", " = ", "1", "\n```", EOS]
    found = place(pieces, answer_finder("code"))
    assert "".join(pieces[: found.position + 1]) == "Here:\n```python\nx = 1"
    assert found.end == found.position + 1


def test_unknown_markers():
    with pytest.raises(ValueError, match=r"one of \['answer_tag', 'boxed', 'code', 'hashes'\].*got 'box'"):
        answer_finder("box")
    with pytest.raises(TypeError, match="or a function, got 3"):
        answer_finder(3)
    with pytest.raises(ValueError, match="got 'box'"):
        extract_answer("", marker="box")


@pytest.mark.parametrize(("marker", "text", "answer"), [
    ("boxed", "\\boxed{42}", "42"),
    ("boxed", "\\boxed{1} or \\boxed{ \\frac{1}{2} }.", "\\frac{1}{2}"),
    ("boxed", "\\boxed{\\left\\{1\\right.}", "\\left\\{1\\right."),  # a printed brace closes nothing
    ("boxed", "\\boxed{a\\\\} b}", "a\\\\"),  # a line break before the closing brace
    ("boxed", "\\boxed{\\boxed{3}}", "3"),
    ("boxed", "\\boxed{12", None),
    ("boxed", "\\boxed{1} \\boxed{", None),
    ("boxed", "\\boxed{ }", None),
    ("boxed", "42", None),
    ("answer_tag", "<answer>1</answer> <answer>\n 2\n</answer>", "2"),
    ("answer_tag", "<answer>2", None),
    ("hashes", "#### 1\n#### 2\nthanks", "2"),
    ("hashes", "##### 2", "2"),
    ("hashes", "####\n", None),
    ("Answer:", "Answer: 1. No. Answer: 3.5. So.\nAnswer", "3.5"),
    ("Answer:", "Answer: **$24$**", "24"),
    ("Answer:", "Answer: ", None),
])  # fmt: skip
def test_extract_answer(marker, text, answer):
    assert extract_answer(text, marker) == answer


@given(st.text(st.sampled_from("{}ab"), max_size=12))
def test_balanced_answers_come_back(text):
    depth = 0
    for character in text:
        depth += {"{": 1, "}": -1}.get(character, 0)
        if depth < 0:
            return
    if depth == 0:
        assert extract_answer("x \\boxed{" + text + "} y}") == (text or None)


@pytest.mark.parametrize("module", ["meds_rl.fingerprint", "meds_rl.fingerprint.answer", "meds_rl.fingerprint.text"])
def test_reading_texts_needs_no_torch(module):
    code = f"import sys, {module}; assert not {{'torch', 'transformers'}} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
