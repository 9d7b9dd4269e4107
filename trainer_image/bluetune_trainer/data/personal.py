"""Personal data that people type into search boxes: e-mail addresses and numbers of payment cards."""

import re

MASK = "[personal]"
_EMAIL = re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}")
_DIGITS = re.compile(r"(?<![\d.])[2-6](?:[ -]?\d){13,18}(?![\d.])")
"""Cards have 14 to 19 digits and begin with 2 to 6. Barcodes and ISBNs have 13 at most."""


def is_personal(text: str) -> bool:
    """Whether a text holds an e-mail address or the number of a payment card."""
    return _EMAIL.search(text) is not None or any(_is_card(found[0]) for found in _DIGITS.finditer(text))


def masked(text: str) -> str:
    """The text with a mask in place of each."""
    hidden = _EMAIL.sub(MASK, text)
    return _DIGITS.sub(lambda found: MASK if _is_card(found[0]) else found[0], hidden)


def _is_card(number: str) -> bool:
    """Whether the last digit is right (Luhn's check digit, ISO/IEC 7812-1)."""
    digits = [int(character) for character in number if character.isdigit()]
    doubled = [2 * digit - 9 * (digit > 4) for digit in digits[-2::-2]]
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0
