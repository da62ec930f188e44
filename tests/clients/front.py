"""A gRPC server that stands before a Sightline server, speaks TLS, asks for a token, and fails on purpose.

It knows no message: it passes bytes on, with deadlines, errors and their details. What clients do about failures is seen
in `outcomes`.
"""

from concurrent import futures

import grpc
from google.protobuf import duration_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

ANALYZE_IMAGE = "/sightline.v1.ImageAnalysisService/AnalyzeImage"
ANALYZE_MANY = "/sightline.v1.ImageAnalysisService/AnalyzeMany"
WATCH_HEALTH = "/grpc.health.v1.Health/Watch"
RETRY_DELAY = 0.25  # seconds, told to clients


def overloaded():
    """The status of a server that is overloaded: docs/ERRORS.md."""
    status = status_pb2.Status(code=code_pb2.UNAVAILABLE, message="The server is overloaded.")
    status.details.add().Pack(error_details_pb2.ErrorInfo(domain="sightline", reason="OVERLOADED"))
    delay = duration_pb2.Duration(nanos=int(RETRY_DELAY * 1e9))
    status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=delay))
    return rpc_status.to_status(status)


class Front(grpc.GenericRpcHandler):
    """Fails the first `failures` calls of AnalyzeImage with UNAVAILABLE and passes every other call on to `backend`."""

    def __init__(self, backend, token, key_pem, certificate_pem, failures):
        self.token, self.failures = token, failures
        self.outcomes = []  # the code of every call of AnalyzeImage, in order
        self.channel = grpc.insecure_channel(backend)
        self.server = grpc.server(futures.ThreadPoolExecutor(8), handlers=[self])
        credentials = grpc.ssl_server_credentials([(key_pem, certificate_pem)])
        self.port = self.server.add_secure_port("127.0.0.1:0", credentials)

    def __enter__(self):
        self.server.start()
        return self

    def __exit__(self, *_):
        self.server.stop(None).wait()
        self.channel.close()

    def service(self, call):
        if call.method == WATCH_HEALTH:  # needs no token, as the server's own
            return grpc.unary_stream_rpc_method_handler(self.watch_health)
        if ("authorization", f"Bearer {self.token}") not in [tuple(pair) for pair in call.invocation_metadata]:
            return grpc.unary_unary_rpc_method_handler(refuse)
        if call.method == ANALYZE_IMAGE:
            return grpc.unary_unary_rpc_method_handler(self.analyze_image)
        if call.method == ANALYZE_MANY:
            return grpc.stream_stream_rpc_method_handler(self.analyze_many)
        return None  # UNIMPLEMENTED

    def analyze_image(self, request, context):
        if len(self.outcomes) < self.failures:
            self.outcomes.append("UNAVAILABLE")
            context.abort_with_status(overloaded())
        call = self.channel.unary_unary(ANALYZE_IMAGE)
        try:
            response = call(request, timeout=context.time_remaining())
        except grpc.RpcError as error:
            self.outcomes.append(error.code().name)
            pass_on(error, context)
        self.outcomes.append("OK")
        return response

    def analyze_many(self, requests, context):
        try:
            yield from self.channel.stream_stream(ANALYZE_MANY)(requests, timeout=context.time_remaining())
        except grpc.RpcError as error:
            pass_on(error, context)

    def watch_health(self, request, context):
        call = self.channel.unary_stream(WATCH_HEALTH)(request)
        # The client ends it: then the backend's ends too, and frees its thread.
        context.add_callback(call.cancel)
        try:
            yield from call
        except grpc.RpcError as error:
            if context.is_active():
                pass_on(error, context)


def refuse(_, context):
    context.abort(grpc.StatusCode.UNAUTHENTICATED, "The token is missing or wrong.")


def pass_on(error, context):
    context.set_trailing_metadata(tuple(error.trailing_metadata() or ()))
    context.abort(error.code(), error.details())
