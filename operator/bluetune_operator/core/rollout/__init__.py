"""A rollout: which begins, its next move, what the serving workload is told."""
