"""Asks a Sightline server what is in pictures in S3: in one, then in all of them over one stream.

Usage: analyze.py BUCKET KEY [KEY...]
"""

import os
import sys
from pathlib import Path

import grpc
from google.rpc import code_pb2, status_pb2
from google.rpc import error_details_pb2 as details
from grpc_status import rpc_status

from sightline.v1 import image_analysis_pb2 as pb
from sightline.v1 import image_analysis_pb2_grpc

SERVICE_CONFIG = Path(os.environ.get("SIGHTLINE_SERVICE_CONFIG", "../../deploy/service-config.json"))
LABELS = pb.Features(labels=pb.LabelsFeature())


def connect():
    """A channel that repeats calls as the service config says; with TLS when SIGHTLINE_TLS_CA names a file."""
    address = os.environ.get("SIGHTLINE_ADDRESS", "localhost:50051")
    options = [("grpc.service_config", SERVICE_CONFIG.read_text())]
    if ca := os.environ.get("SIGHTLINE_TLS_CA"):
        return grpc.secure_channel(address, grpc.ssl_channel_credentials(Path(ca).read_bytes()), options)
    return grpc.insecure_channel(address, options)


def credentials():
    """The metadata that says who calls. Without TLS, send a token only where a mesh encrypts."""
    token = os.environ.get("SIGHTLINE_TOKEN")
    return [("authorization", f"Bearer {token}")] if token else []


def picture(bucket, key):
    return pb.ImageSource(s3_object=pb.S3Object(bucket=bucket, key=key))


def print_labels(analysis):
    print(f"  {analysis.image.media_type}, {analysis.image.width} x {analysis.image.height} pixels")
    for label in analysis.labels.labels:
        for instance in label.instances:
            start, end = instance.box.pixels.top_left, instance.box.pixels.bottom_right
            print(f"  {label.name} {instance.confidence:.2f} ({start.x},{start.y})-({end.x},{end.y})")


def explain(error):
    """Prints an error with its details. `error` is what a call raised, or the status of one item of a stream."""
    if isinstance(error, grpc.RpcError):
        # An error that the client's own library made, such as a deadline that passed here, has no details.
        local = status_pb2.Status(code=error.code().value[0], message=error.details())
        error = rpc_status.from_call(error) or local
    info, bad_request, retry = details.ErrorInfo(), details.BadRequest(), details.RetryInfo()
    for detail in error.details:
        for message in (info, bad_request, retry):
            detail.Unpack(message)  # does nothing when the detail is of another type
    # Decide by code and reason; the message is for people and may change.
    print(f"  {code_pb2.Code.Name(error.code)} {info.reason or '(no reason)'}: {error.message}")
    for violation in bad_request.field_violations:
        print(f"    {violation.field}: {violation.description}")
    if retry.HasField("retry_delay"):
        print(f"    try again in {retry.retry_delay.ToTimedelta().total_seconds()} s")


def analyze_many(stub, bucket, keys):
    """Streams all keys. A failed item has its own status and does not end the stream."""

    def requests():
        yield pb.AnalyzeManyRequest(config=pb.AnalyzeManyConfig(features=LABELS, max_in_flight=8))
        for key in keys:
            yield pb.AnalyzeManyRequest(item=pb.AnalyzeManyItem(item_id=key, image=picture(bucket, key)))

    for response in stub.AnalyzeMany(requests(), timeout=600, metadata=credentials()):
        if response.WhichOneof("event") == "summary":
            summary = response.summary
            print(f"{summary.succeeded_count} succeeded, {summary.failed_count} failed")
        elif response.WhichOneof("event") == "result":
            print(f"item {response.result.item_id}")
            if response.result.WhichOneof("outcome") == "error":
                explain(response.result.error)
            else:
                print_labels(response.result.analysis)


def expect_error(what, stub, request, seconds):
    """Makes a call that cannot succeed, to show how its error is read."""
    print(what)
    try:
        stub.AnalyzeImage(request, timeout=seconds, metadata=credentials())
    except grpc.RpcError as error:
        explain(error)


def main(bucket, *keys):
    with connect() as channel:
        stub = image_analysis_pb2_grpc.ImageAnalysisServiceStub(channel)
        try:
            print(f"labels of s3://{bucket}/{keys[0]}")
            request = pb.AnalyzeImageRequest(image=picture(bucket, keys[0]), features=LABELS)
            # The deadline covers repeated calls too. A model takes seconds.
            print_labels(stub.AnalyzeImage(request, timeout=60, metadata=credentials()).analysis)
            analyze_many(stub, bucket, keys)
        except grpc.RpcError as error:
            explain(error)
            return 1

        expect_error("a request with mistakes", stub, pb.AnalyzeImageRequest(image=picture(bucket, "")), 60)
        request.options.cache_mode = pb.CACHE_MODE_OFF  # a kept result might be there in time
        expect_error("a deadline that is too short", stub, request, 0.05)
    return 0


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
