"""`bluetune-operator`, or `python -m bluetune_operator`."""

import argparse
import asyncio
import os
import sys
from dataclasses import replace

from bluetune_operator.core.config import Config, config_from
from bluetune_operator.handlers import logs
from bluetune_operator.handlers.app import run


def main(arguments: list[str] | None = None) -> int:
    """Run the operator until it is stopped. Returns the exit code."""
    try:
        config = _configured(config_from(os.environ), arguments)
    except ValueError as error:
        print(f"bluetune-operator: {error}", file=sys.stderr)
        return 2
    logs.configure(config.log_format)
    return asyncio.run(run(config))


def _configured(base: Config, arguments: list[str] | None) -> Config:
    parser = argparse.ArgumentParser(prog="bluetune-operator", description="The operator of bluetune.")
    parser.add_argument(
        "--namespace", action="append", help="serve this namespace only (repeatable); BLUETUNE_NAMESPACES"
    )
    parser.add_argument("--trainer-image", help="image of methods that name none; BLUETUNE_TRAINER_IMAGE")
    parser.add_argument("--health-port", type=int, help="port of the probes, 0 for none; BLUETUNE_HEALTH_PORT")
    parser.add_argument("--metrics-port", type=int, help="port of /metrics, 0 for none; BLUETUNE_METRICS_PORT")
    parser.add_argument("--log-format", choices=("json", "text"), help="BLUETUNE_LOG_FORMAT")
    options = parser.parse_args(arguments)
    changes = {name: value for name, value in vars(options).items() if value is not None and name != "namespace"}
    if options.namespace:
        changes["namespaces"] = tuple(options.namespace)
    return replace(base, **changes)


if __name__ == "__main__":
    sys.exit(main())
