"""Exact incremental HDBSCAN: a minimum spanning tree, updated when points come and go, and the clusters read from it.

All modules need numba, :mod:`meds_rl.hdbscan.incremental` also scikit-learn: import the one that you need.
"""
