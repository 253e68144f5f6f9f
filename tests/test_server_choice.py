"""
Which Elasticsearch the integration tests take: every way, and what is said when there is none.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from integration_tests.servers import NoServerError, Server, ServerChoice
from integration_tests.servers.server import NotReadyError

_NAMED = {"ELASTICSEARCH_URL": "http://named:9200/"}


@dataclass
class Engine:
    """
    A stand-in for the Docker client.
    """

    trouble: Exception | None = None

    def ping(self) -> bool:
        """
        Answer, or fail as an engine that is not there.
        """
        if self.trouble:
            raise self.trouble
        return True


@dataclass
class Ways:
    """
    Stand-ins for the ways to a server; each remembers that it was used, and fails when told to.
    """

    environ: dict[str, str] = field(default_factory=dict)
    no_engine: Exception | None = None
    no_url: Exception | None = None
    no_container: Exception | None = None
    no_local: Exception | None = None
    asked: list[str] = field(default_factory=list)

    def connect(self, url: str) -> Server:
        """
        Take the server of an address.
        """
        self._ask(f"url {url}", self.no_url)
        return Server(url=url, version="9.1.0", how="url")

    def container(self, *, version: str, heap: str) -> Server:
        """
        Start a container.
        """
        self._ask(f"container {version} {heap}", self.no_container)
        return Server(url="http://container:9200", version=version, how="container")

    def local(self, *, version: str, heap: str) -> Server:
        """
        Start a process.
        """
        self._ask(f"local {version} {heap}", self.no_local)
        return Server(url="http://local:9200", version=version, how="local")

    def choose(self, *, only_local: bool = False) -> Server:
        """
        Choose among these ways.
        """
        choice = ServerChoice(
            environ=self.environ,
            docker=lambda: Engine(self.no_engine),
            connect=self.connect,
            container=self.container,
            local=self.local,
        )
        return choice.choose(version="9.2.0", heap="1g", only_local=only_local)

    def _ask(self, way: str, trouble: Exception | None) -> None:
        self.asked.append(way)
        if trouble:
            raise trouble


def test_a_named_server_comes_first() -> None:
    """
    Who names a server gets that one, and nothing else is looked at.
    """
    ways = Ways(environ=_NAMED)

    assert ways.choose().how == "url"
    assert ways.asked == ["url http://named:9200"]


@pytest.mark.parametrize("trouble", [ConnectionRefusedError("refused"), NotReadyError("status red")])
def test_a_named_server_that_does_not_answer_is_never_replaced(trouble: Exception) -> None:
    """
    Another server than the named one would hide a mistake.
    """
    ways = Ways(environ=_NAMED, no_url=trouble)
    with pytest.raises(NoServerError, match=f"ELASTICSEARCH_URL=http://named:9200: {trouble}"):
        ways.choose()

    assert ways.asked == ["url http://named:9200"]


@pytest.mark.parametrize("environ", [{}, {"ELASTICSEARCH_URL": ""}])
def test_an_engine_that_answers_gets_the_container(environ: dict[str, str]) -> None:
    """
    Without a named server, a container is preferred to a process; an empty name is none.
    """
    ways = Ways(environ=environ)

    assert ways.choose().how == "container"
    assert ways.asked == ["container 9.2.0 1g"]


def test_without_an_engine_a_process_is_started() -> None:
    """
    Whatever the Docker client raises means that there is no engine.
    """
    ways = Ways(no_engine=OSError("no socket"))

    assert ways.choose().how == "local"
    assert ways.asked == ["local 9.2.0 1g"]


def test_a_container_that_does_not_start_is_replaced_by_a_process(capsys: pytest.CaptureFixture[str]) -> None:
    """
    An engine without a way to the image is no reason to give up, but the reason is told.
    """
    ways = Ways(no_container=RuntimeError("image not found"))

    assert ways.choose().how == "local"
    assert ways.asked == ["container 9.2.0 1g", "local 9.2.0 1g"]
    assert "image not found" in capsys.readouterr().err


def test_a_test_that_breaks_its_server_gets_a_process_whatever_else_there_is() -> None:
    """
    Neither a named server nor a container can be killed and brought back.
    """
    ways = Ways(environ=_NAMED)

    assert ways.choose(only_local=True).how == "local"
    assert ways.asked == ["local 9.2.0 1g"]


@pytest.mark.parametrize("no_local", [RuntimeError("no Java"), OSError("disk full")])
def test_without_any_server_the_message_says_the_three_ways_and_what_was_tried(no_local: Exception) -> None:
    """
    The one message a newcomer sees must be enough to go on.
    """
    ways = Ways(no_engine=OSError("no socket"), no_local=no_local)
    with pytest.raises(NoServerError) as failure:
        ways.choose()

    message = str(failure.value)
    for expected in (
        "1. name a running one",
        "2. start a Docker engine",
        "3. install Maven",
        "ELASTICSEARCH_URL is not set",
        "a Docker engine: no socket",
        f"a local process: {no_local}",
    ):
        assert expected in message


def test_the_message_keeps_the_reason_of_a_failed_container() -> None:
    """
    With an engine that could not start the container, and no process either, both reasons are told.
    """
    ways = Ways(no_container=RuntimeError("image not found"), no_local=RuntimeError("no Java"))
    with pytest.raises(NoServerError, match=r"(?s)a container: image not found.*a local process: no Java"):
        ways.choose()


def test_a_server_of_others_cannot_be_broken() -> None:
    """
    Stopping what somebody else runs raises before anything happens.
    """
    server = Server(url="http://named:9200", version="9.2.0", how="url")

    for verb in (server.start, server.stop, server.kill, server.restart, server.pause, server.resume):
        with pytest.raises(RuntimeError, match="local=True"):
            verb()
