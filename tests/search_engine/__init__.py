"""An OpenSearch of this machine's own, and the tests that load an index into it."""
