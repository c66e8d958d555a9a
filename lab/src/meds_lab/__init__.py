"""Tests the method of `meds_rl`: comparisons in pairs, rivals, controls, theory. `meds_rl` never imports it."""
