"""Stages pages into a launch with grpcio: counts, short counts, ALREADY_EXISTS, and what the error details say.

usage: stage.py ADDRESS LAUNCH_ID [PLATFORM]     ADDRESS: unix:/path or tcp:HOST:PORT     PLATFORM: sim (default) or kvm
Over TCP: STAGEPAGES_CA, STAGEPAGES_CERT and STAGEPAGES_KEY name the files of mutual TLS.

Needs requirements.txt. The stubs are made from the project's proto files when this runs. Exits non-zero on any surprise.
"""

import importlib
import os
import pathlib
import sys
import tempfile

import grpc
import grpc_tools.protoc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

PROTO = pathlib.Path(__file__).resolve().parents[3] / "proto"
PAGE = 4096


def stubs():
    """Compiles the project's own protos; google/rpc/status.proto comes with googleapis-common-protos, and must not be made twice."""
    out = tempfile.mkdtemp(prefix="stagepages-")
    well_known = pathlib.Path(grpc_tools.protoc.__file__).parent / "_proto"
    files = [f"stagepages/v1/{name}.proto" for name in ("guest", "launch", "sev_snp", "tdx", "vcpu")]
    args = ["protoc", f"-I{PROTO}", f"-I{well_known}", f"--python_out={out}", f"--grpc_python_out={out}", *files]
    assert grpc_tools.protoc.main(args) == 0, "protoc failed"
    sys.path.insert(0, out)
    return tuple(importlib.import_module(f"stagepages.v1.launch_pb2{kind}") for kind in ("", "_grpc"))


def connect(address):
    kind, _, rest = address.partition(":")
    if kind == "tcp":
        # Mutual TLS; over a Unix socket the kernel says who calls.
        ca, key, cert = (pathlib.Path(os.environ[f"STAGEPAGES_{name}"]).read_bytes() for name in ("CA", "KEY", "CERT"))
        return grpc.secure_channel(rest, grpc.ssl_channel_credentials(ca, key, cert))
    # C-core sends the percent-encoded path of the socket as :authority, which HTTP/2 servers refuse; so it is named.
    return grpc.insecure_channel(f"unix:{rest.removeprefix('//')}", options=[("grpc.default_authority", "localhost")])


def refusal(call):
    """The ErrorInfo of a call that must be refused. Clients branch on its reason, never on the code or the message."""
    try:
        answer = call()
    except grpc.RpcError as error:
        raw = dict(error.trailing_metadata())["grpc-status-details-bin"]
        assert len(raw) <= PAGE, f"{len(raw)} bytes of details"
        for detail in rpc_status.from_call(error).details:
            info = error_details_pb2.ErrorInfo()
            if detail.Unpack(info):
                assert info.domain == "stagepages", info
                return error.code(), info
        raise AssertionError(f"no ErrorInfo in {error}") from error
    raise AssertionError(f"not refused: {answer}")


def main(address, launch_id, platform="sim"):
    pb, pb_grpc = stubs()
    name = f"launches/{launch_id}"
    api = pb_grpc.LaunchServiceStub(connect(address))

    def stage(first, *fill, **more):
        data = b"".join(bytes([byte]) * PAGE for byte in fill)
        return api.StagePages(pb.StagePagesRequest(name=name, gpa=first * PAGE, page_type=pb.PAGE_TYPE_NORMAL, data=data, **more))

    def show(what, expected, got):
        print(f"{what}:", " ".join(str(got).split()))
        assert got == expected, f"expected {expected}"

    spec = pb.LaunchSpec(platform=pb.Platform.Value(f"PLATFORM_{platform.upper()}"), regions=[pb.MemoryRegion(gpa=0, size=16 * PAGE)])
    launch = api.CreateLaunch(pb.CreateLaunchRequest(launch_id=launch_id, spec=spec)).launch
    show("created", "LAUNCH_STATE_CREATED", pb.LaunchState.Name(launch.state))

    answer = stage(1, 0xA1, 0xA2)
    show("pages 1 and 2 staged, installed", 2, answer.installed_pages)

    answer = stage(0, 0xA0, 0xA1, 0xA2, 0xA3, request_id="short")
    show("pages 0 to 3 staged, installed", 1, answer.installed_pages)
    stop = answer.stop
    show("stopped by (page, identical, identical pages)", (1, True, 2), (stop.gpa // PAGE, stop.identical, stop.identical_pages))

    repeat = stage(0, 0xA0, 0xA1, 0xA2, 0xA3, request_id="short")
    show("the same request id again has the same answer", answer, repeat)
    kept = api.GetStageResult(pb.GetStageResultRequest(name=name, request_id="short")).result
    show("which can be looked up after a lost connection", answer, kept)

    code, info = refusal(lambda: stage(1, 0xA1, 0xA2))
    show("the same bytes again", ("ALREADY_EXISTS", "ALREADY_INSTALLED"), (code.name, info.reason))
    show("identical, pages from there on", ("true", "2"), (info.metadata["identical"], info.metadata["identical_pages"]))

    code, info = refusal(lambda: stage(2, 0xBB))
    show("other bytes", ("ALREADY_EXISTS", "ALREADY_INSTALLED"), (code.name, info.reason))
    show("identical, GPA", ("false", "0x2000"), (info.metadata["identical"], info.metadata["gpa"]))

    verified = api.VerifyLaunch(pb.VerifyLaunchRequest(name=name))
    show("verified (consistent, pages)", (True, 3), (verified.consistent, verified.pages_checked))

    aborted = api.AbortLaunch(pb.AbortLaunchRequest(name=name)).launch
    show("aborted", "LAUNCH_STATE_ABORTED", pb.LaunchState.Name(aborted.state))
    code, info = refusal(lambda: stage(5, 0xA5))
    show("staging after that", ("FAILED_PRECONDITION", "WRONG_STATE"), (code.name, info.reason))


if __name__ == "__main__":
    if not 3 <= len(sys.argv) <= 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
