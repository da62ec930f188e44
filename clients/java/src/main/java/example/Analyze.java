package example;

import com.google.gson.Gson;
import com.google.gson.reflect.TypeToken;
import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.Message;
import com.google.protobuf.util.Durations;
import com.google.rpc.BadRequest;
import com.google.rpc.Code;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RetryInfo;
import com.google.rpc.Status;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.StatusRuntimeException;
import io.grpc.TlsChannelCredentials;
import io.grpc.protobuf.StatusProto;
import io.grpc.stub.ClientCallStreamObserver;
import io.grpc.stub.ClientResponseObserver;
import io.grpc.stub.MetadataUtils;
import java.io.File;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.TimeUnit;
import sightline.v1.*;
import sightline.v1.ImageAnalysisServiceGrpc.ImageAnalysisServiceBlockingStub;
import sightline.v1.ImageAnalysisServiceGrpc.ImageAnalysisServiceStub;

/** Asks a Sightline server what is in pictures in S3: in one, then in all of them over one stream. */
public final class Analyze {
    private static final Features LABELS =
            Features.newBuilder().setLabels(LabelsFeature.getDefaultInstance()).build();

    private static String env(String name, String otherwise) {
        return System.getenv().getOrDefault(name, otherwise);
    }

    /** A channel that repeats calls as the service config says; with TLS when SIGHTLINE_TLS_CA names a file. */
    private static ManagedChannel connect() throws IOException {
        Path file = Path.of(env("SIGHTLINE_SERVICE_CONFIG", "../../deploy/service-config.json"));
        Map<String, Object> serviceConfig =
                new Gson().fromJson(Files.readString(file), new TypeToken<Map<String, Object>>() {}.getType());
        String ca = env("SIGHTLINE_TLS_CA", "");
        var credentials = ca.isEmpty()
                ? InsecureChannelCredentials.create()
                : TlsChannelCredentials.newBuilder().trustManager(new File(ca)).build();
        return Grpc.newChannelBuilder(env("SIGHTLINE_ADDRESS", "localhost:50051"), credentials)
                .defaultServiceConfig(serviceConfig)
                .enableRetry()
                .build();
    }

    /** The metadata that says who calls. Without TLS, send a token only where a mesh encrypts. */
    private static Metadata credentials() {
        Metadata metadata = new Metadata();
        String token = env("SIGHTLINE_TOKEN", "");
        if (!token.isEmpty()) {
            metadata.put(Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER), "Bearer " + token);
        }
        return metadata;
    }

    private static ImageSource picture(String bucket, String key) {
        return ImageSource.newBuilder()
                .setS3Object(S3Object.newBuilder().setBucket(bucket).setKey(key))
                .build();
    }

    private static void printLabels(ImageAnalysis analysis) {
        ImageInfo image = analysis.getImage();
        System.out.printf("  %s, %d x %d pixels%n", image.getMediaType(), image.getWidth(), image.getHeight());
        for (Label label : analysis.getLabels().getLabelsList()) {
            for (LabelInstance instance : label.getInstancesList()) {
                PixelPoint start = instance.getBox().getPixels().getTopLeft();
                PixelPoint end = instance.getBox().getPixels().getBottomRight();
                System.out.printf("  %s %.2f (%d,%d)-(%d,%d)%n", label.getName(), instance.getConfidence(),
                        start.getX(), start.getY(), end.getX(), end.getY());
            }
        }
    }

    private static <T extends Message> T unpack(Any detail, Class<T> type) {
        try {
            return detail.unpack(type);
        } catch (InvalidProtocolBufferException malformed) {
            throw new UncheckedIOException(malformed);
        }
    }

    /** Prints an error with its details: that of a call, or of one item of a stream. */
    private static void explain(Status error) {
        // An error that the client's own library made, such as a deadline that passed here, has no details.
        String reason = "(no reason)";
        List<String> more = new ArrayList<>();
        for (Any detail : error.getDetailsList()) {
            if (detail.is(ErrorInfo.class)) {
                reason = unpack(detail, ErrorInfo.class).getReason();
            } else if (detail.is(BadRequest.class)) {
                for (var violation : unpack(detail, BadRequest.class).getFieldViolationsList()) {
                    more.add(violation.getField() + ": " + violation.getDescription());
                }
            } else if (detail.is(RetryInfo.class)) {
                long delay = Durations.toMillis(unpack(detail, RetryInfo.class).getRetryDelay());
                more.add("try again in " + delay / 1000.0 + " s");
            }
        }
        // Decide by code and reason; the message is for people and may change.
        System.out.printf("  %s %s: %s%n", Code.forNumber(error.getCode()), reason, error.getMessage());
        more.forEach(line -> System.out.println("    " + line));
    }

    /** Streams all keys. A failed item has its own status and does not end the stream. */
    private static void analyzeMany(ImageAnalysisServiceStub stub, String bucket, List<String> keys) {
        List<AnalyzeManyRequest> requests = new ArrayList<>();
        requests.add(AnalyzeManyRequest.newBuilder()
                .setConfig(AnalyzeManyConfig.newBuilder().setFeatures(LABELS).setMaxInFlight(8))
                .build());
        for (String key : keys) {
            var item = AnalyzeManyItem.newBuilder().setItemId(key).setImage(picture(bucket, key));
            requests.add(AnalyzeManyRequest.newBuilder().setItem(item).build());
        }
        Results results = new Results(requests.iterator());
        stub.withDeadlineAfter(10, TimeUnit.MINUTES).analyzeMany(results);
        try {
            results.done.join();
        } catch (CompletionException failed) {
            throw (StatusRuntimeException) failed.getCause();
        }
    }

    /** Writes while the results are read, as fast as the server takes it. */
    private static final class Results implements ClientResponseObserver<AnalyzeManyRequest, AnalyzeManyResponse> {
        private final Iterator<AnalyzeManyRequest> requests;
        private final CompletableFuture<Void> done = new CompletableFuture<>();

        Results(Iterator<AnalyzeManyRequest> requests) {
            this.requests = requests;
        }

        @Override
        public void beforeStart(ClientCallStreamObserver<AnalyzeManyRequest> call) {
            call.setOnReadyHandler(() -> {
                while (call.isReady() && requests.hasNext()) {
                    call.onNext(requests.next());
                    if (!requests.hasNext()) {
                        call.onCompleted();
                    }
                }
            });
        }

        @Override
        public void onNext(AnalyzeManyResponse response) {
            if (response.hasSummary()) {
                AnalyzeManySummary summary = response.getSummary();
                System.out.printf("%d succeeded, %d failed%n", summary.getSucceededCount(), summary.getFailedCount());
                return;
            }
            AnalyzeManyResult result = response.getResult();
            System.out.println("item " + result.getItemId());
            if (result.hasError()) {
                explain(result.getError());
            } else {
                printLabels(result.getAnalysis());
            }
        }

        @Override
        public void onError(Throwable error) {
            done.completeExceptionally(error);
        }

        @Override
        public void onCompleted() {
            done.complete(null);
        }
    }

    /** Makes a call that cannot succeed, to show how its error is read. */
    private static void expectError(String what, ImageAnalysisServiceBlockingStub stub, AnalyzeImageRequest request) {
        System.out.println(what);
        try {
            stub.analyzeImage(request);
        } catch (StatusRuntimeException error) {
            explain(StatusProto.fromThrowable(error));
        }
    }

    private static void run(ManagedChannel channel, String bucket, List<String> keys) {
        var headers = MetadataUtils.newAttachHeadersInterceptor(credentials());
        var stub = ImageAnalysisServiceGrpc.newBlockingStub(channel).withInterceptors(headers);

        System.out.printf("labels of s3://%s/%s%n", bucket, keys.get(0));
        AnalyzeImageRequest.Builder request =
                AnalyzeImageRequest.newBuilder().setImage(picture(bucket, keys.get(0))).setFeatures(LABELS);
        // The deadline covers repeated calls too. A model takes seconds.
        printLabels(stub.withDeadlineAfter(60, TimeUnit.SECONDS).analyzeImage(request.build()).getAnalysis());
        analyzeMany(ImageAnalysisServiceGrpc.newStub(channel).withInterceptors(headers), bucket, keys);

        AnalyzeImageRequest mistakes = AnalyzeImageRequest.newBuilder().setImage(picture(bucket, "")).build();
        expectError("a request with mistakes", stub.withDeadlineAfter(60, TimeUnit.SECONDS), mistakes);
        // Without the cache: a kept result might be there in time.
        request.setOptions(AnalysisOptions.newBuilder().setCacheMode(CacheMode.CACHE_MODE_OFF));
        expectError("a deadline that is too short", stub.withDeadlineAfter(50, TimeUnit.MILLISECONDS), request.build());
    }

    public static void main(String[] arguments) throws IOException {
        if (arguments.length < 2) {
            System.err.println("Usage: Analyze BUCKET KEY [KEY...]");
            System.exit(2);
        }
        ManagedChannel channel = connect();
        int code = 0;
        try {
            run(channel, arguments[0], List.of(arguments).subList(1, arguments.length));
        } catch (StatusRuntimeException error) {
            explain(StatusProto.fromThrowable(error));
            code = 1;
        } finally {
            channel.shutdownNow();
        }
        System.exit(code);
    }
}
