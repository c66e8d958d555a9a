"""The bench of fingerprints on frozen policies: what do they see of the errors?

python -m meds_lab.fingerprints              # neighbours and clusters, see `meds_lab.fingerprints.__main__`
python -m meds_lab.fingerprints.assignment   # do penalties follow the errors?
"""
