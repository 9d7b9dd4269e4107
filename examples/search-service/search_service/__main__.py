"""`python -m search_service`: serve the version in BLUETUNE_VERSION."""

import logging
import sys

import uvicorn

from bluetune_api.objectstore import StoreError
from bluetune_api.s3 import store_from_environment
from search_service.app import Service, create_app
from search_service.clicklog import ClickLog
from search_service.engine import Engine
from search_service.settings import Settings, SettingsError


def main() -> int:
    """Serve until SIGTERM; return the exit code: 1 if the version could not be loaded."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    try:
        settings = Settings.from_environment()
        store = store_from_environment(settings.store)
    except (SettingsError, StoreError) as error:
        logging.getLogger("search").error("%s", error)
        return 1
    version = settings.version
    clicks = ClickLog(
        store,
        source=settings.pod,
        idle_seconds=settings.session_idle_seconds,
        min_clicked=settings.batch_min_sessions,
        batch_minutes=settings.batch_minutes,
    )
    load = None
    if version is not None:
        load = lambda: Engine.load(store, version, settings.digest, settings.workdir, settings.threads)  # noqa: E731
    service = Service(load, clicks, pod=settings.pod)
    uvicorn.run(
        create_app(service),
        host="0.0.0.0",  # noqa: S104 - a pod serves its network
        port=settings.port,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=10,
    )
    return 1 if service.failed else 0


if __name__ == "__main__":
    sys.exit(main())
