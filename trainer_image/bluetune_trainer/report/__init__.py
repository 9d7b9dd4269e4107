"""The report of a run: one HTML file that needs nothing else.

`content` gathers what it says (pure), `plots` draws SVG (pure), `page` makes HTML of both.
`card` writes the model card.
"""
