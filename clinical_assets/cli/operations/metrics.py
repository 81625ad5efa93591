"""``clinical-assets metrics``: numbers about the platform for Prometheus."""

from __future__ import annotations

from typing import Annotated

import typer

from clinical_assets.cli import context
from clinical_assets.cli.output import err
from clinical_assets.observability.metrics.exporter import PlatformCollector, refuse_open, serve, text_of
from clinical_assets.observability.metrics.platform_readings import LedgerWatch

HOST, PORT = "127.0.0.1", 9464


def metrics(
    once: Annotated[bool, typer.Option("--once", help="Print them once and end.")] = False,
    port: Annotated[int, typer.Option(help="Port to listen on.", min=1, max=65535)] = PORT,
    host: Annotated[str, typer.Option(help="Address of this machine to listen at; loopback only.")] = HOST,
) -> None:
    """Serve metrics at http://HOST:PORT/metrics until Ctrl-C: volume, drift, calibration, gates, freshness, runs.

    Labels are bounded, and no identifier is among them. There is no login, so that only this machine is answered;
    a proxy may pass them on.
    """
    from clinical_assets.defs.automation.run_counts import JOB_LABELS, counted_runs
    from clinical_assets.launch.instance import open_instance

    refuse_open(host)
    settings = context.settings()
    watch = LedgerWatch(context.workspace().records)
    with open_instance() as instance:
        collector = PlatformCollector(settings, run_counts=lambda: counted_runs(instance), jobs=JOB_LABELS, watch=watch)
        if once:
            watch.look()
            print(text_of(collector), end="")  # noqa: T201
            return
        server, thread = serve(collector, host=host, port=port)
        watch.start()
        err.print(f"Metrics at http://{host}:{port}/metrics, until Ctrl-C.", markup=False)
        try:
            # With a limit: a table engine's own handler of Ctrl-C restarts a wait without one.
            while thread.is_alive():
                thread.join(timeout=0.5)
        except KeyboardInterrupt:
            server.shutdown()
        finally:
            watch.stop()
