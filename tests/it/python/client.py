"""Calls a Sightline server as a stranger would, with stubs made by grpcio-tools.

Usage: client.py ADDRESS BUCKET KEY

Checks health, reflection, one analysis and two errors, and prints what it got as JSON. Exits with 1 and a message on
standard error when anything is not as the contract says.
"""

import argparse
import importlib
import json
import os
import sys
import tempfile
from pathlib import Path

# The server is on loopback, whatever proxy the machine has.
os.environ["no_grpc_proxy"] = "*"

import grpc
import grpc_tools
from google.protobuf import json_format
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from grpc_status import rpc_status
from grpc_tools import protoc

ROOT = Path(__file__).resolve().parents[3]
PROTO = "sightline/v1/image_analysis.proto"
SERVICE = "sightline.v1.ImageAnalysisService"
TIMEOUT = 60  # seconds for one call


class Surprise(Exception):
    """Something is not as the contract says."""


def expect(condition, message):
    if not condition:
        raise Surprise(message)


def make_stubs(folder):
    """Compiles the contract into `folder` and returns its two modules."""
    arguments = [
        "protoc",
        f"-I{ROOT / 'proto'}",
        f"-I{ROOT / 'third_party' / 'googleapis'}",
        f"-I{Path(grpc_tools.__file__).parent / '_proto'}",
        f"--python_out={folder}",
        f"--grpc_python_out={folder}",
        PROTO,
    ]
    expect(protoc.main(arguments) == 0, "protoc does not compile the contract")
    sys.path.insert(0, folder)
    name = PROTO.removesuffix(".proto").replace("/", ".")
    return importlib.import_module(f"{name}_pb2"), importlib.import_module(f"{name}_pb2_grpc")


def check_health(channel):
    stub = health_pb2_grpc.HealthStub(channel)
    statuses = {}
    for service in ("", SERVICE):
        answer = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=TIMEOUT)
        status = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
        expect(status == "SERVING", f"health of {service!r} is {status}")
        statuses[service] = status
    return statuses


def check_reflection(channel):
    database = ProtoReflectionDescriptorDatabase(channel)
    services = sorted(database.get_services())
    for service in (SERVICE, "grpc.health.v1.Health"):
        expect(service in services, f"reflection does not list {service}: {services}")
    for file in (PROTO, "google/rpc/error_details.proto"):
        expect(database.FindFileByName(file).name == file, f"reflection does not have {file}")
    return services


def check_box(box, image):
    """Returns the box as left, top, right, bottom after checking both of its forms."""
    corners, part = box.pixels, box.normalized
    left, top, right, bottom = corners.top_left.x, corners.top_left.y, corners.bottom_right.x, corners.bottom_right.y
    others = (corners.top_right.x, corners.top_right.y, corners.bottom_left.x, corners.bottom_left.y)
    expect(others == (right, top, left, bottom), f"the corners are no rectangle: {corners}")
    expect(0 <= left < right <= image.width, f"{left}..{right} is not within the width {image.width}")
    expect(0 <= top < bottom <= image.height, f"{top}..{bottom} is not within the height {image.height}")
    pairs = (
        (part.left * image.width, left),
        (part.top * image.height, top),
        (part.width * image.width, right - left),
        (part.height * image.height, bottom - top),
    )
    expect(all(abs(a - b) < 0.5 for a, b in pairs), f"pixels and fractions disagree: {box}")
    return [left, top, right, bottom]


def check_analysis(stub, pb2, bucket, key):
    request = pb2.AnalyzeImageRequest(request_id="python-client-1")
    request.image.s3_object.bucket = bucket
    request.image.s3_object.key = key
    for feature in ("description", "labels", "sensitivity"):
        getattr(request.features, feature).SetInParent()
    analysis = stub.AnalyzeImage(request, timeout=TIMEOUT).analysis

    expect(analysis.request_id == "python-client-1", f"request_id is {analysis.request_id!r}")
    for field in ("image", "description", "labels", "sensitivity", "model", "usage", "timing"):
        expect(analysis.HasField(field), f"`{field}` is not set")
    for field in ("text", "answer", "extraction"):
        expect(not analysis.HasField(field), f"`{field}` is set although nobody asked")
    labels = []
    for label in analysis.labels.labels:
        expect(label.name and label.name == label.name.lower(), f"label name {label.name!r}")
        boxes = [check_box(instance.box, analysis.image) for instance in label.instances]
        confidence = label.confidence if label.HasField("confidence") else None
        labels.append({"name": label.name, "confidence": confidence, "boxes": boxes})
    return {
        "image": json_format.MessageToDict(analysis.image, preserving_proto_field_name=True),
        "description": analysis.description.text,
        "verdict": pb2.Sensitivity.Verdict.Name(analysis.sensitivity.verdict),
        "labels": labels,
        "model": analysis.model.served,
        "warnings": [warning.code for warning in analysis.warnings],
    }


def check_error(call, code, reason):
    """Makes a call that must fail so; returns what its details say."""
    try:
        call()
    except grpc.RpcError as error:
        expect(error.code() is code, f"expected {code}, got {error.code()}: {error.details()}")
        status = rpc_status.from_call(error)
        expect(status is not None, f"{code} has no google.rpc.Status")
    else:
        raise Surprise(f"expected {code}, got an answer")

    infos, violations = [], []
    for detail in status.details:
        info, bad_request = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
        if detail.Unpack(info):
            infos.append(info)
        elif detail.Unpack(bad_request):
            violations += [violation.field for violation in bad_request.field_violations]
    expect(len(infos) == 1, f"expected one ErrorInfo, got {len(infos)}")
    expect(infos[0].domain == "sightline", f"the domain is {infos[0].domain!r}")
    expect(infos[0].reason == reason, f"expected {reason}, got {infos[0].reason}")
    return {"code": code.name, "reason": reason, "message": status.message, "violations": violations}


def check_errors(stub, pb2, bucket, key):
    missing = pb2.AnalyzeImageRequest()
    missing.image.s3_object.bucket = bucket
    missing.image.s3_object.key = f"{key}.missing"
    missing.features.labels.SetInParent()
    empty = pb2.AnalyzeImageRequest()
    not_found = check_error(
        lambda: stub.AnalyzeImage(missing, timeout=TIMEOUT), grpc.StatusCode.NOT_FOUND, "OBJECT_NOT_FOUND"
    )
    invalid = check_error(
        lambda: stub.AnalyzeImage(empty, timeout=TIMEOUT), grpc.StatusCode.INVALID_ARGUMENT, "FIELD_INVALID"
    )
    expect(len(invalid["violations"]) >= 2, f"image and features are both missing: {invalid['violations']}")
    return [not_found, invalid]


def main():
    parser = argparse.ArgumentParser()
    for argument in ("address", "bucket", "key"):
        parser.add_argument(argument)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, grpc.insecure_channel(arguments.address) as channel:
        pb2, pb2_grpc = make_stubs(folder)
        stub = pb2_grpc.ImageAnalysisServiceStub(channel)
        report = {
            "health": check_health(channel),
            "services": check_reflection(channel),
            "analysis": check_analysis(stub, pb2, arguments.bucket, arguments.key),
            "errors": check_errors(stub, pb2, arguments.bucket, arguments.key),
        }
    json.dump(report, sys.stdout, indent=2, ensure_ascii=False)
    print()


if __name__ == "__main__":
    try:
        main()
    except (Surprise, grpc.RpcError) as surprise:
        print(f"client.py: {surprise}", file=sys.stderr)
        sys.exit(1)
