"""The pocket model's tokenizer: whole words with the spaces around them, and single digits.

Spaces belong to the words and signs beside them, so that a digit is one token wherever it stands and decoding
gives the text back exactly.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from meds_lab.tasks.wording import all_phrases, all_texts

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

PAD, EOS, UNKNOWN = "<pad>", "<eos>", "<unk>"
# `\boxed{` is one token and takes no space after it; a minus sign right before a digit keeps clear of spaces.
PIECE = r"\\boxed\{|[0-9]| ?[-+*=?] ?| ?[a-z]+ ?|[.,;:] ?|\}|\n"


def vocabulary() -> list[str]:
    """Return all tokens, special ones first, in a fixed order."""
    return _vocabulary([*map(str, range(10)), "-", "\\boxed{", "}", "\n", "what ", "?", *all_texts()], PIECE)


def _vocabulary(texts: Iterable[str], piece: str) -> list[str]:
    return [PAD, EOS, UNKNOWN, *sorted({found for text in texts for found in re.findall(piece, text)})]


def before_numbers() -> list[str]:
    """Return the tokens after which only a number, or its next digit, can come, or its end."""
    found = {"-", "\\boxed{"}
    for text in all_phrases():
        pieces = list(_pieces(text))
        found.update(piece for piece, after in itertools.pairwise(pieces) if after.isdigit())
    return sorted(found | set(map(str, range(10))))


def _pieces(text: str) -> Iterable[str]:
    return re.findall(PIECE, text)


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Make the tokenizer from nothing."""
    return _tokenizer(vocabulary(), PIECE)


def tokenizer_of(texts: Iterable[str], piece: str) -> PreTrainedTokenizerFast:
    """Make a tokenizer of another task: its tokens are the matches of the expression `piece` in the texts."""
    return _tokenizer(_vocabulary(texts, piece), piece)


def _tokenizer(tokens: list[str], piece: str) -> PreTrainedTokenizerFast:
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.WordLevel({token: i for i, token in enumerate(tokens)}, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(piece), behavior="isolated")
    tokenizer.decoder = decoders.Fuse()  # without it decoding puts a space between any two tokens
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=EOS,
        unk_token=UNKNOWN,
        clean_up_tokenization_spaces=False,
        model_max_length=256,
    )
