"""
The rules, one module of tests for each.
"""
