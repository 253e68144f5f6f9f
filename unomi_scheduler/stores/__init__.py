"""
The stores: one protocol (`ports.TaskStore`), three adapters, chosen by URL in `stores.opening`.
"""
