#!/usr/bin/env python3
"""Serve the page while it is made, and in its tests: dev_server.py PORT BUNDLE-FOLDER ANSWERS STORE-FOLDER

ANSWERS is http://HOST:PORT: what hearth-web there says, page and all, with its headers. Or a program: the bundle, and answers from `build/tests/web/api_get -i STORE PATH?QUERY`. For tests: GET /test/... lets API requests wait or fail, see Faults. Prints "http://..." when it listens. PORT 0: any."""
import gzip
import http.server
import json
import os
import subprocess
import sys
import threading
import urllib.error
import urllib.parse
import urllib.request

CSP = ("default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'self'; "
       "frame-ancestors 'none'; require-trusted-types-for 'script'")
TYPES = {".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8"}


class Faults:
    """GET /test/delay?seconds=2 (at most, till /test/clear), /test/fail?status=503&error=TEXT&only=flame, /test/answer?only=status (body: the answer, POST), /test/clear, /test/log"""

    def __init__(self):
        self.lock = threading.Lock()
        self.cleared = threading.Event()
        self.clear()

    def clear(self):
        self.cleared.set()
        self.cleared = threading.Event()
        self.delay, self.fail, self.answers, self.log = 0.0, None, {}, []


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        if url.path.startswith("/test/"):
            return self.control(url)
        if url.path.startswith("/api/"):
            return self.api(url)
        if self.server.upstream:
            return self.send(*self.server.answer(self.server.store, self.path))
        name = "index.html" if url.path == "/" else url.path[1:]
        path = os.path.join(self.server.bundle, os.path.basename(name))
        if os.path.basename(name) != name or not os.path.isfile(path):
            return self.send(404, "text/plain", b"no such file\n")
        with open(path, "rb") as file:
            return self.send(200, TYPES.get(os.path.splitext(name)[1], "application/octet-stream"), file.read())

    do_POST = do_GET

    def control(self, url):
        faults, query = self.server.faults, dict(urllib.parse.parse_qsl(url.query))
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with faults.lock:
            if url.path == "/test/clear":
                faults.clear()
            elif url.path == "/test/delay":
                faults.delay = float(query["seconds"])
            elif url.path == "/test/fail":
                faults.fail = (int(query["status"]), query.get("error", "made to fail"), query.get("only", ""))
            elif url.path == "/test/answer":
                faults.answers[query["only"]] = body
            log = json.dumps(faults.log).encode()
        self.send(200, "application/json", log)

    def api(self, url):
        faults, what = self.server.faults, url.path.rsplit("/", 1)[1]
        with faults.lock:
            faults.log.append(self.path)
            delay, fail, fixed, cleared = faults.delay, faults.fail, faults.answers.get(what), faults.cleared
        if delay and what != "status":
            cleared.wait(delay)
        if fail and fail[2] in ("", what):
            return self.send(fail[0], "application/json", json.dumps({"error": fail[1]}).encode())
        if fixed is not None:
            return self.send(200, "application/json", fixed)
        return self.send(*self.server.answer(self.server.store, self.path))

    def send(self, status, content_type, body, filename="", upstream=None):
        try:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            if upstream:
                for name, value in upstream.items():
                    if name.lower() not in ("content-type", "content-length", "content-encoding", "connection", "transfer-encoding", "date", "server"):
                        self.send_header(name, value)
                # Beside the server's own: a text that became HTML would be an error.
                self.send_header("Content-Security-Policy", "require-trusted-types-for 'script'")
            else:
                self.send_header("Content-Security-Policy", CSP)
                self.send_header("X-Content-Type-Options", "nosniff")
                self.send_header("Referrer-Policy", "no-referrer")
                self.send_header("Cache-Control", "no-store")
            if filename:
                self.send_header("Content-Disposition", f'attachment; filename="{filename}"')
            if len(body) > 1000 and "gzip" in (self.headers.get("Accept-Encoding") or ""):
                body = gzip.compress(body, 1)
                self.send_header("Content-Encoding", "gzip")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def handle(self):
        try:
            super().handle()
        except ConnectionResetError:
            pass  # a browser that aborts

    def log_message(self, *_):
        pass


def from_program(program):
    def answer(store, path):
        done = subprocess.run([program, "-i", store, path], capture_output=True, timeout=60)
        head, _, body = done.stdout.partition(b"\n")
        words = head.decode(errors="replace").split()
        if len(words) < 4:
            return 500, "application/json", json.dumps({"error": done.stderr.decode(errors="replace").strip() or "api_get failed"}).encode()
        return int(words[0]), " ".join(words[1:-2]), body, words[-2] if words[-2] != "-" else ""
    return answer


def from_server(upstream):
    def answer(_, path):
        try:
            with urllib.request.urlopen(upstream + path, timeout=60) as response:
                return response.status, response.headers.get("Content-Type", ""), response.read(), "", response.headers
        except urllib.error.HTTPError as error:
            return error.code, error.headers.get("Content-Type", ""), error.read(), "", error.headers
    return answer


def main():
    port, bundle, api, store = sys.argv[1:5]
    server = http.server.ThreadingHTTPServer(("127.0.0.1", int(port)), Handler)
    server.daemon_threads = True
    server.bundle, server.store, server.faults = os.path.abspath(bundle), store, Faults()
    server.upstream = api if api.startswith("http://") else ""
    server.answer = from_server(api) if server.upstream else from_program(api)
    print(f"http://127.0.0.1:{server.server_address[1]}", flush=True)
    server.serve_forever()


main()
