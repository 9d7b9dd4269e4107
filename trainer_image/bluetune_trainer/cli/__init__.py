"""The command line: reads a plan, runs it, and turns every end into an exit code and a message."""
