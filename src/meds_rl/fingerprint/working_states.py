"""A fingerprint that is not in the paper: the states of the working, without the answer."""

from __future__ import annotations

import torch
from torch import Tensor

from meds_rl.fingerprint.base import OneLayer, Where
from meds_rl.fingerprint.model import Head


class WorkingStates(OneLayer):
    """One layer's mean state over the working, minus its mean state over the prompt.

    Formula: mean_(t in working) u(t) - mean_(t in prompt) u(t), with u(t) = h_l(t) / |h_l(t)|. The working is the
    completion up to and with p, the token before the answer; the answer itself is left out. d numbers in float32.

    Each state is scaled to length 1 first, so that no single token outweighs the rest. The prompt's mean is taken out
    because fingerprints are compared by their direction: without it, all completions of one prompt point the same way.
    It reads up to p, like `LayerLogits`, and does not use the unembedding.

    Args:
        layer: 1 to L; None for two thirds of the way, max(1, round(2 L / 3)). Layer L is taken after the final norm.
            ValueError for a layer below 1; later, if the model has fewer layers.

    Example:
        >>> WorkingStates().layers(28), WorkingStates().num_features(28, hidden_size=3584)
        ([19], 3584)
    """

    name = "working_states"
    reads_completion = False

    def default_layer(self, num_layers: int) -> int:
        """Two thirds of the way up."""
        return max(1, round(2 * num_layers / 3))

    def read(self, hidden: Tensor, where: Where, head: Head) -> Tensor:
        """The working's mean minus the prompt's: from (b, T, d) to (b, d)."""
        if where.prompt_mask is None:
            raise ValueError(f"{self!r} needs to know where prompts are: give Where.from_answers their prompt_starts")
        columns = torch.arange(hidden.shape[1], device=hidden.device)
        working = where.completion_mask & (columns <= where.positions[:, None])
        weights = _mean_weights(working) - _mean_weights(where.prompt_mask)
        # where, not a product: states at padding may be infinite or NaN.
        is_read = (working | where.prompt_mask)[:, :, None]
        states = torch.where(is_read, hidden, hidden.new_zeros(())).float()
        lengths = torch.linalg.vector_norm(states, dim=2).clamp(min=torch.finfo(torch.float32).tiny)
        return torch.einsum("bt,btd->bd", weights / lengths, states)


def _mean_weights(mask: Tensor) -> Tensor:
    """Equal weights (b, T) over a row's tokens that add up to 1; zeros for a row without tokens."""
    return mask.float() / mask.sum(dim=1, keepdim=True).clamp(min=1)
