"""The search for the best trial, and the comparison that the gate decides by."""
