#!/usr/bin/python3
"""hearth agent's page, over raw sockets: limits, who may see it, TLS, metrics, confinement; and that none of it disturbs sampling. Debian's python: prometheus_client is its package."""
import concurrent.futures
import contextlib
import gzip
import http.client
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import warnings

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "system"))
from harness import HEARTH, build, run, spawn, test, wait_for  # noqa: E402

warnings.filterwarnings("ignore", category=DeprecationWarning)  # of old TLS
TOKEN = "0123456789abcdef0123456789abcdef"


class Agent:
    """hearth agent with a page. arguments: behind the usual ones."""
    def __init__(self, *arguments, listen="127.0.0.1:0", window="1"):
        self.folder = tempfile.mkdtemp(dir=os.getcwd())
        self.log_path = os.path.join(self.folder, "log")
        environment = dict(os.environ, HEARTH_CONTROL=os.path.join(self.folder, "control.sock"))
        with open(self.log_path, "w") as log:
            self.process = subprocess.Popen([HEARTH, "agent", "--config", "", "--store", os.path.join(self.folder, "store"), "--window", window, "--window-jitter=false",
                                             "--listen", listen, *arguments], stderr=log, env=environment)

    def log(self):
        with open(self.log_path) as file:
            return file.read()

    def wait_for(self, pattern, seconds=100, times=1):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found = re.findall(pattern, self.log())
            if len(found) >= times:
                return found[-1]
            assert self.process.poll() is None, self.log()
            time.sleep(0.05)
        raise AssertionError(f"no {pattern!r} in: {self.log()}")

    def port(self, times=1):
        return int(self.wait_for(r"the page is at https?://\S+?:(\d+)/", times=times))

    def pids(self, name):
        """Of processes with that name that descend from this agent."""
        lines = subprocess.run(["ps", "-eo", "pid=,ppid=,comm="], capture_output=True, text=True, check=True).stdout.splitlines()
        processes = {int(pid): (int(parent), comm.strip()) for pid, parent, comm in (line.split(None, 2) for line in lines)}
        below = {self.process.pid}
        while more := {pid for pid, (parent, _) in processes.items() if parent in below} - below:
            below |= more
        return sorted(pid for pid in below if pid in processes and processes[pid][1] == name)

    def pid(self, name):
        """Of the only one: it may just be starting, or have children that work for it."""
        wait_for(lambda: len(self.pids(name)) == 1, 60, f"one {name}")
        return self.pids(name)[0]

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=90)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def connect(port, timeout=100):
    return socket.create_connection(("127.0.0.1", port), timeout=timeout)


def receive(sock):
    parts = []
    with contextlib.suppress(ConnectionResetError):
        while part := sock.recv(1 << 16):
            parts.append(part)
    return b"".join(parts)


def raw(port, request):
    """All that comes back for these bytes."""
    with connect(port) as sock:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            sock.sendall(request if isinstance(request, bytes) else request.encode())
        return receive(sock)


def get(port, target, headers=(), method="GET", body=None, context=None):
    """(status, headers, body)"""
    kind = http.client.HTTPSConnection if context else http.client.HTTPConnection
    connection = kind("127.0.0.1", port, timeout=100, **({"context": context} if context else {}))
    connection.request(method, target, body=body, headers=dict(headers))
    response = connection.getresponse()
    result = response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
    connection.close()
    return result


def status(reply):
    assert reply.startswith(b"HTTP/1.1 "), reply[:100]
    return int(reply[9:12])


shared, lock = None, threading.Lock()


def page():
    """An agent for tests that leave it as it is; two windows are stored."""
    global shared
    with lock:
        if not shared:
            spawn(build("busy.c", "busy", "-O2"), "600")  # an idle machine has windows without samples
            shared = Agent()
            shared.wait_for(r"window \d+ \(", times=2)
            # The first of them is all that a program did which has just begun; and windows of an overloaded machine may be empty.
            wait_for(lambda: json.loads(get(shared.port(), "/api/v1/flame")[2]).get("total"), 60, "samples in the store")
    return shared, shared.port()


def metrics(port, headers=()):
    from prometheus_client.parser import text_string_to_metric_families
    code, head, text = get(port, "/metrics", headers)
    assert code == 200 and head["content-type"].startswith("text/plain; version=0.0.4"), (code, head)
    return {(sample.name, *sample.labels.values()): sample.value for family in text_string_to_metric_families(text.decode()) for sample in family.samples}


@test("the page's API, health and metrics answer")
def answers():
    agent, port = page()
    assert get(port, "/healthz")[::2] == (200, b"ok\n")
    wait_for(lambda: get(port, "/readyz")[::2] == (200, b"ok\n"), 60, "it to be ready")
    code, head, body = get(port, "/api/v1/status")
    state = json.loads(body)["agent"]
    assert code == 200 and state["state"] == "sampling" and 0 < state["rate_hz"] <= 19 and state["window_s"] == 1 and state["pid"] == agent.process.pid, body
    assert "default-src 'none'" in head["content-security-policy"] and "'unsafe" not in head["content-security-policy"], head
    assert head["x-content-type-options"] == "nosniff" and head["x-frame-options"] == "DENY" and head["cache-control"] == "no-store", head
    assert not [name for name in head if name.startswith("access-control")], head
    code, head, body = get(port, "/api/v1/flame", {"Accept-Encoding": "gzip"})
    assert code == 200 and json.loads(gzip.decompress(body))["total"] > 0, head
    assert get(port, "/api/v1/flame", method="HEAD")[::2] == (200, b"")
    code, head, body = get(port, "/")
    assert code == 404 and b"built without" in body or b"<title>" in body, body[:200]


@test("metrics are what Prometheus and OpenMetrics read, and they add up")
def metrics_are_read():
    from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_families
    from prometheus_client.parser import text_string_to_metric_families
    _, port = page()
    code, head, text = get(port, "/metrics", {"Accept": "application/openmetrics-text; version=1.0.0"})
    assert code == 200 and head["content-type"].startswith("application/openmetrics-text; version=1.0.0"), head
    families = {family.name: family for family in open_families(text.decode())}
    assert families["hearth_window_seconds"].type == "histogram" and families["hearth_samples"].type == "counter", sorted(families)
    for family in text_string_to_metric_families(get(port, "/metrics")[2].decode()):
        assert family.documentation and family.type in ("counter", "gauge", "histogram"), family
    values = metrics(port)
    dropped = sum(value for key, value in values.items() if key[0] == "hearth_dropped_total")
    cut = sum(value for key, value in values.items() if key[0] == "hearth_truncated_total")
    assert values[("hearth_ticks_total",)] == values[("hearth_samples_total",)] + dropped > 0, values
    assert values[("hearth_samples_total",)] == values[("hearth_complete_total",)] + cut, values
    assert values[("hearth_window_seconds_count",)] == values[("hearth_windows_total",)] == values[("hearth_window_seconds_bucket", "+Inf")], values
    for process in ("agent", "names", "store", "web"):
        assert 0 < values[("hearth_resident_bytes", process)] < 128 << 20, values
    assert values[("hearth_resident_bytes", "web")] < 64 << 20, values
    for process in ("agent", "names", "store", "web", "query", "sampling"):
        assert ("hearth_cpu_seconds_total", process) in values, process
    assert values[("hearth_store_bytes",)] > 0 and values[("hearth_store_windows_total",)] >= 1, values


@test("what is no request of the page's own is refused")
def refuses():
    _, port = page()
    head = f"Host: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n"
    assert status(raw(port, f"GET /healthz HTTP/1.1\r\n{head}")) == 200
    assert status(raw(port, "GET /healthz HTTP/1.1\r\nHost: evil.example.com\r\nConnection: close\r\n\r\n")) == 421
    assert status(raw(port, f"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1.evil.example.com:{port}\r\nConnection: close\r\n\r\n")) == 421
    assert status(raw(port, "GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n")) == 400
    assert status(raw(port, f"GET /healthz HTTP/1.1\r\nHost: localhost\r\n{head}")) == 400
    assert status(raw(port, f"GET /api/v1/status HTTP/1.1\r\nOrigin: http://127.0.0.1:{port}\r\n{head}")) == 200
    for origin in ("http://evil.example.com", "null", f"http://localhost:{port}", f"http://127.0.0.1:{port + 1}", f"http://127.0.0.1:{port}.evil.example.com"):
        assert status(raw(port, f"GET /api/v1/status HTTP/1.1\r\nOrigin: {origin}\r\n{head}")) == 403, origin
    assert status(raw(port, f"GET /api/v1/status HTTP/1.1\r\nSec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors\r\nSec-Fetch-Dest: image\r\n{head}")) == 403
    assert status(raw(port, f"GET /api/v1/status HTTP/1.1\r\nSec-Fetch-Site: same-site\r\nSec-Fetch-Mode: cors\r\nSec-Fetch-Dest: empty\r\n{head}")) == 403
    assert status(raw(port, f"GET /healthz HTTP/1.1\r\nSec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\n{head}")) == 200
    for target in ("/../../etc/passwd", "/..%2f..%2fetc%2fpasswd", "/%2e%2e/%2e%2e/etc/passwd", "//etc/passwd", "/login.html", "/.git/config", "/api"):
        assert status(raw(port, f"GET {target} HTTP/1.1\r\n{head}")) == 404, target
    for target in ("/%", "/%4", "/%zz", "/api/v1/status?a=%", "/api/v1/status?a=%ff", "/api/v1/status?a=%0d%0aSet-Cookie:x", "/%00", "http://127.0.0.1/healthz", "*"):
        assert status(raw(port, f"GET {target} HTTP/1.1\r\n{head}")) == 400, target
    for method in ("PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "PROPFIND"):
        assert status(raw(port, f"{method} /api/v1/status HTTP/1.1\r\n{head}")) in (405, 501), method
    assert status(raw(port, f"POST /metrics HTTP/1.1\r\nContent-Length: 0\r\n{head}")) == 405


@test("sizes have limits, and what is half a request is none")
def sizes():
    _, port = page()
    head = f"Host: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n"
    assert status(raw(port, f"GET /{'a' * 9000} HTTP/1.1\r\n{head}")) == 414
    assert status(raw(port, f"GET /healthz?{'a=b&' * 100} HTTP/1.1\r\n{head}")) == 414
    assert status(raw(port, f"GET /healthz HTTP/1.1\r\nX: {'a' * 17000}\r\n{head}")) == 431
    for size in (40000, 200000):
        reply = raw(port, f"GET /healthz HTTP/1.1\r\nX: {'a' * size}\r\n{head}")
        assert not reply or status(reply) in (400, 413, 414, 431), reply[:100]
    reply = raw(port, f"GET /{'a' * 100000} HTTP/1.1\r\n{head}")
    assert not reply or status(reply) in (400, 414, 431), reply[:100]
    assert status(raw(port, f"POST /api/v1/status HTTP/1.1\r\nContent-Length: 10000000\r\n{head}")) == 413
    chunk = b"1000\r\n" + b"a" * 4096 + b"\r\n"
    reply = raw(port, f"POST /api/v1/status HTTP/1.1\r\nTransfer-Encoding: chunked\r\n{head}".encode() + chunk * 20 + b"0\r\n\r\n")
    assert not reply or status(reply) == 413, reply[:100]
    # What smuggles: two lengths, a length and chunks.
    for more in ("Content-Length: 5\r\nContent-Length: 6\r\n", "Content-Length: -1\r\n", "Content-Length: 99999999999999999999\r\n"):
        reply = raw(port, f"POST /api/v1/status HTTP/1.1\r\n{more}{head}hello")
        assert not reply or status(reply) >= 400, (more, reply[:100])
    for rubbish in (b"\0" * 100, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"a" * 200, b"GET\r\n\r\n", b"\r\n" * 50, b"GET / HTTP/9.9\r\n\r\n", b"A" * 100000):
        with connect(port, 2) as sock:
            with contextlib.suppress(OSError):
                sock.sendall(rubbish)
                sock.shutdown(socket.SHUT_WR)
                receive(sock)
    # Several at once on one connection, in order.
    one = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    query = "GET /api/v1/status HTTP/1.1\r\nHost: localhost\r\n\r\n"
    last = "GET /nothing HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    reply = raw(port, one + query + one + last)
    assert re.findall(rb"HTTP/1\.1 (\d+)", reply) == [b"200", b"200", b"200", b"404"], reply
    assert get(port, "/healthz")[0] == 200


@test("a client that leaves ends its query")
def leaves():
    _, port = page()

    def is_idle():
        values = metrics(port)
        return values[("hearth_web_current_queries", "running")] == values[("hearth_web_current_queries", "waiting")] == 0

    def leave(how):
        """Returns whether they left before they were answered, which is not for us to say."""
        before = metrics(port)[("hearth_web_queries_total", "cancelled")]
        clients = [connect(port) for _ in range(20)]
        for sock in clients:
            sock.sendall(b"GET /api/v1/flame?from=-1h HTTP/1.1\r\nHost: localhost\r\n\r\n")
        time.sleep(0.004)
        for sock in clients:
            if how == "RST":
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            sock.close()
        wait_for(is_idle, 60, "no query to run any more")
        return metrics(port)[("hearth_web_queries_total", "cancelled")] > before

    for how in ("FIN", "RST"):
        wait_for(lambda how=how: leave(how), 60, "queries that are cancelled")


def windows_of(agent):
    """[(end of the window by the store, ticks, missed)]"""
    return re.findall(r"window (\d+) \(.*?\): ticks=(\d+) samples=(\d+) dropped=(\d+)", agent.log())


@test("200 requests at once and 50 slow clients: sampling and windows are as before")
def load():
    agent, port = page()
    slow = []
    for i in range(50):
        sock = connect(port)
        sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: " if i % 2 else b"G")
        slow.append(sock)
    began = time.monotonic()
    drip, before = threading.Event(), metrics(port)

    def dripping():
        while not drip.wait(2):
            for sock in slow:
                with contextlib.suppress(OSError):
                    sock.send(b"a")

    threading.Thread(target=dripping, daemon=True).start()
    first = len(windows_of(agent))
    codes = {}
    targets = ["/api/v1/flame?from=-1h", "/api/v1/timeline?from=-1h&by=process", "/api/v1/functions", "/metrics", "/api/v1/labels", "/healthz"]

    def ask(number):
        try:
            return get(port, targets[number % len(targets)])[0]
        except OSError as error:
            return type(error).__name__

    with concurrent.futures.ThreadPoolExecutor(200) as pool:
        # Until windows have begun and ended in it: five when nobody takes the machine away.
        while len(windows_of(agent)) < first + 5 or time.monotonic() < began + 4:
            assert time.monotonic() < began + 60, "no windows"
            for code in pool.map(ask, range(200)):
                codes[code] = codes.get(code, 0) + 1
    took = time.monotonic() - began
    assert set(codes) <= {200, 503, "ConnectionResetError", "RemoteDisconnected", "BrokenPipeError"} and codes.get(200, 0) > 50, codes
    # All of the windows' ticks are in them, and none is lost.
    wait_for(lambda: len(windows_of(agent)) > first + 6, 60, "a window behind it")
    after, windows = metrics(port), windows_of(agent)[first:]
    counts = [tuple(map(int, row[1:])) for row in windows]
    assert all(ticks == samples + dropped for ticks, samples, dropped in counts) and sum(samples for _, samples, _ in counts) > 0, windows
    # But for those that came too late: the machine has other users. The rate is not looked at: what a hypervisor takes away may count as our CPU time, and lower it.
    for key in after:
        assert key[0] != "hearth_dropped_total" or key[1] == "missed" or after[key] == 0, (key, after[key])
    assert after[("hearth_store_lost_windows_total",)] == 0, after
    # Who drips a header is closed all the same, after ten seconds.
    for sock in slow:
        sock.settimeout(max(0.1, began + 60 - time.monotonic()))
        with contextlib.suppress(OSError):
            while sock.recv(4096):
                pass
    closed = time.monotonic() - began
    assert closed < 60, "slow clients are still there"
    drip.set()
    for sock in slow:
        sock.close()
    assert metrics(port)[("hearth_web_late_connections_total",)] >= 45, metrics(port)
    missed = after[("hearth_dropped_total", "missed")] - before[("hearth_dropped_total", "missed")]
    print(f"# measured: {sum(codes.values())} requests in {took:.1f} s: {codes}; {len(windows)} windows, {missed:.0f} ticks missed; "
          f"slow clients were closed after {closed:.1f} s", flush=True)


def status_of(pid):
    with open(f"/proc/{pid}/status") as file:
        return dict(line.split(":\t", 1) for line in file.read().splitlines() if ":\t" in line)


@test("hearth-web and hearth-query hold nothing")
def confined():
    agent, port = page()
    web, query = agent.pid("hearth-web"), agent.pid("hearth-query")
    for pid in (web, query):
        facts = status_of(pid)
        assert int(facts["CapEff"], 16) == int(facts["CapPrm"], 16) == int(facts["CapBnd"], 16) == 0, facts
        assert facts["Seccomp"] == "2" and facts["NoNewPrivs"] == "1", facts
        assert os.readlink(f"/proc/{pid}/ns/net") != os.readlink("/proc/self/ns/net")
        with open(f"/proc/{pid}/net/dev") as file:
            assert {line.split(":")[0].strip() for line in file.readlines()[2:]} <= {"lo"}, "it has a network"
    assert status_of(web)["Uid"].split() == ["65534"] * 4 and os.listdir(f"/proc/{web}/root/") == []
    assert status_of(query)["NSpid"].split()[-1] == "1"
    with open(f"/proc/{web}/maps") as file:
        maps = file.read()
    assert "libmicrohttpd" in maps and "libgnutls" in maps
    for pid in [agent.process.pid, query] + agent.pids("hearth-store") + agent.pids("hearth-keeper"):
        with open(f"/proc/{pid}/maps") as file:
            maps = file.read()
        assert "libmicrohttpd" not in maps and "libgnutls" not in maps, pid
    files = set()
    for fd in os.listdir(f"/proc/{web}/fd"):
        with contextlib.suppress(FileNotFoundError):  # a connection that is over
            files.add(os.readlink(f"/proc/{web}/fd/{fd}"))
    assert not [name for name in files if name.startswith("/") and not name.startswith(("/memfd:", "/dev/null"))], files


@test("hearth-web and hearth-query may die: they come back, and no window is lost")
def dies():
    with Agent() as agent:
        port = agent.port()
        agent.wait_for(r"window \d+ \(")
        os.kill(agent.pid("hearth-web"), signal.SIGKILL)
        agent.wait_for(r"hearth-web died \(signal 9\)")
        assert agent.port(times=2) == port and get(port, "/healthz")[0] == 200
        os.kill(agent.pid("hearth-query"), signal.SIGKILL)
        agent.wait_for(r"hearth-query died")
        assert agent.port(times=3) == port
        wait_for(lambda: get(port, "/api/v1/status")[0] == 200, 60, "an answer")
        code, _, body = get(port, "/api/v1/status")
        assert code == 200 and json.loads(body)["agent"]["windows_lost"] == 0, body
        with connect(port) as sock:
            sock.sendall(b"GET /api/v1/flame?from=-1h HTTP/1.1\r\nHost: localhost\r\n\r\n")
            began = time.monotonic()
            assert agent.stop() == 0 and time.monotonic() - began < 20, agent.log()  # not a query's half minute
        assert "identity=holds" in agent.log().splitlines()[-1], agent.log()
        with socket.socket() as again:
            again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            again.bind(("127.0.0.1", port))  # nobody has it any more


@test("a port that is taken costs the page only, until it is free")
def taken():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with Agent(listen=f"127.0.0.1:{port}") as agent:
            agent.wait_for("the port of the page is taken by something else; name another one with --listen PORT")
            agent.wait_for(r"window \d+ \(", times=2)
            other.close()
            assert agent.port() == port and get(port, "/readyz")[0] in (200, 503)
            assert agent.log().count("is taken") == 1, agent.log()
    with Agent(listen="none") as agent:
        agent.wait_for(r"window \d+ \(")
        assert "the page" not in agent.log() and not agent.pids("hearth-web")


def refused(*arguments):
    done = subprocess.run([HEARTH, "agent", "--config", "", "--store", os.path.abspath("refused"), *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode in (1, 2), done
    return done.stderr


def certificate(name):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.pem", "-days", "2",
                    "-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
    os.chmod(f"{name}.key", 0o600)


def write_token(path, text):
    with open(path, "w") as file:
        file.write(text)
    os.chmod(path, 0o600)


@test("beyond loopback: no page without a token and TLS, and it says how")
def needs_token():
    certificate("a")
    certificate("b")
    write_token("token", TOKEN + "\n")
    write_token("short", "abc\n")
    for listen in ("0.0.0.0:0", "*:0", "[::]:0", "192.0.2.1:7117"):
        text = refused("--listen", listen)
        assert "openssl rand -hex 32" in text and "--listen-cert FILE --listen-key FILE" in text and "ssh -L" in text, text
        text = refused("--listen", listen, "--listen-token", "token")
        assert "TLS" in text, text
        assert "token" in refused("--listen", listen, "--listen-cert", "a.pem", "--listen-key", "a.key")
    assert "belong together" in refused("--listen-cert", "a.pem")
    assert "not [HOST:]PORT" in refused("--listen", "localhost:http")
    assert "not [HOST:]PORT" in refused("--listen", "profiles.example.com:80")
    assert "without http://" in refused("--listen", "0", "--listen-host", "http://x")
    assert "16 characters" in refused("--listen", "0", "--listen-token", "short")
    assert "No such file" in refused("--listen", "0", "--listen-token", "missing")


@test("a token and TLS: who knows it may see, and only over TLS")
def token_and_tls():
    certificate("c")
    certificate("d")
    write_token("token2", TOKEN + "\n")
    with Agent("--listen-token", "token2", "--listen-cert", "c.pem", "--listen-key", "c.key", "--listen-host", "profiles.example.com", listen="0.0.0.0:0") as agent:
        port = agent.port()
        assert "https://0.0.0.0" in agent.log(), agent.log()
        context = ssl.create_default_context(cafile="c.pem")
        bearer = {"Authorization": f"Bearer {TOKEN}"}
        agent.wait_for(r"window \d+ \(")
        assert get(port, "/healthz", context=context)[0] == 200
        code, head, body = get(port, "/api/v1/status", context=context)
        assert code == 401 and head["www-authenticate"].startswith("Bearer") and b"token" in body, (code, head)
        assert get(port, "/api/v1/status", bearer, context=context)[0] == 200
        assert get(port, "/metrics", bearer, context=context)[0] == 200
        assert get(port, "/metrics", {"Authorization": "Bearer " + TOKEN[:-1] + "x"}, context=context)[0] == 401
        assert get(port, "/metrics", dict(bearer, Host="profiles.example.com"), context=context)[0] == 200
        assert get(port, "/metrics", dict(bearer, Host="10.1.2.3:99"), context=context)[0] == 200
        assert get(port, "/metrics", dict(bearer, Host="evil.example.com"), context=context)[0] == 421
        # A browser: the form, a cookie, the page.
        code, head, body = get(port, "/?from=1", {"Accept": "text/html,*/*"}, context=context)
        assert code == 401 and b"<form method=\"post\">" in body and head["content-type"].startswith("text/html"), (code, head)
        form = {"Content-Type": "application/x-www-form-urlencoded", "Origin": f"https://127.0.0.1:{port}"}
        assert get(port, "/?from=1", form, "POST", "token=wrong", context=context)[0] == 401
        assert get(port, "/?from=1", dict(form, Origin="https://evil.example.com"), "POST", f"token={TOKEN}", context=context)[0] == 403
        code, head, _ = get(port, "/?from=1", form, "POST", f"token={TOKEN}", context=context)
        assert code == 303 and head["location"] == "/?from=1", (code, head)
        cookie = re.fullmatch(r"(hearth=[0-9a-f]{64}); Path=/; Max-Age=43200; HttpOnly; SameSite=Strict; Secure", head["set-cookie"]).group(1)
        assert get(port, "/api/v1/status", {"Cookie": cookie}, context=context)[0] == 200
        assert get(port, "/api/v1/status", {"Cookie": cookie[:-1] + "g"}, context=context)[0] == 401
        # Plain HTTP gets nothing, nor do old protocols.
        assert b"HTTP" not in raw(port, f"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {TOKEN}\r\n\r\n")
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
        old.set_ciphers("ALL:@SECLEVEL=0")
        old.options |= ssl.OP_NO_TLSv1_2 | ssl.OP_NO_TLSv1_3
        try:
            get(port, "/healthz", context=old)
            raise AssertionError("TLS 1.1 is spoken")
        except (ssl.SSLError, OSError):
            pass
        # Guessing.
        codes = [get(port, "/metrics", {"Authorization": f"Bearer {n}"}, context=context)[0] for n in range(12)]
        assert codes[-1] == 429, codes
        assert get(port, "/metrics", bearer, context=context)[0] == 429
        assert get(port, "/api/v1/status", {"Cookie": cookie}, context=context)[0] == 200, "who is in stays"
        # Another certificate.
        os.replace("d.key", "c.key")
        os.replace("d.pem", "c.pem")
        agent.port(times=2)
        assert get(port, "/metrics", bearer, context=ssl.create_default_context(cafile="c.pem"))[0] == 200


@test("the state is told: paused, not stored")
def state_is_told():
    with Agent() as agent:
        port = agent.port()
        environment = dict(os.environ, HEARTH_CONTROL=os.path.join(agent.folder, "control.sock"))
        agent.wait_for(r"window \d+ \(")
        subprocess.run([HEARTH, "control", "pause"], env=environment, check=True, capture_output=True)
        wait_for(lambda: ("hearth_state", "paused") in metrics(port), 60, "the state to be told")
        assert get(port, "/readyz")[0] == 200
        assert json.loads(get(port, "/api/v1/status")[2])["agent"]["state"] == "paused"


def end():
    if shared:
        shared.__exit__()


if __name__ == "__main__":
    import atexit
    atexit.register(end)
    run()
