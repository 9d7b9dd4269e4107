"""What outlives a process: versions that are whole or do not exist, and runs that go on where they were."""
