"""A pod and its Job: what is made, what became of it."""
