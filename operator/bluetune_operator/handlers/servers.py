"""HTTP for probes and Prometheus."""

from aiohttp import web

from bluetune_operator.handlers.health import Health
from bluetune_operator.handlers.metrics import Metrics


class Servers:
    """/healthz and /readyz on one port, /metrics on another; port 0: not served."""

    def __init__(self, health: Health, metrics: Metrics) -> None:
        self._health = health
        self._metrics = metrics
        self._runners: list[web.AppRunner] = []

    async def start(self, health_port: int, metrics_port: int) -> None:
        """Listen on all addresses. Raises OSError if a port is taken."""
        if health_port:
            await self._listen(health_port, {"/healthz": self._healthz, "/readyz": self._readyz})
        if metrics_port:
            await self._listen(metrics_port, {"/metrics": self._scrape})

    async def stop(self) -> None:
        """Close."""
        for runner in self._runners:
            await runner.cleanup()

    async def _listen(self, port: int, routes: dict[str, object]) -> None:
        app = web.Application()
        for path, handler in routes.items():
            app.router.add_get(path, handler)  # type: ignore[arg-type]
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        self._runners.append(runner)
        await web.TCPSite(runner, None, port).start()

    async def _healthz(self, _: web.Request) -> web.Response:
        problems = self._health.problems()
        return web.Response(status=503 if problems else 200, text="\n".join(problems) or "ok")

    async def _readyz(self, _: web.Request) -> web.Response:
        ready = self._health.ready()
        return web.Response(status=200 if ready else 503, text=self._state(ready))

    def _state(self, ready: bool) -> str:
        if self._health.standing_by:
            return "standing by: another operator works"
        return "ok" if ready else "waiting for the Lease or the lists"

    async def _scrape(self, _: web.Request) -> web.Response:
        return web.Response(body=self._metrics.text(), content_type="text/plain")
