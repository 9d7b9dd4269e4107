"""Plots as inline SVG: pure functions from numbers to markup. Colours are the page's, by class."""
