"""What an operator that runs as a process says of itself."""

import urllib.request


def metric(port: int, name: str, label: str = "") -> float:
    """Sum of a metric over its labels, or over those with `label` (`name="value"`). Raises OSError while nothing
    answers."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    found = (line for line in lines if line.startswith((f"{name} ", f"{name}{{")) and label in line)
    return sum(float(line.rpartition(" ")[2]) for line in found)
