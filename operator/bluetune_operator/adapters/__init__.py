"""The outside: the API server, Leases, Events, the object store. The only package that does I/O for the reconcilers."""
