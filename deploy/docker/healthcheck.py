#!/opt/unomi/bin/python -SE
"""
Ask the process in this container how it is: exit 0 when it answers 200, else 1 with the reason.

    unomi-health [PATH] [PORT]     by default /livez on 8181 (serve, api), else on 8182 (node)
"""

from __future__ import annotations

import sys
from urllib.error import HTTPError
from urllib.request import ProxyHandler, build_opener

PORTS = (8181, 8182)


def main(path: str = "/livez", *ports: str) -> int:
    """
    Return the exit code.
    """
    said = []
    # A proxy that the environment names must not be asked for this machine's own address.
    opener = build_opener(ProxyHandler({}))
    for port in ports or PORTS:
        try:
            with opener.open(f"http://127.0.0.1:{port}{path}", timeout=4):
                return 0
        except HTTPError as error:
            said.append(f"{port}: {error.code} {error.read(500).decode(errors='replace')}")
        except OSError as error:
            said.append(f"{port}: {error}")
    print("; ".join(said), file=sys.stderr)  # noqa: T201 - what a person reads in the engine's list
    return 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
