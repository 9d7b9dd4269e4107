"""From what is seen of a model to its status."""
