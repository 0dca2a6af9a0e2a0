#!/usr/bin/env python3
"""Test servers as a program, to look at by hand: server.py KIND[=PORT]... [--tls FOLDER] with KIND pyroscope, parca, otlp_http, otlp_grpc, http.

Prints what to give to --upload. GET /debug/received on any of their ports lists what arrived. Lines of standard input:
  fault KIND [always] FAULT [STATUS] [Header:value]     for the next request, or for all; FAULT none: well again
  list KIND
"""
import json
import sys

import certificates
from sinks import Sink
from web import Fault, Response


def main():
    options = {}
    arguments = sys.argv[1:]
    if "--tls" in arguments:
        at = arguments.index("--tls")
        made = certificates.make(arguments[at + 1])
        options = {"certificate": made["good"]}
        print(f"CA: {made['ca'][0]}")
        del arguments[at:at + 2]
    sinks = {}
    for argument in arguments:
        kind, _, port = argument.partition("=")
        sinks[kind] = Sink(kind, port=int(port or 0), **options)
        print(f"--upload {sinks[kind].argument()}", flush=True)
    for line in sys.stdin:
        words = line.split()
        if not words or words[1:2] == [] or words[1] not in sinks:
            print("fault KIND FAULT..., list KIND", flush=True)
            continue
        sink = sinks[words[1]]
        if words[0] == "list":
            print(json.dumps(sink.received.listing(), indent=1), flush=True)
        else:
            always = words[2] == "always"
            rest = words[3:] if always else words[2:]
            fault = None
            if rest != ["none"]:
                headers = [tuple(word.split(":", 1)) for word in rest[2:]]
                fault = Fault(rest[0], Response(int(rest[1]) if len(rest) > 1 else 200, headers))
            if always or fault is None:
                sink.server.fault_always = fault
            else:
                sink.server.faults.append(fault)
            print("ok", flush=True)


if __name__ == "__main__":
    main()
