"""Named sets of defaults: what a field is where nobody says what it should be.

A field that a preset sets has the default ``None`` in ``MEDSConfig``. A value given explicitly always wins.
"""

from collections.abc import Mapping
from typing import Any

_PUBLISHED: Mapping[str, Any] = {
    "meds_target": "wrong",
    "meds_scope": "prompt",
    "meds_penalty_form": "log",
    "meds_clustering": "hdbscan",
    "fingerprint_from": "policy",
}

PRESETS: dict[str, Mapping[str, Any]] = {
    # As published and released.
    "paper": {
        **_PUBLISHED,
        "fingerprint": "layer_logits",
        "meds_cluster_selection_epsilon": 0.0,
        "meds_all_wrong": "skip",
        "meds_alpha": 0.1,
        "meds_beta": 0.2,
    },
    # What this project found to be better (docs/evidence.md): it reads the working, acts where nothing is right yet,
    # and goes on telling often made errors from very often made ones.
    "recommended": {
        **_PUBLISHED,
        "fingerprint": "working_states",
        "meds_cluster_selection_epsilon": 0.2,
        "meds_all_wrong": "center",
        "meds_alpha": 0.3,
        "meds_beta": 2.0,
    },
}
"""By preset: field -> value. All presets set the same fields."""
