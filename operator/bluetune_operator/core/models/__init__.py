"""A model: its base, its store, its versions, what its status says."""
