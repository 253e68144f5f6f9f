"""
The parts of the Elasticsearch store that need no server: what is asked, and what an answer means.
"""

from __future__ import annotations

import ssl
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import pytest
from elastic_transport import ApiResponseMeta, HttpHeaders, NodeConfig, TransportError
from elastic_transport import ConnectionError as Disconnected
from elasticsearch import ApiError, UnsupportedProductError
from urllib3 import HTTPConnectionPool
from urllib3.connection import HTTPConnection
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError, ProtocolError, SSLError

from tests.factories import make_heartbeat, make_slot, make_task
from unomi_scheduler.errors import ConfigurationError, InvalidTask, SchedulerError, StoreRefused, StoreUnavailable
from unomi_scheduler.model import Malformed, Record, Version
from unomi_scheduler.ports import SORT_FIELDS, Action, DueQuery, OwnedQuery, Result, StoreReport, TaskQuery, Write
from unomi_scheduler.stores.elasticsearch import (
    ElasticsearchStore,
    answers,
    bulk,
    deep,
    doctor,
    indices,
    mapping,
    queries,
)
from unomi_scheduler.stores.elasticsearch.answers import PermissionDeniedError
from unomi_scheduler.stores.elasticsearch.bulk import Operation
from unomi_scheduler.stores.elasticsearch.connection import Connection
from unomi_scheduler.stores.elasticsearch.mapping import Kind
from unomi_scheduler.stores.options import ElasticsearchOptions

# Recorded from a server of version 8.19 that was asked by client 9.
MEDIA_TYPE = {
    "error": {
        "root_cause": [
            {"type": "media_type_header_exception", "reason": "Invalid media-type value on headers [Accept]"}
        ],
        "type": "media_type_header_exception",
        "reason": "Invalid media-type value on headers [Accept]",
        "caused_by": {
            "type": "status_exception",
            "reason": "Accept version must be either version 8 or 7, but found 9. "
            "Accept=application/vnd.elasticsearch+json; compatible-with=9",
        },
    },
    "status": 400,
}
OPERATION = Operation(0, Action.REPLACE, "x-scheduledtask-v1-a", b"")


def error(kind: str, reason: str = "because") -> dict[str, Any]:
    """
    Return the error part of an answer.
    """
    return {"error": {"type": kind, "reason": reason}}


def meta(status: int) -> ApiResponseMeta:
    """
    Return the frame of an answer.
    """
    return ApiResponseMeta(
        status=status,
        http_version="1.1",
        headers=HttpHeaders(),
        duration=0.0,
        node=NodeConfig("http", "localhost", 9200),
    )


class TestOutcomes:
    """
    From the items of a bulk to outcomes.
    """

    @pytest.mark.parametrize("status", [200, 201])
    def test_a_success_carries_the_version(self, status: int) -> None:
        """
        The version names the concrete index that was written.
        """
        item = {"index": {"status": status, "_seq_no": 5, "_primary_term": 2}}

        ((result, version, problem),) = answers.outcomes([item], [OPERATION])
        assert (result, version, problem) == (Result.WRITTEN, Version("x-scheduledtask-v1-a", 5, 2), None)

    @pytest.mark.parametrize(
        ("status", "body", "result"),
        [
            (
                409,
                error("version_conflict_engine_exception", "[1]: version conflict, required seqNo [7]"),
                Result.CONFLICT,
            ),
            (
                409,
                error("version_conflict_engine_exception", "document already exists (current version [1])"),
                Result.CONFLICT,
            ),
            (409, error("version_conflict_engine_exception", "seqNo [0]. but no document was found"), Result.MISSING),
            (404, error("index_not_found_exception"), Result.MISSING),
            (404, {"result": "not_found"}, Result.MISSING),
        ],
    )
    def test_a_lost_race_is_a_result_without_an_error(self, status: int, body: dict[str, Any], result: Result) -> None:
        """
        Conflicts and missing documents are normal.
        """
        ((found, version, problem),) = answers.outcomes([{"index": {"status": status, **body}}], [OPERATION])

        assert (found, version, problem) == (result, None, None)

    @pytest.mark.parametrize(
        ("status", "body", "result", "kind", "says"),
        [
            (429, error("es_rejected_execution_exception"), Result.REFUSED, StoreRefused, "overloaded"),
            (
                429,
                error("cluster_block_exception", "disk usage exceeded flood-stage watermark"),
                Result.REFUSED,
                StoreRefused,
                "free space",
            ),
            (
                403,
                error("cluster_block_exception", "FORBIDDEN/8/index write (api)"),
                Result.REFUSED,
                StoreRefused,
                "index.blocks.write",
            ),
            (403, error("security_exception"), Result.REFUSED, PermissionDeniedError, "privilege"),
            (400, error("document_parsing_exception", "failed to parse field [x]"), Result.REFUSED, InvalidTask, "[x]"),
            (400, error("index_closed_exception", "closed"), Result.REFUSED, ConfigurationError, "closed"),
            (413, error("too_large"), Result.REFUSED, InvalidTask, "too_large"),
            (503, error("unavailable_shards_exception"), Result.UNKNOWN, StoreUnavailable, "503"),
            (500, error("null_pointer_exception"), Result.UNKNOWN, StoreUnavailable, "500"),
        ],
    )
    def test_what_was_refused_and_what_is_unknown(
        self, status: int, body: dict[str, Any], result: Result, kind: type[SchedulerError], says: str
    ) -> None:
        """
        Only a failure inside the server leaves the outcome open.
        """
        ((found, version, problem),) = answers.outcomes([{"index": {"status": status, **body}}], [OPERATION])

        assert (found, version) == (result, None)
        assert type(problem) is kind
        assert says in str(problem)

    def test_an_answer_that_lacks_items_leaves_all_unknown(self) -> None:
        """
        Outcomes are never guessed from a part of an answer.
        """
        item = {"index": {"status": 200, "_seq_no": 5, "_primary_term": 2}}

        assert [one.result for one in answers.outcomes([item], [OPERATION] * 2)] == [Result.UNKNOWN] * 2


class TestFailures:
    """
    From a failed request to a result and an error.
    """

    @pytest.mark.parametrize(
        ("status", "body", "result", "kind", "says"),
        [
            (400, MEDIA_TYPE, Result.REFUSED, ConfigurationError, "pip install 'unomi-scheduler[es8]'"),
            (400, error("parse_exception"), Result.REFUSED, ConfigurationError, "parse_exception"),
            (401, error("security_exception"), Result.REFUSED, ConfigurationError, "password"),
            (403, error("security_exception"), Result.REFUSED, PermissionDeniedError, "monitor"),
            (404, error("index_not_found_exception"), Result.REFUSED, ConfigurationError, "missing"),
            (406, "", Result.REFUSED, ConfigurationError, "OpenSearch"),
            (429, error("circuit_breaking_exception"), Result.REFUSED, StoreRefused, "overloaded"),
            (500, "", Result.UNKNOWN, StoreUnavailable, "500"),
            (502, "<html>", Result.UNKNOWN, StoreUnavailable, "502"),
            (503, error("cluster_block_exception", "no master"), Result.UNKNOWN, StoreUnavailable, "no master"),
        ],
    )
    def test_answers(self, status: int, body: Any, result: Result, kind: type[SchedulerError], says: str) -> None:
        """
        A whole request that is refused has done nothing; one that the server or a gateway failed may have.
        """
        found, problem = answers.failure(ApiError(message="", meta=meta(status), body=body))

        assert found is result
        assert type(problem) is kind
        assert says in str(problem)

    def test_another_product_is_named(self) -> None:
        """
        What answers without the product's header is not supported.
        """
        found, problem = answers.failure(UnsupportedProductError(message="", meta=meta(200), body={}))

        assert found is Result.REFUSED
        assert "OpenSearch" in str(problem)

    @pytest.mark.parametrize(
        ("cause", "result", "kind"),
        [
            (NewConnectionError(HTTPConnection("localhost"), "refused"), Result.REFUSED, StoreRefused),
            (ConnectTimeoutError(HTTPConnectionPool("localhost"), "slow"), Result.REFUSED, StoreRefused),
            (SSLError(ssl.SSLCertVerificationError("self-signed")), Result.REFUSED, ConfigurationError),
            (SSLError(ssl.SSLError("cut")), Result.UNKNOWN, StoreUnavailable),
            (ProtocolError("reset"), Result.UNKNOWN, StoreUnavailable),
            (None, Result.UNKNOWN, StoreUnavailable),
        ],
    )
    def test_no_answers(self, cause: Exception | None, result: Result, kind: type[SchedulerError]) -> None:
        """
        Where no connection came about nothing was sent; otherwise nobody knows.
        """
        failed: TransportError = Disconnected("failed")
        failed.__cause__ = cause
        found, problem = answers.failure(failed)

        assert found is result
        assert type(problem) is kind


class TestRecords:
    """
    From hits to records and cursors.
    """

    def test_a_hit_that_is_no_task_is_malformed_as_it_stands(self) -> None:
        """
        Its document is kept whole, with the reason.
        """
        hit = {
            "_index": "i",
            "_id": "a",
            "_seq_no": 1,
            "_primary_term": 1,
            "_source": {"itemId": "a", "period": "soon"},
        }
        record = answers.stored_task(hit).record

        assert isinstance(record, Malformed)
        assert record.document == hit["_source"]
        assert "period" in record.reason

    def test_junk_among_nodes_and_slots_is_passed_over(self) -> None:
        """
        A document that another program left there is neither.
        """
        hit = {"_index": "i", "_id": "a", "_seq_no": 1, "_primary_term": 1, "_source": {"x": 1}}

        assert answers.stored_heartbeat(hit) is None
        assert answers.stored_slot(hit) is None

    @pytest.mark.parametrize(
        ("sort", "cursor"),
        [([5, "a"], (5, "a")), (["a"], "a"), ([5, None], (5, queries.NO_ID)), ([None], queries.NO_ID)],
    )
    def test_a_cursor_is_what_a_hit_sorts_by(self, sort: list[Any], cursor: Any) -> None:
        """
        A document without an id sorts last, and a cursor can stand on it.
        """
        assert answers.cursor({"sort": sort}) == cursor


class TestQueries:
    """
    From queries to bodies.
    """

    def due(self, **over: Any) -> dict[str, Any]:
        """
        Return the body of a search for due work.
        """
        query = {
            "node_id": "n",
            "tags": (),
            "shares": ((frozenset({"a", "b"}), frozenset({3, 1})),),
            "task_types": frozenset({"a", "b"}),
            "due_before": 20,
            "overdue_before": 10,
            "limit": 5,
        }
        return queries.due(DueQuery(**{**query, **over}))

    def test_due_work(self) -> None:
        """
        Mine and named ones until `due_before`, anybody's until `overdue_before`, by due date and id.
        """
        body = self.due(tags=("y", "x"))
        soon, everyone = body["query"]["bool"]["filter"][2]["bool"]["should"]

        assert body["query"]["bool"]["filter"][:2] == [
            {"range": {"dueDate": {"lte": 20}}},
            {"terms": {"taskType": ["a", "b"]}},
        ]
        shared, *named = soon["bool"]["filter"][1]["bool"]["should"]
        assert shared["bool"]["filter"] == [
            {"bool": {"must_not": [{"exists": {"field": "onNodes"}}, {"exists": {"field": "onTags"}}]}},
            {"bool": {"should": [{"terms": {"partition": [1, 3]}}], "minimum_should_match": 1}},
        ]
        assert named == [{"term": {"onNodes": "n"}}, {"terms": {"onTags": ["x", "y"]}}]
        assert everyone["bool"]["filter"][0] == {"range": {"dueDate": {"lte": 10}}}
        assert body["sort"] == [{"dueDate": "asc"}, {"itemId": "asc"}]
        assert (body["size"], body["track_total_hits"], body["seq_no_primary_term"]) == (5, False, True)
        assert "search_after" not in body

    def test_a_share_of_some_types_names_them_and_a_whole_one_names_no_partition(self) -> None:
        """
        The clause is no longer than it must be.
        """
        types = frozenset({"a"})
        some, whole = self.due(shares=((types, frozenset({1})), (types, frozenset(range(256)))))["query"]["bool"][
            "filter"
        ][2]["bool"]["should"][0]["bool"]["filter"][1]["bool"]["should"][0]["bool"]["filter"][1]["bool"]["should"]

        assert some == {"bool": {"filter": [{"terms": {"partition": [1]}}, {"terms": {"taskType": ["a"]}}]}}
        assert whole == {"bool": {"filter": [{"exists": {"field": "partition"}}, {"terms": {"taskType": ["a"]}}]}}

    @pytest.mark.parametrize(("after", "values"), [((5, "a"), [5, "a"]), ((5, queries.NO_ID), [5, None])])
    def test_a_cursor_goes_on_behind(self, after: tuple[int, str], values: list[Any]) -> None:
        """
        A cursor on a document without an id names none.
        """
        assert self.due(after=after)["search_after"] == values

    def test_no_search_asks_for_more_than_the_server_gives(self) -> None:
        """
        A larger limit is answered by a page and a cursor.
        """
        assert self.due(limit=50_000)["size"] == 10_000

    def test_owned_work_leaves_out_known_incarnations(self) -> None:
        """
        Documents that name no incarnation stay in.
        """
        body = queries.owned(OwnedQuery(except_incarnations=frozenset({"y", "x"}), limit=5, after="a"))

        assert body["query"]["bool"]["filter"] == [{"exists": {"field": "lockOwner"}}]
        assert {"terms": {"ownerIncarnation": ["x", "y"]}} in body["query"]["bool"]["must_not"]
        assert body["search_after"] == ["a"]

    def test_no_search_for_work_meets_a_document_in_quarantine(self) -> None:
        """
        Except through a due date, which such a document does not have.
        """
        quarantined = {"exists": {"field": "quarantineReason"}}
        bodies = [
            queries.owned(OwnedQuery(except_incarnations=frozenset(), limit=5)),
            queries.waiting(on=None, limit=5, after=None),
            queries.unplaced(limit=5),
            queries.purgeable(before=5, limit=5),
            queries.page(TaskQuery()),
        ]

        assert all(quarantined in body["query"]["bool"]["must_not"] for body in bodies)

    @pytest.mark.parametrize("field", SORT_FIELDS)
    def test_every_order_of_the_port_is_one_of_a_mapped_field(self, field: str) -> None:
        """
        A field that is not mapped would fail the search.
        """
        (name, *_) = queries.page(TaskQuery(sort_by=field))["sort"][0]

        assert name in mapping.mappings_of(Kind.TASK)["properties"]

    def test_an_unknown_order_is_refused(self) -> None:
        """
        The message lists the orders there are.
        """
        with pytest.raises(InvalidTask, match="creation_date"):
            queries.page(TaskQuery(sort_by="colour"))

    @pytest.mark.parametrize(
        ("offset", "limit", "within"),
        [(9_950, 50, True), (9_951, 50, False), (10_000, 0, True), (10_001, 0, False), (0, -1, True), (1, -1, False)],
    )
    def test_what_one_search_can_answer(self, offset: int, limit: int, *, within: bool) -> None:
        """
        The server sorts no further than 10,000; what is behind is counted first.
        """
        assert queries.within_window(TaskQuery(offset=offset, limit=limit)) is within

    @pytest.mark.parametrize(("offset", "limit"), [(0, 10_001), (-1, 10)])
    def test_a_page_that_is_none_is_refused(self, offset: int, limit: int) -> None:
        """
        The server would answer with an error of its own.
        """
        with pytest.raises(InvalidTask, match="10,000"):
            queries.page(TaskQuery(offset=offset, limit=limit))

    @pytest.mark.parametrize(("least", "most"), [(0, 0), (5, 6), (-7, 600), (0, deep.RANGES), (0, 10**12), (1, 10**18)])
    def test_ranges_of_values_are_cut_without_gaps(self, least: int, most: int) -> None:
        """
        From the least value to behind the greatest, in no more parts than are asked for.
        """
        edges = deep._edges(least, most)

        assert (edges[0], edges[-1]) == (least, most + 1)
        assert len(edges) - 1 <= deep.RANGES
        assert all(start < end for start, end in pairwise(edges))


class TestBulk:
    """
    From writes to requests.
    """

    def test_a_batch_is_cut_in_order(self) -> None:
        """
        No part is larger than the limit, unless one operation alone is.
        """
        sizes = [4, 4, 3, 20, 1, 1]
        operations = [Operation(place, Action.CREATE, "i", b"x" * size) for place, size in enumerate(sizes)]

        cut = [[one.place for one in part] for part in bulk.parts(operations, limit=10)]
        assert cut == [[0, 1], [2], [3], [4, 5]]

    def test_a_write_names_the_index_of_its_condition(self) -> None:
        """
        Through the alias that belongs to that index alone, so that no other index is met.
        """
        condition = Version("x-scheduledtask-v1-a", 5, 2)
        written = bulk.operation(3, Write(Action.DELETE, make_task(id='a "b"'), condition), condition.index)

        assert written.lines == (
            b'{"delete":{"_index":"x-scheduledtask-v1-a-write","_id":"a \\"b\\"","if_seq_no":5,"if_primary_term":2}}\n'
        )

    @pytest.mark.parametrize(
        ("condition", "result"),
        [
            (Version("No Such Index!", 1, 1), Result.MISSING),
            (Version("i", -1, 1), Result.CONFLICT),
            (Version("i", 1, 0), Result.CONFLICT),
            (Version("i", 0, 1), None),
        ],
    )
    def test_a_version_no_document_can_have_is_not_sent(self, condition: Version, result: Result | None) -> None:
        """
        The server would refuse the whole batch for it.
        """
        outcome = bulk.refusal_of(Write(Action.REPLACE, make_task(), condition))

        assert (outcome and outcome.result) == result

    def test_records_of_each_kind_have_their_index(self) -> None:
        """
        A malformed task is a task's document still.
        """
        records: list[Record] = [make_task(), Malformed(id="a", reason="", document={}), make_heartbeat(), make_slot()]

        assert [bulk.kind_of(one) for one in records] == [Kind.TASK, Kind.TASK, Kind.NODE, Kind.SLOT]


class TestIndices:
    """
    Names, mappings and addresses.
    """

    def test_the_reference_copy_is_the_code_s(self) -> None:
        """
        `config/index-mappings.json` is made by `mapping.reference()`; make it again after a change.
        """
        copy = Path(__file__).parents[1] / "config" / "index-mappings.json"

        assert copy.read_text(encoding="utf-8") == mapping.reference()

    def test_an_index_of_the_alias_s_name_and_several_are_refused(self) -> None:
        """
        Each with what to do.
        """
        with pytest.raises(ConfigurationError, match="unomi-scheduler import --from-index context-scheduledtask"):
            indices.one_of("context-scheduledtask", {"context-scheduledtask": {}})
        with pytest.raises(ConfigurationError, match="a, b"):
            indices.one_of("context-scheduledtask", {"b": {}, "a": {}})
        assert indices.one_of("context-scheduledtask", {}) is None

    @pytest.mark.parametrize("mappings", [{}, {"_meta": None}, {"_meta": {"x": 1}}, {"_meta": {mapping.META_KEY: {}}}])
    def test_a_mapping_of_somebody_else_has_no_version(self, mappings: dict[str, Any]) -> None:
        """
        It is treated as older than all of ours.
        """
        assert mapping.version_of(mappings) is None

    @pytest.mark.parametrize(
        ("url", "hosts"),
        [
            ("http://a:9201,b", ["http://a:9201", "http://b:9200"]),
            ("https://u:p@a:9201,b:9202", ["https://a:9201", "https://b:9202"]),
            ("http://a/es/", ["http://a:9200/es"]),
            ("http://[::1]:9201,http://b:1", ["http://[::1]:9201", "http://b:1"]),
        ],
    )
    def test_addresses(self, url: str, hosts: list[str]) -> None:
        """
        Several hosts share a scheme; a port that is missing is 9200; credentials are taken off.
        """
        connection = Connection(url, ElasticsearchOptions(), timeout=1)
        connection.close()

        assert connection.hosts == hosts

    @pytest.mark.parametrize("url", ["a:9200", "ftp://a", "http://", "http://user:secret@a:port", "secret@a"])
    def test_what_is_no_address_is_refused_without_showing_a_password(self, url: str) -> None:
        """
        The message may end in a log.
        """
        with pytest.raises(ConfigurationError) as caught:
            ElasticsearchStore.from_url(url, index_prefix="context", options=ElasticsearchOptions())
        assert "secret" not in str(caught.value)

    @pytest.mark.parametrize("prefix", ["", "Context", "_a", "-a", "a b", "a,b", "a*", "x" * 101])
    def test_what_is_no_prefix_is_refused(self, prefix: str) -> None:
        """
        The server would refuse the index later, and less clearly.
        """
        with pytest.raises(ConfigurationError, match="index prefix"):
            ElasticsearchStore.from_url("http://a", index_prefix=prefix, options=ElasticsearchOptions())

    def test_replicas_are_the_server_s_choice_unless_given(self) -> None:
        """
        Nodes and slots have one shard whatever tasks have.
        """
        auto = mapping.creation_of("i", "a", Kind.TASK, ElasticsearchOptions(shards=3))["settings"]["index"]
        fixed = mapping.creation_of("i", "a", Kind.NODE, ElasticsearchOptions(shards=3, replicas=2))["settings"][
            "index"
        ]

        assert (auto["auto_expand_replicas"], auto["number_of_shards"]) == ("0-1", 3)
        assert (fixed["number_of_replicas"], fixed["number_of_shards"]) == (2, 1)


class FakeConnection:
    """
    A server that gives prepared answers by the beginning of the path, and raises those that are errors.
    """

    hosts = ("http://a:9200",)

    def __init__(self, prepared: dict[str, Any], *, authenticated: bool = False) -> None:
        self.authenticated = authenticated
        self._prepared = prepared

    def read(self, method: str, path: str, body: Any = None, **params: str) -> Any:
        """
        Return the prepared answer, or an empty one.
        """
        found: Any = next((value for start, value in self._prepared.items() if path.startswith(start)), {})
        if isinstance(found, Exception):
            raise found
        return found


class TestDoctor:
    """
    What doctor makes of a server's answers.
    """

    SERVER: ClassVar[dict[str, Any]] = {"/_nodes/_local": {"nodes": {"a": {"version": "9.2.0"}}}}

    def examine(self, prepared: dict[str, Any], *, authenticated: bool = False) -> StoreReport:
        """
        Return doctor's report on a server that answers so.
        """
        connection: Any = FakeConnection(self.SERVER | prepared, authenticated=authenticated)
        return doctor.examine(connection, indices.Indices("context", ElasticsearchOptions()))

    def test_a_server_without_our_indices_is_well(self) -> None:
        """
        They are made by the first start.
        """
        report = self.examine({})

        assert report.problems == ()
        assert report.facts["context-scheduledtask"].startswith("missing")

    @pytest.mark.parametrize(
        ("version", "says"), [("8.17.0", "upgrade it to 8.19"), ("7.17.0", "es8"), ("8.19.0", ""), ("odd", "")]
    )
    def test_a_server_that_is_too_old_is_named(self, version: str, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """
        Below the oldest supported, or below the client.
        """
        monkeypatch.setattr(doctor, "installed", lambda _: "8.19.3")
        report = self.examine({"/_nodes/_local": {"nodes": {"a": {"version": version}}}})

        assert bool(report.problems) is bool(says)
        assert says in " ".join(report.problems)

    def test_blocks_and_a_red_cluster_are_named(self) -> None:
        """
        Each with what to do.
        """
        report = self.examine(
            {
                "/_cluster/health": {"status": "red"},
                "/_cluster/settings": {"persistent": {"cluster.blocks.read_only": "true", "other": "1"}},
            }
        )

        assert ["allocation/explain" in report.problems[0], "cluster.blocks.read_only" in report.problems[1]] == [
            True
        ] * 2
        assert len(report.problems) == 2

    def test_missing_privileges_are_listed_once(self) -> None:
        """
        What every other probe was denied for the same cause is not repeated.
        """
        denied = answers.error_of(403, error("security_exception"))
        granted = {"cluster": {"monitor": False}, "index": {"context-scheduledtask*": {"manage": True, "write": False}}}
        report = self.examine(
            {"/_cluster": denied, "/context": denied, "/_security": granted, "/_nodes": denied}, authenticated=True
        )

        (problem,) = report.problems
        assert "monitor on the cluster, write on context-scheduledtask*" in problem

    def test_a_denial_without_a_list_is_said_once(self) -> None:
        """
        A server that does not tell privileges leaves the first denial.
        """
        denied = answers.error_of(403, error("security_exception"))
        report = self.examine({"/_cluster": denied, "/_security": denied, "/context": denied}, authenticated=True)

        (problem,) = report.problems
        assert "permission denied" in problem
        assert report.facts["privileges"] == "not checked"

    def test_a_server_that_does_not_understand_us_is_one_problem(self) -> None:
        """
        Every other probe would say the same.
        """
        report = self.examine(
            {"/": answers.error_of(400, MEDIA_TYPE), "/_nodes/_local": answers.error_of(400, MEDIA_TYPE)}
        )

        (problem,) = report.problems
        assert "es8" in problem
