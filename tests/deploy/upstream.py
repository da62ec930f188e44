"""A gRPC server on loopback that answers the contract's methods as its callers ask it to, for proxies to stand in front of."""

import threading
from concurrent import futures

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from support import SERVICE, methods


class Upstream:
    """Counts calls, keeps their metadata, and ends each with the status in its metadata `answer`, OK without one."""

    def __init__(self):
        self._lock = threading.Lock()
        self._calls: list[tuple[str, dict[str, str]]] = []
        self._server = grpc.server(futures.ThreadPoolExecutor(max_workers=16))
        handlers = {name: self._handler(name, is_stream) for name, is_stream in methods().items()}
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
        self._health = health.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        self.serving(True)
        self.port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()

    def _handler(self, name, is_stream):
        def note(context):
            metadata = {key: value for key, value in context.invocation_metadata() if isinstance(value, str)}
            with self._lock:
                self._calls.append((name, metadata))
            answer = metadata.get("answer")
            if answer:
                context.abort(grpc.StatusCode[answer], "as asked")

        def unary(_request, context):
            note(context)
            return b""

        def stream(requests, context):
            note(context)
            for _ in requests:
                yield b""

        return grpc.stream_stream_rpc_method_handler(stream) if is_stream else grpc.unary_unary_rpc_method_handler(unary)

    def serving(self, is_serving: bool):
        """What health answers from now on, for the server as a whole and for the service."""
        status = health_pb2.HealthCheckResponse.SERVING if is_serving else health_pb2.HealthCheckResponse.NOT_SERVING
        for service in "", SERVICE:
            self._health.set(service, status)

    def calls(self) -> list[tuple[str, dict[str, str]]]:
        """The calls since this was last asked: method and metadata."""
        with self._lock:
            calls, self._calls = self._calls, []
            return calls

    def stop(self):
        self._server.stop(grace=None).wait()


def call(channel: grpc.Channel, method: str, metadata: dict[str, str]) -> grpc.StatusCode:
    """Calls a method once with an empty message, and answers its code."""
    path, pairs = f"/{SERVICE}/{method}", tuple(metadata.items())
    try:
        if methods()[method]:
            list(channel.stream_stream(path)(iter([b""]), metadata=pairs, timeout=20))
        else:
            channel.unary_unary(path)(b"", metadata=pairs, timeout=20)
    except grpc.RpcError as error:
        return error.code()
    return grpc.StatusCode.OK
