// Asks a Sightline server what is in pictures in S3: in one, then in all of them over one stream.
//
// Usage: sightline-client BUCKET KEY [KEY...]
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	_ "google.golang.org/grpc/health" // lets the service config ask for health checks
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	pb "example.com/sightline-client/gen/sightline/v1"
)

var labels = &pb.Features{Labels: &pb.LabelsFeature{}}

// connect makes a connection that repeats calls as the service config says; with TLS when SIGHTLINE_TLS_CA names a file.
func connect() (*grpc.ClientConn, error) {
	address, file := "localhost:50051", "../../deploy/service-config.json"
	if value := os.Getenv("SIGHTLINE_ADDRESS"); value != "" {
		address = value
	}
	if value := os.Getenv("SIGHTLINE_SERVICE_CONFIG"); value != "" {
		file = value
	}
	serviceConfig, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	transport := insecure.NewCredentials()
	if ca := os.Getenv("SIGHTLINE_TLS_CA"); ca != "" {
		if transport, err = credentials.NewClientTLSFromFile(ca, ""); err != nil {
			return nil, err
		}
	}
	return grpc.NewClient(address,
		grpc.WithTransportCredentials(transport), grpc.WithDefaultServiceConfig(string(serviceConfig)))
}

// call is the context of one call: its deadline, which covers repeated calls too, and who calls. Without TLS, send a
// token only where a mesh encrypts.
func call(limit time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	if token := os.Getenv("SIGHTLINE_TOKEN"); token != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
	}
	return ctx, cancel
}

func picture(bucket, key string) *pb.ImageSource {
	return &pb.ImageSource{Source: &pb.ImageSource_S3Object{S3Object: &pb.S3Object{Bucket: bucket, Key: key}}}
}

func analyzeOne(client pb.ImageAnalysisServiceClient, request *pb.AnalyzeImageRequest, limit time.Duration) error {
	ctx, cancel := call(limit)
	defer cancel()
	response, err := client.AnalyzeImage(ctx, request)
	if err == nil {
		printLabels(response.GetAnalysis())
	}
	return err
}

func printLabels(analysis *pb.ImageAnalysis) {
	image := analysis.GetImage()
	fmt.Printf("  %s, %d x %d pixels\n", image.GetMediaType(), image.GetWidth(), image.GetHeight())
	for _, label := range analysis.GetLabels().GetLabels() {
		for _, instance := range label.GetInstances() {
			start, end := instance.GetBox().GetPixels().GetTopLeft(), instance.GetBox().GetPixels().GetBottomRight()
			fmt.Printf("  %s %.2f (%d,%d)-(%d,%d)\n", label.GetName(), instance.GetConfidence(),
				start.GetX(), start.GetY(), end.GetX(), end.GetY())
		}
	}
}

// explain prints an error with its details: that of a call, or of one item of a stream.
func explain(err error) {
	failed := status.Convert(err)
	// An error that the client's own library made, such as a deadline that passed here, has no details.
	reason := "(no reason)"
	var more []string
	for _, detail := range failed.Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			reason = detail.GetReason()
		case *errdetails.BadRequest:
			for _, violation := range detail.GetFieldViolations() {
				more = append(more, fmt.Sprintf("%s: %s", violation.GetField(), violation.GetDescription()))
			}
		case *errdetails.RetryInfo:
			more = append(more, fmt.Sprintf("try again in %v s", detail.GetRetryDelay().AsDuration().Seconds()))
		}
	}
	// Decide by code and reason; the message is for people and may change.
	fmt.Printf("  %s %s: %s\n", failed.Code(), reason, failed.Message())
	for _, line := range more {
		fmt.Println("    " + line)
	}
}

// analyzeMany streams all keys. A failed item has its own status and does not end the stream.
func analyzeMany(client pb.ImageAnalysisServiceClient, bucket string, keys []string) error {
	ctx, cancel := call(10 * time.Minute)
	defer cancel()
	stream, err := client.AnalyzeMany(ctx)
	if err != nil {
		return err
	}
	// Writes while the results are read. When it cannot go on, Recv returns the stream's error.
	go func() {
		config := &pb.AnalyzeManyConfig{Features: labels, MaxInFlight: 8}
		err := stream.Send(&pb.AnalyzeManyRequest{Payload: &pb.AnalyzeManyRequest_Config{Config: config}})
		for i := 0; i < len(keys) && err == nil; i++ {
			item := &pb.AnalyzeManyItem{ItemId: keys[i], Image: picture(bucket, keys[i])}
			err = stream.Send(&pb.AnalyzeManyRequest{Payload: &pb.AnalyzeManyRequest_Item{Item: item}})
		}
		stream.CloseSend()
	}()
	for {
		response, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if summary := response.GetSummary(); summary != nil {
			fmt.Printf("%d succeeded, %d failed\n", summary.GetSucceededCount(), summary.GetFailedCount())
		} else if result := response.GetResult(); result != nil {
			fmt.Println("item", result.GetItemId())
			if failed := result.GetError(); failed != nil {
				explain(status.ErrorProto(failed))
			} else {
				printLabels(result.GetAnalysis())
			}
		}
	}
}

func run(bucket string, keys []string) error {
	conn, err := connect()
	if err != nil {
		return err
	}
	defer conn.Close()
	client := pb.NewImageAnalysisServiceClient(conn)

	fmt.Printf("labels of s3://%s/%s\n", bucket, keys[0])
	request := &pb.AnalyzeImageRequest{Image: picture(bucket, keys[0]), Features: labels}
	// A model takes seconds.
	if err := analyzeOne(client, request, time.Minute); err != nil {
		return err
	}
	if err := analyzeMany(client, bucket, keys); err != nil {
		return err
	}

	// Two calls that cannot succeed, to show how their errors are read.
	fmt.Println("a request with mistakes")
	if err := analyzeOne(client, &pb.AnalyzeImageRequest{Image: picture(bucket, "")}, time.Minute); err != nil {
		explain(err)
	}
	fmt.Println("a deadline that is too short")
	// Without the cache: a kept result might be there in time.
	request.Options = &pb.AnalysisOptions{CacheMode: pb.CacheMode_CACHE_MODE_OFF}
	if err := analyzeOne(client, request, 50*time.Millisecond); err != nil {
		explain(err)
	}
	return nil
}

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "Usage: sightline-client BUCKET KEY [KEY...]")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2:]); err != nil {
		explain(err)
		os.Exit(1)
	}
}
