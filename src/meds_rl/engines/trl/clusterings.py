"""The clustering that a configuration names."""

from meds_rl.engines.trl.config import MEDSConfig
from meds_rl.shaping.clustering import Clustering, HDBSCANClustering
from meds_rl.shaping.clusterings import (
    AgglomerativeClusters,
    DBSCANClustering,
    ExactClustering,
    KMeansClustering,
    RandomLabels,
    SingleCluster,
)


def make_clustering(args: MEDSConfig) -> Clustering:
    """What ``meds_clustering`` and the fields that belong to it say."""
    hdbscan = HDBSCANClustering(
        min_cluster_size=args.meds_min_cluster_size,
        cluster_selection_epsilon=args.meds_cluster_selection_epsilon or 0.0,
    )
    if args.meds_clustering == "exact":
        return ExactClustering()
    if args.meds_clustering == "single":
        return SingleCluster()
    if args.meds_clustering == "kmeans":
        return KMeansClustering(args.meds_num_clusters)
    if args.meds_clustering == "dbscan":
        return DBSCANClustering(args.meds_cluster_distance, args.meds_min_cluster_size)
    if args.meds_clustering == "agglomerative":
        return AgglomerativeClusters(args.meds_cluster_distance)
    return RandomLabels(hdbscan) if args.meds_clustering == "random" else hdbscan
