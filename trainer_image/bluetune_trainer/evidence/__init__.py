"""What clicks say about two versions: which one people would call better, and how sure that is. No torch."""
