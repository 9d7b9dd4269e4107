"""The command line: `bluetune`, and `kubectl bluetune`. It needs the API package and no torch."""
