"""Quality of fine-tuned models on Semanlink; `python benchmarks/quality`."""
