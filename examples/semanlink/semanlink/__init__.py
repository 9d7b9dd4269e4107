"""The demo's parts: a real catalogue with human judgments, simulated clicks, a cluster, and what a person sees."""
