"""The one error whose message is meant for the person at the terminal."""


class ClusterError(Exception):
    """What went wrong and what to do about it, in words that need no stack trace."""
