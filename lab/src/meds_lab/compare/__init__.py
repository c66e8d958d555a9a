"""Grids of trainings: methods x tasks x base checkpoints x seeds, compared in pairs. What `meds-lab compare` runs."""
