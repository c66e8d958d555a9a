"""The entropy advantage: of the paper's baseline "GRPO + entropy", and of the recommended preset."""

import torch


def entropy_advantage(
    advantages: torch.Tensor, entropies: torch.Tensor, coef: float = 0.4, cap: float = 2.0
) -> torch.Tensor:
    """Token-level advantages A + min(coef * H, |A| / cap), H detached.

    The added term never turns the sign of A as long as ``cap`` is above 1.
    Source: "Reasoning with Exploration: An Entropy Perspective" (arXiv 2506.14758), with its defaults.

    Args:
        advantages: (B,) or (B, T).
        entropies: (B, T), in nats.
        coef: weight of the entropy.
        cap: the bonus is at most |A| / cap.

    Returns:
        (B, T).

    Example:
        >>> entropy_advantage(torch.tensor([1.0, -1.0]), torch.tensor([[0.5, 2.0], [0.5, 2.0]]))
        tensor([[ 1.2000,  1.5000],
                [-0.8000, -0.5000]])
    """
    if advantages.dim() == 1:
        advantages = advantages.unsqueeze(1)
    return advantages + torch.minimum(coef * entropies.detach(), advantages.abs() / cap)
