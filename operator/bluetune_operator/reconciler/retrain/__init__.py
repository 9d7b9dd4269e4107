"""A model's tasks are made by themselves."""
