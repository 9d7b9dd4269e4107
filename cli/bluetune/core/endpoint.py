"""`--endpoint`: the address of a store, maybe after `http://` or `https://`."""

from bluetune.core.errors import CliError, Exit

SCHEMES = {"http": False, "https": True}


def split_endpoint(endpoint: str) -> tuple[str, bool | None]:
    """The address without its scheme, and whether that is https; None where there is no scheme. Raises CliError."""
    scheme, found, rest = endpoint.partition("://")
    if not found:
        return endpoint, None
    if scheme not in SCHEMES:
        raise CliError(f"--endpoint {endpoint!r}: must be HOST:PORT, maybe after http:// or https://", Exit.USAGE)
    return rest, SCHEMES[scheme]
