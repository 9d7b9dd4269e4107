"""A rollout is carried out, one move at a time."""
