"""Named sets of defaults: what a field is where nobody says what it should be.

A field that a preset sets has the default ``None`` in ``MEDSConfig``. A value given explicitly always wins.
"""

from collections.abc import Mapping
from typing import Any

_PUBLISHED: Mapping[str, Any] = {
    "meds_target": "wrong",
    "meds_all_wrong": "skip",
    "meds_scope": "prompt",
    "meds_penalty_form": "log",
    "meds_clustering": "hdbscan",
    "fingerprint_from": "policy",
}

PRESETS: dict[str, Mapping[str, Any]] = {
    # As published and released.
    "paper": {**_PUBLISHED, "fingerprint": "layer_logits", "meds_cluster_selection_epsilon": 0.0},
    # What this project found to tell errors apart, and to go on doing so while the policy moves (docs/staleness.md).
    "recommended": {**_PUBLISHED, "fingerprint": "answer_states", "meds_cluster_selection_epsilon": 0.3},
}
"""By preset: field -> value. All presets set the same fields."""
