"""Exact incremental HDBSCAN: a spanning tree that grows and shrinks, and the clusters read from it.

What is here needs numba, and :mod:`meds_rl.hdbscan.incremental` scikit-learn: import the module that you need.
"""
