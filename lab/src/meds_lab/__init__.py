"""The laboratory of meds-rl: what puts the method to the test. It uses the public names of ``meds_rl`` only."""
