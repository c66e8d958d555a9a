"""The unembedding of a model that FSDP2 has sharded, gathered as the forward itself would gather it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor
from torch.distributed.fsdp import FSDPModule

from meds_rl.fingerprint import Head


class ShardedHead(Head):
    """A head that FSDP2 may have wrapped on its own, as verl does where embeddings are not tied.

    Such a head is sharded while the decoder layers run. Gathered by FSDP's own means it comes in the forward's
    precision and takes the memory that the forward needs for it anyway; the master weights would take twice that. Use
    one such head for all micro-batches of a pass: then it is gathered once.
    """

    @contextmanager
    def weight(self) -> Iterator[Tensor]:
        """The whole of W, (V, d), without gradient; sharded again at the end of the context."""
        module = self._model.get_output_embeddings()
        if not isinstance(module, FSDPModule):
            with super().weight() as weight:
                yield weight
            return
        module.unshard()
        try:
            with super().weight() as weight:
                yield weight
        finally:
            module.reshard()
