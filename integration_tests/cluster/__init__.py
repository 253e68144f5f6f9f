"""
Clusters of real processes on Elasticsearch.
"""
