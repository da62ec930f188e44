"""Streams many pictures to a Sightline server as a stranger would, with stubs made by grpcio-tools.

Usage: stream.py ADDRESS BUCKET COUNT

Sends the keys 0 to COUNT - 1 of the bucket as items of one AnalyzeMany stream while it reads the results, and prints
what it got as JSON. A key that is not there must be its item's error. Exits with 1 and a message on standard error when
anything is not as the contract says.
"""

import argparse
import json
import sys
import tempfile

from client import Surprise, expect, make_stubs

import grpc
from google.protobuf import json_format
from google.rpc import error_details_pb2

TIMEOUT = 120  # seconds for the whole stream


def requests(pb2, bucket, count):
    """One message for the settings, then one for each item."""
    config = pb2.AnalyzeManyConfig(max_in_flight=32)
    config.features.description.SetInParent()
    yield pb2.AnalyzeManyRequest(config=config)
    for key in map(str, range(count)):
        image = pb2.ImageSource(s3_object=pb2.S3Object(bucket=bucket, key=key))
        yield pb2.AnalyzeManyRequest(item=pb2.AnalyzeManyItem(item_id=f"item-{key}", image=image))


def reason(error):
    """The reason of an error, after checking that it has exactly one."""
    infos = []
    for detail in error.details:
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            infos.append(info)
    expect(len(infos) == 1, f"expected one ErrorInfo, got {len(infos)}")
    expect(infos[0].domain == "sightline", f"the domain is {infos[0].domain!r}")
    return infos[0].reason


def read(responses):
    """Returns the results by their index, and the summary."""
    results, summary = {}, None
    for response in responses:
        expect(summary is None, "something came after the summary")
        event = response.WhichOneof("event")
        if event == "summary":
            summary = response.summary
            continue
        expect(event == "result", f"the event is {event}")
        result = response.result
        expect(result.HasField("item_index"), f"{result.item_id} has no index")
        expect(result.item_index not in results, f"{result.item_id} was answered twice")
        results[result.item_index] = result
    expect(summary is not None, "no summary")
    return results, summary


def check(results, summary, count):
    expect(sorted(results) == list(range(count)), f"{len(results)} of {count} items were answered")
    descriptions, reasons, tokens = [], {}, 0
    for index, result in sorted(results.items()):
        expect(result.item_id == f"item-{index}", f"item {index} is called {result.item_id}")
        if result.WhichOneof("outcome") == "analysis":
            descriptions.append(result.analysis.description.text)
            tokens += result.analysis.usage.input_token_count
        else:
            reasons[result.item_id] = reason(result.error)
    expect(summary.succeeded_count == len(descriptions), f"{summary.succeeded_count} succeeded")
    expect(summary.failed_count == len(reasons), f"{summary.failed_count} failed")
    expect(summary.total_usage.input_token_count == tokens, f"{summary.total_usage.input_token_count} tokens")
    expect(summary.elapsed.ToMilliseconds() > 0, "no time has passed")
    return {
        "descriptions": descriptions,
        "reasons": reasons,
        "summary": json_format.MessageToDict(summary, preserving_proto_field_name=True),
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    parser.add_argument("bucket")
    parser.add_argument("count", type=int)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, grpc.insecure_channel(arguments.address) as channel:
        pb2, pb2_grpc = make_stubs(folder)
        stub = pb2_grpc.ImageAnalysisServiceStub(channel)
        responses = stub.AnalyzeMany(requests(pb2, arguments.bucket, arguments.count), timeout=TIMEOUT)
        report = check(*read(responses), arguments.count)
    json.dump(report, sys.stdout, ensure_ascii=False)
    print()


if __name__ == "__main__":
    try:
        main()
    except (Surprise, grpc.RpcError) as surprise:
        print(f"stream.py: {surprise}", file=sys.stderr)
        sys.exit(1)
