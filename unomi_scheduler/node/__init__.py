"""
The node: a step machine without threads, clocks or I/O (`core` and its modules), and the thin shell that drives it
(`shell`).
"""
