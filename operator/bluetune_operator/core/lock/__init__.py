"""Who may train a model."""
