"""Answers every request with a greeting: PORT says where to listen, GREETING what to say."""

import os
import signal
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Hello(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        greeting = os.environ.get("GREETING", "Hello from PaaSTech!")
        body = f"{greeting}\nYou asked for {self.path}\n".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_GET


if __name__ == "__main__":
    port = int(os.environ.get("PORT", "8080"))
    print(f"listening on port {port}")
    # As PID 1 it ignores the signal to stop unless it says what to do.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    ThreadingHTTPServer(("0.0.0.0", port), Hello).serve_forever()
