#!/usr/bin/python3
"""Debug information on its way to Parca: the test server's strict half of it takes the messages, and other tools read the file."""
import os
import re
import shutil
import subprocess
import sys
import types

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "system")]
import generated
from harness import REPO, Skip, run, test
from sinks import DEBUGINFO, Debuginfo, grpc_frame

PROGRAM = os.environ.get("DEBUGINFO_PROGRAM", os.path.join(REPO, "build", "tests", "upload", "debuginfo"))
BUILD_ID = "00112233445566778899aabbccddeeff00112233"


def upload(path):
    """The four bodies, with frames."""
    os.makedirs("out", exist_ok=True)
    subprocess.run([PROGRAM, path, BUILD_ID, "out"], check=True, timeout=60)
    bodies = [open(f"out/{i}", "rb").read() for i in range(1, 5)]
    return [body if i == 2 else grpc_frame(body) for i, body in enumerate(bodies)]


def call(server, method, body):
    request = types.SimpleNamespace(path=DEBUGINFO + method, version="2", headers={"te": "trailers"}, body=body)
    response = server.handle(request)
    assert dict(response.trailers).get("grpc-status") == "0", (method, response.headers, response.trailers)
    return response


@test("a strict server takes the four calls, and has the file afterwards")
def _():
    server = Debuginfo()
    methods = ("ShouldInitiateUpload", "InitiateUpload", "Upload", "MarkUploadFinished")
    for method, body in zip(methods, upload(PROGRAM)):
        call(server, method, body)
    assert server.finished == {BUILD_ID} and not server.open
    with open("out/debug", "rb") as file:
        assert server.files[BUILD_ID][0] == file.read()
    asked = generated.parse(generated.parca.ShouldInitiateUploadRequest, upload(PROGRAM)[0][5:])
    assert asked.build_id_type == 1 and asked.type == 0 and not asked.force


@test("other tools name the same addresses by it, and it has no code")
def _():
    tools = [tool for tool in ("llvm-symbolizer", "addr2line") if shutil.which(tool)]
    if not tools or not shutil.which("readelf"):
        raise Skip("neither llvm-symbolizer nor addr2line")
    upload(PROGRAM)
    symbols = subprocess.run(["nm", PROGRAM], capture_output=True, text=True, check=True).stdout.splitlines()
    addresses = [line.split()[0] for line in symbols if re.match(r"[0-9a-f]+ [tT] ", line)][:300]
    for tool in tools:
        flag = "--obj=" if tool == "llvm-symbolizer" else "--exe="
        names = [subprocess.run([tool, flag + path, "-f", "-i"], input="\n".join("0x" + address for address in addresses), capture_output=True, text=True,
                                check=True, timeout=100).stdout for path in (PROGRAM, "out/debug")]
        assert names[0] == names[1] and names[0].count("\n") >= 2 * len(addresses), tool
    sections = subprocess.run(["readelf", "-WS", "out/debug"], capture_output=True, text=True, check=True).stdout
    for name in (".text", ".data", ".rodata", ".eh_frame"):
        assert re.search(rf"\] {re.escape(name)} +NOBITS", sections), (name, sections)


if "DEBUGINFO_PROGRAM" not in os.environ:
    subprocess.run(["make", "-s", "-C", REPO, os.path.relpath(PROGRAM, REPO)], check=True)
run(needs_root=False)
