"""
The files that pages are made of: style, scripts. Read once; their names change with their content.
"""

from __future__ import annotations

from importlib import resources

import falcon

_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".txt": "text/plain",
    ".svg": "image/svg+xml",
}
_CACHE = "public, max-age=3600"


class StaticFile:
    """
    `/static/{name}`.
    """

    def __init__(self) -> None:
        folder = resources.files("unomi_rest.dashboard") / "static"
        self._files = {entry.name: entry.read_bytes() for entry in folder.iterdir() if _type_of(entry.name)}

    def on_get(self, req: falcon.Request, resp: falcon.Response, name: str) -> None:
        """
        Answer a file.
        """
        if name not in self._files:
            raise falcon.HTTPNotFound(title="Not found", description=f"There is no file {name!r:.80}")
        resp.content_type = _type_of(name)
        resp.data = self._files[name]
        resp.set_header("Cache-Control", _CACHE)


def _type_of(name: str) -> str:
    return next((kind for end, kind in _TYPES.items() if name.endswith(end)), "")
