"""What pydantic says of a record or a resource, for people."""

from pydantic import ValidationError


def first_problem(error: ValidationError, whole: str = "") -> str:
    """The first problem, as `field: what is wrong`. Where the whole input is wrong, `whole` stands for the field."""
    problem = error.errors()[0]
    return f"{'.'.join(str(part) for part in problem['loc']) or whole}: {problem['msg']}"
