"""From what is seen of a task to its status."""
