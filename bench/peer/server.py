"""What a user of the original guide would write: its handler behind grpcio, for the same contract.

Reads the object with boto3, encodes it, asks the model, reads the answer. Serves until it is killed.
"""

import base64
import concurrent.futures
import json
import os
import sys
from pathlib import Path

import boto3
import botocore.config
import grpc

sys.path.insert(0, str(Path(__file__).parent / "generated"))

from sightline.v1 import image_analysis_pb2 as pb  # noqa: E402
from sightline.v1 import image_analysis_pb2_grpc as pb_grpc  # noqa: E402

WORKERS = 64
MODEL = "global.anthropic.claude-sonnet-5"
PROMPT = "Describe the picture."
HEALTH = "grpc.health.v1.Health"
SERVING = b"\x08\x01"

REGION = os.environ["AWS_REGION"]
POOL = botocore.config.Config(max_pool_connections=WORKERS, s3={"addressing_style": "path"})
s3 = boto3.client("s3", region_name=REGION, config=POOL)
bedrock_runtime = boto3.client("bedrock-runtime", region_name=REGION, config=POOL)


def analyze(bucket: str, key: str) -> tuple[str, int]:
    """The guide's handler: the model's words about an object, and the object's size."""
    response = s3.get_object(Bucket=bucket, Key=key)
    image_content = response["Body"].read()
    base64_encoded_image = base64.b64encode(image_content).decode("utf-8")
    body = {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 4096,
        "temperature": 0,
        "messages": [
            {
                "role": "user",
                "content": [
                    {
                        "type": "image",
                        "source": {"type": "base64", "media_type": "image/jpeg", "data": base64_encoded_image},
                    },
                    {"type": "text", "text": PROMPT},
                ],
            }
        ],
    }
    body_bytes = json.dumps(body).encode("utf-8")
    response = bedrock_runtime.invoke_model(
        body=body_bytes, contentType="application/json", accept="application/json", modelId=MODEL
    )
    response_body = json.loads(response["body"].read())
    return response_body["content"][0]["input"]["description"], len(image_content)


class Service(pb_grpc.ImageAnalysisServiceServicer):
    def AnalyzeImage(self, request, context):  # noqa: N802
        source = request.image.s3_object
        text, size = analyze(source.bucket, source.key)
        analysis = pb.ImageAnalysis(
            image=pb.ImageInfo(media_type="image/jpeg", size_bytes=size), description=pb.Description(text=text)
        )
        return pb.AnalyzeImageResponse(analysis=analysis)


def main() -> None:
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(max_workers=WORKERS))
    pb_grpc.add_ImageAnalysisServiceServicer_to_server(Service(), server)
    check = grpc.unary_unary_rpc_method_handler(lambda request, context: SERVING)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(HEALTH, {"Check": check}),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(json.dumps({"message": "listening", "address": f"127.0.0.1:{port}"}), file=sys.stderr, flush=True)
    server.wait_for_termination()


if __name__ == "__main__":
    main()
