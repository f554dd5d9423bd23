"""A receiver of messages on loopback."""

import contextlib
import http.server
import json
import threading
from collections.abc import Iterator


class Webhook(http.server.BaseHTTPRequestHandler):
    """Keeps what is posted to it."""

    received: list[dict[str, str]]

    def do_POST(self) -> None:
        self.received.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_arguments: object) -> None: ...


@contextlib.contextmanager
def listening() -> Iterator[tuple[str, list[dict[str, str]]]]:
    """The URL for `PLANT_ALERT_URL`, and the messages that it has received."""
    handler = type("OwnWebhook", (Webhook,), {"received": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"json://127.0.0.1:{server.server_port}/", handler.received
    server.shutdown()
    server.server_close()
