"""``meds train``: read a recipe, run it, and evaluate before, during and after training."""
