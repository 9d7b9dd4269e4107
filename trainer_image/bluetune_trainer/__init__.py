"""The trainer: reads a plan, checks a batch of clicks, searches for a better encoder and publishes it as a version.

It knows no Kubernetes: it reads and writes the model's part of the object store, and its exit code says how it ended.
"""
