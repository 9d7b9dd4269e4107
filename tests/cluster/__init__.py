"""A real one-node Kubernetes cluster in private Linux namespaces, for the tests and the demo. See README.md."""
