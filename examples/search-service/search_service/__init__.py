"""A small real search application: serves one version of a model with its vector index, and logs what people click."""
