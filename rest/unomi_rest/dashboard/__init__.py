"""
The dashboard: pages for people, made on the server from what REST tells, kept fresh by htmx, usable without JavaScript.
"""
