"""
Find an Elasticsearch for the tests: the one named by the environment, a container, or a local process.

    with servers.find(version="9.2.0") as server:
        client = Elasticsearch(server.url)

A test that breaks the server asks for one of its own by `local=True`: only a local process can be killed, paused and
restarted with its data.
"""

from __future__ import annotations

from .choice import NoServerError, ServerChoice, find
from .server import Server

__all__ = ["NoServerError", "Server", "ServerChoice", "find"]
