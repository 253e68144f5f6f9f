"""
Elasticsearch in a container, where a Docker engine answers.
"""

from __future__ import annotations

import gc
import warnings
from typing import Protocol

from docker.errors import DockerException
from testcontainers.community.elasticsearch import ElasticSearchContainer
from testcontainers.core.docker_client import DockerClient

from .server import Server, wait_until_ready

_START_SECONDS = 180


class NoEngineError(RuntimeError):
    """
    No Docker engine answers.
    """


class Engine(Protocol):
    """
    The part of the Docker client that tells whether an engine answers.
    """

    def ping(self) -> bool:
        """
        Tell whether the engine is there; may raise anything when it is not.
        """
        ...


def docker_client() -> Engine:
    """
    Return a client of the Docker engine that containers are started on; raises at once where there is none.
    """
    try:
        engine: Engine = DockerClient().client
    except DockerException as error:
        trouble = str(error)
    else:
        return engine
    # The client forgets to close the socket of its failed attempt; here, it shall not be reported as a leak of ours.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
    raise NoEngineError(trouble)


def start(*, version: str, heap: str) -> Server:
    """
    Start a container of exactly this version; returns when it is ready.
    """
    container = (
        ElasticSearchContainer(f"elasticsearch:{version}")
        .with_env("discovery.type", "single-node")
        .with_env("xpack.security.enabled", "false")
        .with_env("cluster.routing.allocation.disk.threshold_enabled", "false")
        .with_env("ES_JAVA_OPTS", f"-Xms{heap} -Xmx{heap}")
    )
    try:
        container.start()
        url = f"http://{container.get_container_host_ip()}:{container.get_exposed_port(container.port)}"
        wait_until_ready(url, seconds=_START_SECONDS)
    except BaseException:
        container.stop()
        raise
    return Server(url=url, version=version, how="container", on_close=container.stop)
