"""A task: what it asks for, runs, and comes to."""
