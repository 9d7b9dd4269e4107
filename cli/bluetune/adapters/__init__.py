"""The API server, the terminal, the object store."""
