"""Fixtures of this lane: the definitions of the working tree, and an operator with a trainer that stands in."""

from tasks.fixtures import resources, shared_world, stand_in

__all__ = ["resources", "shared_world", "stand_in"]
