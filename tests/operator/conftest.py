"""Fixtures of this lane; they are shared with the lane of neighbours."""

from tasks.fixtures import operator, resources, shared_world, stand_in, world

__all__ = ["operator", "resources", "shared_world", "stand_in", "world"]
