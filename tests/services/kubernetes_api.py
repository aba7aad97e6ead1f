"""As much of Kubernetes as Snakemake asks: an interface that notes jobs, each of which fails."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import Any

import yaml


class Cluster:
    """Listens on loopback while the block runs.

    Attributes:
        jobs: what was asked for, as plain data.
        others: method and path of all other calls.
    """

    def __init__(self, folder: Path) -> None:
        self.jobs: list[dict[str, Any]] = []
        self.others: list[str] = []
        cluster = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if self.path.endswith("/jobs"):
                    cluster.jobs.append(body)
                else:
                    cluster.others.append(f"POST {self.path}")
                self._answer(201, body)

            def do_GET(self) -> None:
                cluster.others.append(f"GET {self.path}")
                self._answer(200, {"items": [], "status": {"failed": 1}})

            def do_DELETE(self) -> None:
                cluster.others.append(f"DELETE {self.path}")
                self._answer(200, {})

            def _answer(self, code: int, body: dict[str, Any]) -> None:
                text = json.dumps(body).encode()
                self.send_response(code)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.config = folder / "kubeconfig"
        place = f"http://127.0.0.1:{self.server.server_port}"
        known = {
            **{"apiVersion": "v1", "kind": "Config", "current-context": "here"},
            "clusters": [{"name": "here", "cluster": {"server": place}}],
            "users": [{"name": "me", "user": {}}],
            "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me"}}],
        }
        self.config.write_text(yaml.safe_dump(known), encoding="utf-8")
        self.thread = Thread(target=self.server.serve_forever, daemon=True)

    def __enter__(self) -> Cluster:
        self.thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.server.shutdown()
        self.server.server_close()
