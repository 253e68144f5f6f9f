"""
Tasks, heartbeats, slots and notes in Elasticsearch 8.19+ and 9.x: the only package that knows the client.

    store       the port's verbs, each a few lines
    requests    one client: hosts, credentials, time-out, and what a failure means
    indices     which concrete index stands behind each alias; creates and upgrades them
    mapping     what the indices look like
    bulk        writes → `_bulk` bodies
    queries     searches → bodies
    changes     what was written since, by `_seq_no`
    history     the indices of the history, one a month
    answers     answers → outcomes, records, errors
    doctor      what may be wrong
    importing   takes the tasks over from an index of Apache Unomi
    snapshot    all documents of an index as they were at one moment
"""

from .store import ElasticsearchStore as ElasticsearchStore

__all__ = ["ElasticsearchStore"]
