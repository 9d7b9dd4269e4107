"""What kopf sees becomes keys on one queue; the process around it: probes, metrics, logs, the single-instance guard."""
