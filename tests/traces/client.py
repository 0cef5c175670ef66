"""A client with OpenTelemetry of its own: one trace from it through the daemon into the launch host.

usage: client.py SOCKET COLLECTOR LOG     SOCKET: the daemon's     COLLECTOR: HOST:PORT, otlp_endpoint of the daemon without its scheme
                                          LOG: what the service writes, in JSON, with STAGEPAGES_LOG=debug

Serves the collector itself. The stubs are made from the project's proto files. Exits non-zero on any surprise.
"""

import importlib
import json
import pathlib
import sys
import tempfile

import grpc
import grpc_tools.protoc
from opentelemetry import trace
from opentelemetry.instrumentation.grpc import GrpcInstrumentorClient
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from collector import Collector

PROTO = pathlib.Path(__file__).resolve().parents[2] / "proto"
PAGE = 4096
SERVICE = "stagepages.v1.LaunchService"


def stubs():
    """Compiles the project's own protos; google/rpc/status.proto comes with googleapis-common-protos, and must not be made twice."""
    out = tempfile.mkdtemp(prefix="stagepages-")
    well_known = pathlib.Path(grpc_tools.protoc.__file__).parent / "_proto"
    files = [f"stagepages/v1/{name}.proto" for name in ("guest", "launch", "sev_snp", "tdx", "vcpu")]
    args = ["protoc", f"-I{PROTO}", f"-I{well_known}", f"--python_out={out}", f"--grpc_python_out={out}", *files]
    assert grpc_tools.protoc.main(args) == 0, "protoc failed"
    sys.path.insert(0, out)
    return tuple(importlib.import_module(f"stagepages.v1.launch_pb2{kind}") for kind in ("", "_grpc"))


def boot(socket, launch_id):
    """Creates, stages and finishes a launch in one trace. Returns what the client itself saw of it: a span for each call."""
    launch_pb2, launch_pb2_grpc = stubs()
    seen = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(seen))
    trace.set_tracer_provider(provider)
    GrpcInstrumentorClient().instrument()
    options = [("grpc.default_authority", "localhost")]
    with grpc.insecure_channel(f"unix:{socket}", options=options) as channel:
        api = launch_pb2_grpc.LaunchServiceStub(channel)
        with trace.get_tracer("boot").start_as_current_span("boot a guest"):
            region = launch_pb2.MemoryRegion(gpa=0, size=64 * PAGE)
            spec = launch_pb2.LaunchSpec(platform=launch_pb2.PLATFORM_SIM, regions=[region])
            made = api.CreateLaunch(launch_pb2.CreateLaunchRequest(launch_id=launch_id, spec=spec))
            name = made.launch.name
            for first in (0, 8):
                api.StagePages(
                    launch_pb2.StagePagesRequest(
                        name=name, gpa=first * PAGE, page_type=launch_pb2.PAGE_TYPE_NORMAL, data=bytes(8 * PAGE)
                    )
                )
            api.FinishLaunch(launch_pb2.FinishLaunchRequest(name=name))
    return seen.get_finished_spans(), made.launch.uid


def inside(span, parent):
    assert parent.begin <= span.begin <= span.end <= parent.end, f"{span} is not inside of {parent}"


def check(seen, uid, launch_id, spans, log):
    by_id = {span.id: span for span in spans}
    children = lambda of: [span for span in spans if span.parent == of.id]
    calls = [span for span in seen if span.kind is trace.SpanKind.CLIENT]
    assert len(calls) == 4, calls
    traces = {f"{span.context.trace_id:032x}" for span in seen}
    assert len(traces) == 1, traces
    hosts = set()
    for call in calls:
        ours = [span for span in spans if span.parent == f"{call.context.span_id:016x}"]
        assert len(ours) == 1, f"{call.name}: {ours}"
        daemon = ours[0]
        assert daemon.service == "stagepages" and daemon.trace in traces, daemon
        method = call.name.rsplit("/", 1)[-1]
        assert daemon.name == f"{SERVICE}/{method}", daemon
        told = daemon.attributes
        assert (told["rpc.system"], told["rpc.service"], told["rpc.method"]) == ("grpc", SERVICE, method), told
        assert told["rpc.grpc.status_code"] == 0, told
        assert (told["stagepages.launch"], told["stagepages.launch_uid"]) == (launch_id, uid), told
        asked = [span for span in children(daemon) if span.name.startswith("stagepages.host/")]
        assert asked, f"{daemon} asked no host: {children(daemon)}"
        for ask in asked:
            inside(ask, daemon)
        if method == "StagePages":
            assert told["stagepages.installed_pages"] == 8, told
            (host,) = children(asked[0])
            assert host.service == "stagepages-host" and host.trace in traces, host
            inside(host, asked[0])
            hosts.add(host.attributes["process.pid"])
            parts = children(host)
            assert {"queue", "ioctl"} <= {part.name for part in parts}, parts
            for part in parts:
                inside(part, host)
        # The same call in the log, of the daemon and of the host.
        request = told["stagepages.request"]
        lines = [line for line in log if any(span.get("request") == request for span in line.get("spans", []))]
        assert {"daemon", "host"} <= {line["role"] for line in lines}, f"{request}: {lines}"
        assert any(span.get("trace") in traces for line in lines for span in line["spans"]), lines
    assert len(hosts) == 1, f"one launch has one host: {hosts}"
    for span in spans:
        assert span.begin <= span.end, span
        assert span.parent in by_id or span.service == "stagepages", f"{span} hangs in the air"
    return hosts.pop()


def main(socket, address, log):
    collector = Collector(address)
    launch_id = "traced"
    seen, uid = boot(socket, launch_id)
    ends = {f"{SERVICE}/{method}": count for method, count in (("CreateLaunch", 1), ("StagePages", 2), ("FinishLaunch", 1))}

    def enough(spans):
        names = [span.name for span in spans]
        hosts = [span for span in spans if span.service == "stagepages-host" and span.name == "Stage"]
        return all(names.count(name) >= count for name, count in ends.items()) and len(hosts) >= 2

    spans = collector.wait("the daemon's and the host's spans", enough)
    lines = [json.loads(line) for line in pathlib.Path(log).read_text().splitlines() if line.startswith("{")]
    pid = check(seen, uid, launch_id, spans, lines)
    collector.stop()
    print(f"one trace of {len(seen)} spans of the client, {len(spans)} of daemon and launch host (process {pid})")


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
