"""``meds train``: a recipe, the run that it asks for, and what is measured before, in and after it."""
