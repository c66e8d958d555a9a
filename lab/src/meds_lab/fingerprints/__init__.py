"""Benchmarks of fingerprints on policies that do not train: do they separate the errors?

python -m meds_lab.fingerprints              # neighbours and clusters, see `meds_lab.fingerprints.__main__`
python -m meds_lab.fingerprints.assignment   # do penalties follow the errors?
python -m meds_lab.fingerprints.widths       # what does `fingerprint_width` lose?
python -m meds_lab.fingerprints.programs     # do fingerprints of programs find the planted bug?
"""
