"""The test servers: each takes one kind of upload, checks it, and keeps what arrived (Received)."""
import base64
import json
import threading
import time
import urllib.parse

import generated
import otlp
import pprof
import receivers
from generated import Refused
from received import Received
from web import Response, Server

KEPT_HEADERS = ("authorization", "x-scope-orgid", "content-type", "content-encoding", "user-agent", "te", "host", ":authority", "proxy-authorization",
                "expect")
PATHS = {
    "pyroscope": "/push.v1.PusherService/Push",
    "otlp_http": "/v1development/profiles",
    "otlp_grpc": "/opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export",
    "parca": "/parca.profilestore.v1alpha1.ProfileStoreService/WriteRaw",
}
DEBUGINFO = "/parca.debuginfo.v1alpha1.DebuginfoService/"
INVALID, EXHAUSTED, UNIMPLEMENTED = 3, 8, 12


class Wrong(Refused):
    """The request around the body: path, headers, framing. With an HTTP status."""

    def __init__(self, status, why):
        super().__init__(why)
        self.status = status


def _grpc_messages(body, encoding="identity"):
    """The messages of a stream. encoding: of frames that are compressed; Parca's must not be."""
    messages = []
    while body:
        if len(body) < 5 or len(body) < 5 + int.from_bytes(body[1:5], "big"):
            raise Refused("gRPC: a frame is cut off")
        size = int.from_bytes(body[1:5], "big")
        message = body[5:5 + size]
        if body[0]:
            if body[0] != 1 or encoding != "gzip" or not message.startswith(pprof.GZIP):
                raise Refused(f"gRPC: the frame's flag is {body[0]}, its encoding {encoding}")
            message = pprof.inflate(message)
        messages.append(message)
        body = body[5 + size:]
    return messages


def grpc_frame(message):
    return b"\0" + len(message).to_bytes(4, "big") + message


def grpc_error(status, message):
    """Trailers only, as servers answer that have no message."""
    return Response(200, [("content-type", "application/grpc"), ("grpc-status", str(status)), ("grpc-message", urllib.parse.quote(message))])


class Sink:
    """kind: pyroscope, parca, otlp_http, otlp_grpc, http. Settings may be changed while it runs; bearer, basic and tenant are demanded when set."""

    def __init__(self, kind, limits=None, path_prefix="", **options):
        self.kind = kind
        self.limits = limits or receivers.Limits()
        self.path_prefix = path_prefix
        self.bearer = self.basic = self.tenant = None
        self.partial = None  # (rejected_profiles, message) of OTLP's answers
        self.received = Received()
        self.debuginfo = Debuginfo()
        self.handlers = {}  # path -> function(request), before all else
        self.server = Server(self.handle, **options)
        self.port = self.server.port

    grpc = property(lambda self: self.kind in ("parca", "otlp_grpc"))

    def url(self, host="127.0.0.1"):
        scheme = "https" if self.server.tls else "http"
        return f"{scheme}://{host}:{self.port}{self.path_prefix}"

    def argument(self, port=None, host="127.0.0.1"):
        """As --upload takes it; port: the proxy's in front."""
        port = port or self.port
        tls = bool(self.server.tls)
        if self.kind == "otlp_grpc":
            return f"otlp={'grpcs' if tls else 'grpc'}://{host}:{port}"
        if self.kind == "parca":
            return f"parca={'https' if tls else 'http'}://{host}:{port}"
        kind = {"otlp_http": "otlp"}.get(self.kind, self.kind)
        return f"{kind}={'https' if tls else 'http'}://{host}:{port}{self.path_prefix}"

    def stop(self):
        self.server.stop()

    def handle(self, request):
        if request.path in self.handlers:
            return self.handlers[request.path](request)
        if request.path == "/debug/received":
            return Response(200, [("Content-Type", "application/json")], json.dumps(self.received.listing(), indent=1).encode())
        if request.path.startswith(DEBUGINFO) and self.kind == "parca":
            return self.debuginfo.handle(request)
        number = self.received.request({
            "path": request.path, "query": request.query, "bytes": len(request.body), "version": request.version, "tls": request.tls,
            "connection": request.connection, "client": request.client,
            "headers": {name: request.headers[name] for name in KEPT_HEADERS if name in request.headers}})
        try:
            self.authorize(request)
            parts = self.parts(request)
            self.received.parts(number, parts)
            self.received.answered(number, 200)
            return self.success()
        except Refused as refused:
            self.received.answered(number, "refused", str(refused))
            return self.failure(refused)

    def authorize(self, request):
        given = request.headers.get("authorization")
        if self.bearer is not None and given != f"Bearer {self.bearer}":
            raise Wrong(401, "invalid token")
        if self.basic is not None and given != "Basic " + base64.b64encode(self.basic.encode()).decode():
            raise Wrong(401, "invalid user or password")
        if self.tenant is not None and request.headers.get("x-scope-orgid") != self.tenant:
            raise Wrong(401, "no org id")

    def parts(self, request):
        if request.method != "POST":
            raise Wrong(405, f"method {request.method} not allowed")
        wanted = PATHS.get(self.kind)
        if wanted and request.path != self.path_prefix + wanted:
            raise Wrong(404, f"404 page not found: {request.path}")
        kind = request.headers.get("content-type", "")
        if self.grpc:
            return self.grpc_parts(request, kind)
        expected = {"pyroscope": "application/proto", "otlp_http": "application/x-protobuf", "http": "application/octet-stream"}[self.kind]
        if kind != expected:
            raise Wrong(415, f"content-type '{kind}', not '{expected}'")
        body = request.body
        encoding = request.headers.get("content-encoding", "identity")
        if encoding == "gzip" and self.kind != "http":
            if not body.startswith(pprof.GZIP):
                raise Wrong(400, "content-encoding is gzip, the body is not")
            body = pprof.inflate(body)
        elif encoding != "identity":
            raise Wrong(415, f"content-encoding '{encoding}'")
        if self.kind == "http":
            return receivers.plain(body, self.limits, request.query)
        return (otlp.receive if self.kind == "otlp_http" else receivers.pyroscope)(body, self.limits)

    def grpc_parts(self, request, kind):
        if request.version != "2":
            raise Wrong(505, "gRPC needs HTTP/2")
        if kind not in ("application/grpc", "application/grpc+proto"):
            raise Wrong(415, f"content-type '{kind}'")
        if request.headers.get("te") != "trailers":
            raise Refused("no 'te: trailers'")
        messages = _grpc_messages(request.body, request.headers.get("grpc-encoding", "identity") if self.kind == "otlp_grpc" else "identity")
        if len(messages) != 1:
            raise Refused(f"{len(messages)} messages in a unary call")
        return (otlp.receive if self.kind == "otlp_grpc" else receivers.parca)(messages[0], self.limits)

    def success(self):
        message = b""
        if self.partial and self.kind.startswith("otlp"):
            answer = generated.otlp.ExportProfilesServiceResponse()
            answer.partial_success.rejected_profiles, answer.partial_success.error_message = self.partial[0], self.partial[1].encode()
            message = answer.SerializeToString()
        if self.grpc:
            return Response(200, [("content-type", "application/grpc")], grpc_frame(message), [("grpc-status", "0"), ("grpc-message", "")])
        kind = {"pyroscope": "application/proto", "otlp_http": "application/x-protobuf"}.get(self.kind, "text/plain")
        return Response(200, [("Content-Type", kind)], message)

    def failure(self, refused):
        limit = isinstance(refused, receivers.LimitExceeded)
        status = getattr(refused, "status", 413 if limit and self.kind == "otlp_http" else 400)
        if self.grpc and status in (400, 404, 401):
            return grpc_error({400: EXHAUSTED if limit else INVALID, 404: UNIMPLEMENTED, 401: 16}[status], str(refused))
        return error_response(self.kind, status, str(refused))


def error_response(kind, status, message, headers=()):
    """In the clothes of the kind of server."""
    if kind == "pyroscope":
        return Response(status, [("Content-Type", "application/json"), *headers],
                        json.dumps({"code": "invalid_argument" if status == 400 else "unknown", "message": message}, separators=(",", ":")).encode())
    if kind == "otlp_http":
        body = generated.otlp.Status(code=status, message=message.encode()).SerializeToString()
        return Response(status, [("Content-Type", "application/x-protobuf"), *headers], body)
    return Response(status, [("Content-Type", "text/plain"), *headers], (message + "\n").encode())


class Debuginfo:
    """Parca's DebuginfoService: what was uploaded, how often, how fast, how many at once."""

    def __init__(self):
        self.lock = threading.Lock()
        self.calls = []  # (time, name, build id)
        self.files = {}  # build id -> bytes
        self.finished = set()
        self.open, self.open_max = set(), 0
        self.known = set()  # build ids that the server wants nothing of
        self.forgets = False  # uploads that did not end, when they are begun again

    def handle(self, request):
        name = request.path[len(DEBUGINFO):]
        types = generated.parca
        try:
            if request.version != "2" or request.headers.get("te") != "trailers":
                raise Refused("not gRPC over HTTP/2 with trailers")
            messages = _grpc_messages(request.body)
            if name != "Upload" and len(messages) != 1:
                raise Refused(f"{len(messages)} messages in a unary call")
            if name == "Upload":
                answer = self.upload([generated.parse(types.UploadRequest, message) for message in messages])
            elif name in ("ShouldInitiateUpload", "InitiateUpload", "MarkUploadFinished"):
                answer = getattr(self, name)(generated.parse(getattr(types, name + "Request"), messages[0]))
            else:
                return grpc_error(UNIMPLEMENTED, f"unknown method {name}")
        except Refused as refused:
            return grpc_error(INVALID, str(refused))
        return Response(200, [("content-type", "application/grpc")], grpc_frame(answer.SerializeToString()), [("grpc-status", "0")])

    def call(self, name, build_id):
        build_id = build_id.decode("ascii", "replace")
        if not receivers.HEX.fullmatch(build_id):
            raise Refused(f"build id is not hex: '{build_id}'")
        self.calls.append((time.monotonic(), name, build_id))
        return build_id

    def ShouldInitiateUpload(self, request):
        with self.lock:
            build_id = self.call("ShouldInitiateUpload", request.build_id)
            wanted = build_id not in self.finished and build_id not in self.known
            return generated.parca.ShouldInitiateUploadResponse(should_initiate_upload=wanted, reason=b"wanted" if wanted else b"exists already")

    def InitiateUpload(self, request):
        with self.lock:
            build_id = self.call("InitiateUpload", request.build_id)
            if build_id in self.open and not self.forgets:
                raise Refused("an upload of it is under way")
            if request.size <= 0:
                raise Refused("no size")
            self.open.add(build_id)
            self.open_max = max(self.open_max, len(self.open))
            answer = generated.parca.InitiateUploadResponse()
            instructions = answer.upload_instructions
            instructions.build_id, instructions.upload_id, instructions.strategy = request.build_id, b"upload-" + request.build_id, 1
            instructions.type = request.type
            self.files[build_id] = None, request.size
            return answer

    def upload(self, messages):
        with self.lock:
            if not messages or messages[0].WhichOneof("data") != "info":
                raise Refused("Upload: the first message is not the info")
            build_id = self.call("Upload", messages[0].info.build_id)
            if build_id not in self.open or messages[0].info.upload_id != b"upload-" + build_id.encode():
                raise Refused("Upload: of nothing that was initiated")
            chunks = [message.chunk_data for message in messages[1:]]
            if any(message.WhichOneof("data") != "chunk_data" for message in messages[1:]) or max(map(len, chunks), default=0) > 4 << 20:
                raise Refused("Upload: not chunks, or too large ones")
            data = b"".join(chunks)
            if len(data) != self.files[build_id][1] or not data.startswith(b"\x7fELF"):
                raise Refused(f"Upload: {len(data)} bytes, {self.files[build_id][1]} were announced; or no ELF file")
            self.files[build_id] = data, len(data)
            return generated.parca.UploadResponse(build_id=build_id.encode(), size=len(data))

    def MarkUploadFinished(self, request):
        with self.lock:
            build_id = self.call("MarkUploadFinished", request.build_id)
            if build_id not in self.open or self.files[build_id][0] is None:
                raise Refused("MarkUploadFinished: nothing was uploaded")
            self.open.discard(build_id)
            self.finished.add(build_id)
            return generated.parca.MarkUploadFinishedResponse()
