"""When a model makes tasks by itself."""
