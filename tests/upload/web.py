"""A web server for the tests: HTTP/1.1 and HTTP/2 (prior knowledge, or chosen by ALPN under TLS), with trailers, and with every bad manner that a
client must bear. One thread for each connection. python3-h2 does the framing of HTTP/2; the rest is here."""
import dataclasses
import os
import socket
import ssl
import struct
import threading
import time
import urllib.parse

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions

BODY_MAX = 256 << 20
PREFACE = b"PRI * HTTP/2.0"
REASONS = {100: "Continue", 200: "OK", 301: "Moved Permanently", 302: "Found", 307: "Temporary Redirect", 400: "Bad Request", 401: "Unauthorized"}


@dataclasses.dataclass
class Request:
    method: str
    path: str
    query: dict
    headers: dict  # names in lower case
    body: bytes
    version: str  # "1.1", "2"
    tls: bool
    connection: int
    client: str = ""  # subject of the client's certificate


@dataclasses.dataclass
class Response:
    status: int = 200
    headers: list = dataclasses.field(default_factory=list)
    body: bytes = b""
    trailers: list = None


@dataclasses.dataclass
class Fault:
    """What a request gets instead of an answer, or before it (taken: the request is handled first, then its answer goes wrong).

    kind: status (response), mute, reset, endless, slow, half, garbage, huge_headers, flood_1xx, goaway, rst_stream, no_trailers, delay (seconds)."""
    kind: str
    response: Response = None
    taken: bool = False
    seconds: float = 0


class Ended(Exception):
    """The connection is over."""


class Server:
    """handler(request) -> Response; observe(request) -> context is called first, answered(context, response or None) last."""

    def __init__(self, handler, certificate=None, client_ca=None, port=0):
        self.handler = handler
        self.faults = []  # taken from the front, one for a request
        self.fault_always = None
        self.accepted = 0
        self.open = set()
        self.stopping = False
        self.tls = None
        if certificate:
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls.load_cert_chain(*certificate)
            self.tls.set_alpn_protocols(["h2", "http/1.1"])
            if client_ca:
                self.tls.load_verify_locations(client_ca)
                self.tls.verify_mode = ssl.CERT_REQUIRED
        self.listener = socket.create_server(("127.0.0.1", port), backlog=1024)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def stop(self):
        """Nobody listens afterwards, and all connections are reset."""
        self.stopping = True
        self.listener.close()
        self.drop()

    def drop(self):
        for connection in list(self.open):
            reset(connection)

    def _accept(self):
        while not self.stopping:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.accepted += 1
            threading.Thread(target=self._serve, args=(connection, self.accepted), daemon=True).start()

    def _serve(self, connection, number):
        self.open.add(connection)
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.tls:
                plain = connection
                connection = self.tls.wrap_socket(connection, server_side=True)
                self.open.discard(plain)
                self.open.add(connection)
            first = connection.recv(1 << 16)
            link = (Http2 if first.startswith(PREFACE[:len(first)]) and first else Http1)(self, connection, number, first)
            link.run()
        except (Ended, OSError, h2.exceptions.ProtocolError):
            pass
        finally:
            self.open.discard(connection)
            connection.close()

    def next_fault(self, request):
        if callable(self.fault_always):
            return self.fault_always(request)
        return self.faults.pop(0) if self.faults else self.fault_always

    def respond(self, request):
        """(response, fault)"""
        fault = self.next_fault(request)
        if fault is None or fault.taken or fault.kind in ("delay", "no_trailers"):
            response = self.handler(request)
            if fault and fault.seconds:
                time.sleep(fault.seconds)
            return response, None if fault and fault.kind == "delay" else fault
        return fault.response or Response(), fault


def reset(connection):
    """RST instead of FIN."""
    try:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.shutdown(socket.SHUT_RD)
    except OSError:
        pass
    connection.close()


def _path(target):
    parts = urllib.parse.urlsplit(target)
    return parts.path, dict(urllib.parse.parse_qsl(parts.query, keep_blank_values=True))


def _client(connection):
    certificate = connection.getpeercert() if isinstance(connection, ssl.SSLSocket) else None
    return "/".join(value for part in certificate.get("subject", ()) for _, value in part) if certificate else ""


class Http1:
    def __init__(self, server, connection, number, first):
        self.server, self.connection, self.number, self.buffer = server, connection, number, first

    def run(self):
        while True:
            head = self.until(b"\r\n\r\n").decode("latin-1").split("\r\n")
            method, target, _ = head[0].split(" ")
            headers = {}
            for line in head[1:]:
                name, _, value = line.partition(":")
                name, value = name.lower(), value.strip()
                headers[name] = f"{headers[name]}, {value}" if name in headers else value
            if headers.get("expect") == "100-continue":
                self.connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            path, query = _path(target)
            request = Request(method, path, query, headers, self.body(headers), "1.1", bool(self.server.tls), self.number,
                              _client(self.connection))
            response, fault = self.server.respond(request)
            if fault and fault.kind not in ("status", "no_trailers"):
                self.misbehave(fault, response)
                raise Ended
            self.send(response)
            if headers.get("connection", "").lower() == "close":
                raise Ended

    def fill(self):
        data = self.connection.recv(1 << 16)
        if not data:
            raise Ended
        self.buffer += data

    def until(self, end):
        while end not in self.buffer:
            if len(self.buffer) > 1 << 20:
                raise Ended
            self.fill()
        data, self.buffer = self.buffer.split(end, 1)
        return data

    def exactly(self, n):
        parts = [self.buffer]
        have = len(self.buffer)
        while have < n:
            data = self.connection.recv(1 << 18)
            if not data:
                raise Ended
            parts.append(data)
            have += len(data)
        joined = b"".join(parts)
        self.buffer = joined[n:]
        return joined[:n]

    def body(self, headers):
        if headers.get("transfer-encoding", "").lower() == "chunked":
            chunks = []
            while True:
                size = int(self.until(b"\r\n").split(b";")[0], 16)
                chunks.append(self.exactly(size))
                if not size:
                    while self.until(b"\r\n"):
                        pass
                    return b"".join(chunks)
                self.until(b"\r\n")
        size = int(headers.get("content-length", 0))
        if size > BODY_MAX:
            raise Ended
        return self.exactly(size)

    def head(self, response, length):
        lines = [f"HTTP/1.1 {response.status} {REASONS.get(response.status, 'Other')}"]
        lines += [f"{name}: {value}" for name, value in response.headers]
        lines += [f"Content-Length: {length}"] if length is not None else ["Connection: close"]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")

    def send(self, response):
        self.connection.sendall(self.head(response, len(response.body)) + response.body)

    def misbehave(self, fault, response):
        send = self.connection.sendall
        if fault.kind == "mute":
            self.wait_for_end()
        elif fault.kind == "reset":
            reset(self.connection)
        elif fault.kind == "half":
            send(self.head(response, len(response.body) + 1000) + response.body)
            self.connection.shutdown(socket.SHUT_WR)
        elif fault.kind in ("endless", "slow"):
            send(self.head(response, None if fault.kind == "endless" else 1 << 30))
            while True:
                send(b"x" * (65536 if fault.kind == "endless" else 1))
                time.sleep(0.01 if fault.kind == "endless" else 0.2)
        elif fault.kind == "garbage":
            send(os.urandom(4096))
        elif fault.kind == "huge_headers":
            send(b"HTTP/1.1 %d Other\r\n" % response.status)
            for i in range(1 << 16):
                send(b"X-%d: %s\r\n" % (i, b"y" * 1000))
        elif fault.kind == "flood_1xx":
            while True:
                send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 100)
                time.sleep(0.01)

    def wait_for_end(self):
        while self.connection.recv(1 << 16):
            pass


class Http2:
    def __init__(self, server, connection, number, first):
        self.server, self.connection, self.number, self.first = server, connection, number, first
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        self.streams = {}  # stream -> [headers, [data], bytes]
        self.reset = set()  # streams that the client has ended
        self.lock = threading.RLock()

    def flush(self):
        with self.lock:
            data = self.h2.data_to_send()
            if data:
                self.connection.sendall(data)

    def run(self):
        self.h2.initiate_connection()
        self.h2.increment_flow_control_window(1 << 24)
        self.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 1 << 22})
        self.flush()
        self.feed(self.first)
        while True:
            self.feed(self.connection.recv(1 << 17))

    def feed(self, data):
        if not data:
            raise Ended
        with self.lock:
            events = self.h2.receive_data(data)
        for event in events:
            self.event(event)
        self.flush()

    def event(self, event):
        if isinstance(event, h2.events.RequestReceived):
            self.streams[event.stream_id] = [event.headers, [], 0]
        elif isinstance(event, h2.events.DataReceived):
            with self.lock:
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            stream = self.streams[event.stream_id]
            stream[1].append(event.data)
            stream[2] += len(event.data)
            if stream[2] > BODY_MAX:
                raise Ended
        elif isinstance(event, h2.events.StreamEnded):
            headers, data, _ = self.streams.pop(event.stream_id)
            self.flush()
            self.request(event.stream_id, headers, b"".join(data))
        elif isinstance(event, h2.events.StreamReset):
            self.streams.pop(event.stream_id, None)
            self.reset.add(event.stream_id)
        elif isinstance(event, h2.events.ConnectionTerminated):
            raise Ended

    def request(self, stream, pairs, body):
        headers = {}
        for name, value in pairs:
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        path, query = _path(headers.get(":path", ""))
        request = Request(headers.get(":method", ""), path, query, headers, body, "2", bool(self.server.tls), self.number,
                          _client(self.connection))
        response, fault = self.server.respond(request)
        if fault and fault.kind not in ("status", "no_trailers"):
            self.misbehave(stream, fault, response)
            return
        self.send(stream, response, trailers=not fault or fault.kind != "no_trailers")

    def send(self, stream, response, trailers=True, end=True):
        last = response.trailers if trailers else None
        with self.lock:
            self.h2.send_headers(stream, [(":status", str(response.status)), *[(name.lower(), value) for name, value in response.headers]],
                                 end_stream=end and not response.body and not last)
        self.data(stream, response.body, end and not last)
        if last:
            with self.lock:
                self.h2.send_headers(stream, last, end_stream=True)
        self.flush()

    def data(self, stream, body, end):
        """Within the client's window; what does not fit waits for it."""
        while body and stream not in self.reset:
            with self.lock:
                room = min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size, len(body))
                if room > 0:
                    self.h2.send_data(stream, body[:room], end_stream=end and room == len(body))
                    body = body[room:]
            self.flush()
            if room <= 0:
                self.feed(self.connection.recv(1 << 17))

    def misbehave(self, stream, fault, response):
        if fault.kind == "reset":
            reset(self.connection)
            raise Ended
        if fault.kind == "goaway":
            self.h2.close_connection(h2.errors.ErrorCodes.ENHANCE_YOUR_CALM, last_stream_id=0)
            self.flush()
            raise Ended
        if fault.kind == "rst_stream":
            self.h2.reset_stream(stream, h2.errors.ErrorCodes.INTERNAL_ERROR)
            self.flush()
        elif fault.kind == "half":
            self.send(stream, response, trailers=False, end=False)
            raise Ended
        elif fault.kind in ("endless", "slow"):
            self.send(stream, Response(response.status, response.headers), trailers=False, end=False)
            self.go_on(stream, lambda: self.data(stream, b"x" * (8192 if fault.kind == "endless" else 1), False),
                       0.005 if fault.kind == "endless" else 0.2)
        elif fault.kind == "garbage":
            self.connection.sendall(os.urandom(4096))
            raise Ended
        elif fault.kind == "huge_headers":
            self.h2.send_headers(stream, [(":status", str(response.status)), *[(f"x-{i}", "y" * 1000) for i in range(2000)]])
            self.flush()
        elif fault.kind == "flood_1xx":
            self.go_on(stream, lambda: self.h2.send_headers(stream, [(":status", "103"), ("link", "</a>")]), 0.001)
        # mute: nothing; the connection goes on being read

    def go_on(self, stream, send, pause):
        """Until the client has had enough of this stream; the connection may go on."""
        self.connection.settimeout(pause)
        try:
            while stream not in self.reset:
                send()
                self.flush()
                try:
                    self.feed(self.connection.recv(1 << 17))
                except TimeoutError:
                    pass
        finally:
            self.connection.settimeout(None)
