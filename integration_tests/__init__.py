"""
Tests on a real Elasticsearch, which the suite finds or starts by itself.
"""
