"""
`unomi-scheduler`: run a node, REST, or both, and look after them.

REST is loaded only where it is served.
"""

from __future__ import annotations

import gc
import logging
import os
import sys
import threading
from collections.abc import Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from .failures import Exit, Failure
from .orders import ENDED_AT_ONCE, INTERRUPTED, Orders
from .version import version_option
from .welcome import (
    DEFAULT_PORT,
    LOOPBACK,
    address_for_peers,
    draining,
    first_password,
    node_welcome,
    stopped,
    welcome,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from unomi_rest.health_server import HealthServer
    from unomi_scheduler import Scheduler, Settings

    from .signin import Credentials

Command = TypeVar("Command", bound=Callable[..., Any])
_LOOK_EVERY = 0.05
"""Seconds that the end of a node waits at most for its health server to look up."""


def _into_environment(_context: click.Context, option: click.Parameter, value: Any) -> None:
    # The application's own Scheduler() reads the settings too: it must see the same ones.
    names = {"config": "CONFIG", "host": "REST__HOST", "port": "REST__PORT"}
    if value is not None and option.name is not None:
        os.environ[f"UNOMI_SCHEDULER_{names[option.name]}"] = str(value)


_CONFIG = click.option(
    "--config",
    type=click.Path(exists=True, dir_okay=False, resolve_path=True),
    expose_value=False,
    callback=_into_environment,
    help="The settings file [scheduler.toml].",
)
_APP = click.option("--app", metavar="MODULE:NAME", help="The scheduler of your application, with its executors.")
_HOST = click.option("--host", expose_value=False, callback=_into_environment, help=f"Listen here [{LOOPBACK}].")
_PORT = click.option(
    "--port", type=int, expose_value=False, callback=_into_environment, help=f"Listen here [{DEFAULT_PORT}]."
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@version_option
def main() -> None:
    """
    Run nodes of a cluster task scheduler, and REST for them.
    """


@main.command()
@_APP
@_CONFIG
@_HOST
@_PORT
def serve(app: str | None) -> None:
    """
    Run a node and REST in one process.
    """
    _serve(app, runs_node=True, workers=1)


@main.command()
@click.option("--workers", type=click.IntRange(min=1), default=1, show_default=True, help="How many processes.")
@_CONFIG
@_HOST
@_PORT
def api(workers: int) -> None:
    """
    Run REST alone; it runs no task.
    """
    _serve(None, runs_node=False, workers=workers)


@main.command()
@_APP
@_CONFIG
def node(app: str | None) -> None:
    """
    Run a node alone, with its health on a small port.
    """
    with _clear_errors():
        settings = _settings()
        scheduler = _scheduler(app, settings)
        orders = Orders()
        with _health(scheduler, settings.admin_host, settings.admin_port) as server:
            url = address_for_peers(settings.admin_host, server.server_port)
            scheduler.advertise(url)
            scheduler.start()
            store = scheduler.settings.store
            _say(node_welcome(node_id=scheduler.node_id, store=store, health=url, only_duties=app is None))
            with _serving(server):
                orders.wait()
                _drain(scheduler)
    _leave()


def _drain(scheduler: Scheduler) -> None:
    _say(draining(scheduler.active_runs, scheduler.settings.drain_timeout.total_seconds()))
    scheduler.stop(exiting=True)
    _say(stopped(scheduler.active_runs))


@main.command()
@_CONFIG
def doctor() -> None:
    """
    Tell what there is and what is wrong: settings, store, nodes, lock files. Changes nothing.
    """
    from .examination import examine

    with _clear_errors():
        facts, problems = examine(_settings())
    for name, fact in facts.items():
        click.echo(f"{name}: {fact}")
    for problem in problems:
        click.echo(f"PROBLEM: {problem}")
    if problems:
        sys.exit(Exit.FAILED)
    click.echo("No problems found.")


@main.command("import")
@click.option("--from-index", required=True, metavar="NAME", help="The index of Apache Unomi; it is only read.")
@click.option("--dry-run", is_flag=True, help="Only tell what would be done.")
@click.option("--force", is_flag=True, help="Go on although the original seems to be alive.")
@_CONFIG
def import_command(from_index: str, *, dry_run: bool, force: bool) -> None:
    """
    Take over the tasks of an Apache Unomi that was stopped. It may be repeated.
    """
    from .takeover import take_over

    report = take_over(_settings, from_index, dry_run=dry_run, force=force)
    click.echo("\n".join(report.lines))
    sys.exit(report.code)


@main.command("renew-secret")
@_CONFIG
def renew_secret() -> None:
    """
    Replace the secret that signs what the nodes of the cluster tell each other. None need be restarted.
    """
    with _clear_errors():
        settings = _settings()
        scheduler = _scheduler(None, settings)
        try:
            scheduler.renew_cluster_secret()
        finally:
            scheduler.stop()
    click.echo("The cluster has a new secret; its nodes read it when they meet it.")


@main.command("hash-password")
def hash_password() -> None:
    """
    Read a password and print what `password_hash` of [[rest.users]] takes.
    """
    from unomi_rest.accounts import hash_password as hashed

    if sys.stdin.isatty():
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    else:
        password = sys.stdin.readline().rstrip("\n")
    if not password:
        raise Failure("expected a password that is not empty", Exit.USAGE)
    click.echo(hashed(password))


def _serve(app: str | None, *, runs_node: bool, workers: int) -> None:
    from unomi_rest.accounts import Account, accounts_for, check_sign_in, make_account
    from unomi_rest.server import Service, Unusable, listen, serve
    from unomi_rest.tls import check_certificate

    from .signin import left_for_owner

    def make_scheduler() -> Scheduler:
        try:
            return _scheduler(app, settings)
        except Failure as failure:
            raise Unusable(failure.message) from failure

    with _clear_errors():
        settings = _settings()
        check_sign_in(settings)
        check_certificate(settings)
        listener = listen(settings.rest.host, settings.rest.port)
        port: int = listener.getsockname()[1]
        with left_for_owner(port) as left:
            owner = (make_account(*left),) if left else ()

            def accounts() -> tuple[Account, ...]:
                known, first = accounts_for(settings)
                if first is not None:
                    _say(first_password(first.password, first.path))
                return (*known, *owner)

            code = serve(
                Service(
                    settings=settings,
                    accounts=accounts,
                    listener=listener,
                    make_scheduler=make_scheduler,
                    started=lambda scheduler: _greet(scheduler, settings, port, left, app=app, runs_node=runs_node),
                    runs_node=runs_node,
                    address=address_for_peers(settings.rest.host, port) if runs_node else None,
                    workers=workers,
                )
            )
    if code == Exit.DONE:
        _say(stopped(0))
    elif code == INTERRUPTED:
        click.echo(ENDED_AT_ONCE, err=True)
    sys.exit(code)


def _settings() -> Settings:
    from unomi_scheduler import Settings, configure_logging

    # Tasks in flight are many small objects that live for milliseconds: looking for cycles among them after every 700
    # allocations costs a quarter of the throughput. This process is ours to tune; a host program is not.
    gc.set_threshold(50_000, 20, 50)

    settings = Settings()
    configure_logging(settings.log_level, settings.log_format, settings.log_config)
    return settings


def _scheduler(app: str | None, settings: Settings) -> Scheduler:
    if app is None:
        from unomi_scheduler import Scheduler

        return Scheduler(settings)
    from .application import load_scheduler

    return load_scheduler(app)


def _greet(
    scheduler: Scheduler,
    settings: Settings,
    port: int,
    left: Credentials | None,
    *,
    app: str | None,
    runs_node: bool,
) -> None:
    what = f"Node {scheduler.node_id} and REST run" if runs_node else "REST runs"
    text = welcome(
        what=what,
        store=scheduler.settings.store,
        host=settings.rest.host,
        port=port,
        signed_in=left.user if left else None,
        only_duties=runs_node and app is None,
        secure=settings.rest.certificate is not None,
    )
    _say(text)


def _say(text: str) -> None:
    click.echo(text)
    sys.stdout.flush()


@contextmanager
def _health(scheduler: Scheduler, host: str, port: int) -> Iterator[HealthServer]:
    from unomi_rest.health_server import health_server

    server = health_server(scheduler, host, port)
    try:
        yield server
    finally:
        server.server_close()


@contextmanager
def _serving(server: HealthServer) -> Iterator[None]:
    threading.Thread(target=server.serve_forever, args=(_LOOK_EVERY,), name="health", daemon=True).start()
    try:
        yield
    finally:
        server.shutdown()


@contextmanager
def _clear_errors() -> Iterator[None]:
    from unomi_scheduler import SchedulerError

    try:
        yield
    except SchedulerError as error:
        raise Failure(str(error)) from error


def _leave() -> None:
    # What the node gave up on must not hold the process: its tasks are with the others now.
    if any(thread is not threading.main_thread() and not thread.daemon for thread in threading.enumerate()):
        logging.shutdown()
        sys.stdout.flush()
        os._exit(Exit.DONE)
