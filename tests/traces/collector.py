"""A collector of OpenTelemetry spans, for tests: serves OTLP over gRPC, and keeps what it is sent."""

import threading
import time
from concurrent import futures

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc


class Span:
    """One span, and the service that it is of."""

    def __init__(self, service, span):
        self.service = service
        self.name = span.name
        self.trace = span.trace_id.hex()
        self.id = span.span_id.hex()
        self.parent = span.parent_span_id.hex()
        self.kind = span.kind
        self.begin, self.end = span.start_time_unix_nano, span.end_time_unix_nano
        self.attributes = values(span.attributes)

    def __repr__(self):
        return f"{self.service}: {self.name} {self.attributes}"


def values(attributes):
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in attributes}


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    def __init__(self, address):
        self.changed = threading.Condition()
        self.spans = []
        self.server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
        trace_service_pb2_grpc.add_TraceServiceServicer_to_server(self, self.server)
        assert self.server.add_insecure_port(address) != 0, f"{address} is taken"
        self.server.start()

    def Export(self, request, context):
        with self.changed:
            for resource in request.resource_spans:
                service = values(resource.resource.attributes)["service.name"]
                for scope in resource.scope_spans:
                    self.spans += [Span(service, span) for span in scope.spans]
            self.changed.notify_all()
        return trace_service_pb2.ExportTraceServiceResponse()

    def wait(self, what, enough, seconds=60):
        """The spans so far, as soon as there are `enough` of them."""
        until = time.monotonic() + seconds
        with self.changed:
            while not enough(self.spans):
                left = until - time.monotonic()
                assert left > 0, f"waited {seconds} s in vain for {what}; there are {self.spans}"
                self.changed.wait(left)
            return list(self.spans)

    def stop(self):
        self.server.stop(None).wait()
