"""What the `clusters` of a shaped batch may hold beside the labels of real clusters (0, 1, 2, ...)."""

NOISE = -1
"""The neighbours' vote fell on the points that HDBSCAN put into no cluster."""

NO_ANSWER = -2
"""The completion gave no answer, so it has no fingerprint: an error pattern of its own."""

UNSEEN = -3
"""The memory holds no fingerprint of this prompt yet (the first visit), or none within the distance that counts."""

NOT_SCORED = -4
"""The completion was not looked up: its group is all right or all wrong and skipped, or it is no target."""
