"""One reconcile: observe, decide (core), apply, write status once, emit events."""
