"""Named sets of defaults: what a field is where nobody says what it should be.

A field that a preset sets has the default ``None`` in ``MEDSConfig``. A value given explicitly always wins.
"""

from collections.abc import Mapping
from typing import Any

PRESETS: dict[str, Mapping[str, Any]] = {
    # As published and released.
    "paper": {"fingerprint_from": "policy"},
    # What this project found to be better.
    "recommended": {"fingerprint_from": "reference"},
}
"""By preset: field -> value. All presets set the same fields."""
