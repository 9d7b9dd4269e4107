"""How much risk each of several runs against one live version may take.

A gate that is asked every night passes noise sooner or later. So the tries against one live version share one risk
(alpha spending: K. K. G. Lan, D. L. DeMets, Discrete Sequential Boundaries for Clinical Trials, Biometrika 1983):
most of it goes to the first try, and what later ones may take sums up to the rest.
"""

FIRST_SHARE = 0.7
"""Share of the risk for the first try; try n > 1 gets the rest divided by n (n - 1)."""


def risk_of(attempt: int, risk: float) -> float:
    """What the try with this number, from 1, may take of the whole risk; over all tries they sum up to it."""
    if attempt == 1:
        return FIRST_SHARE * risk
    return (1 - FIRST_SHARE) * risk / (attempt * (attempt - 1))
