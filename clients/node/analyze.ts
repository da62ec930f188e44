// Asks a Sightline server what is in pictures in S3: in one, then in all of them over one stream.
//
// Usage: node dist/analyze.js BUCKET KEY [KEY...]

import { readFileSync } from 'node:fs';
import { Readable, type Writable } from 'node:stream';
import * as grpc from '@grpc/grpc-js';
import * as protoLoader from '@grpc/proto-loader';
import type { ProtoGrpcType as DetailTypes } from './gen/error_details.js';
import type { Status__Output as Status } from './gen/google/rpc/Status.js';
import type { ProtoGrpcType as SightlineTypes } from './gen/image_analysis.js';
import type { AnalyzeImageRequest } from './gen/sightline/v1/AnalyzeImageRequest.js';
import type { AnalyzeImageResponse__Output as AnalyzeImageResponse } from './gen/sightline/v1/AnalyzeImageResponse.js';
import type { AnalyzeManyRequest } from './gen/sightline/v1/AnalyzeManyRequest.js';
import type { AnalyzeManyResponse__Output as AnalyzeManyResponse } from './gen/sightline/v1/AnalyzeManyResponse.js';
import type { ImageAnalysis__Output as ImageAnalysis } from './gen/sightline/v1/ImageAnalysis.js';
import type { ImageAnalysisServiceClient } from './gen/sightline/v1/ImageAnalysisService.js';

const definition = protoLoader.loadSync(['sightline/v1/image_analysis.proto', 'google/rpc/error_details.proto'], {
  includeDirs: ['../../proto', '../../third_party/googleapis'],
  // As for the types: see "generate" in package.json.
  longs: Number,
  enums: String,
  defaults: true,
  oneofs: true,
});
const { sightline, google } = grpc.loadPackageDefinition(definition) as unknown as SightlineTypes & DetailTypes;

/** A client that repeats calls as the service config says; with TLS when SIGHTLINE_TLS_CA names a file. */
function connect(): ImageAnalysisServiceClient {
  const ca = process.env.SIGHTLINE_TLS_CA;
  return new sightline.v1.ImageAnalysisService(
    process.env.SIGHTLINE_ADDRESS ?? 'localhost:50051',
    ca ? grpc.credentials.createSsl(readFileSync(ca)) : grpc.credentials.createInsecure(),
    {
      'grpc.service_config': readFileSync(
        process.env.SIGHTLINE_SERVICE_CONFIG ?? '../../deploy/service-config.json',
        'utf8',
      ),
    },
  );
}

/** The metadata that says who calls. Without TLS, send a token only where a mesh encrypts. */
function credentials(): grpc.Metadata {
  const metadata = new grpc.Metadata();
  const token = process.env.SIGHTLINE_TOKEN;
  if (token) metadata.set('authorization', `Bearer ${token}`);
  return metadata;
}

/** One unary call as a promise. The deadline covers repeated calls too. */
function analyzeImage(client: ImageAnalysisServiceClient, request: AnalyzeImageRequest, milliseconds: number) {
  return new Promise<AnalyzeImageResponse>((resolve, reject) => {
    client.analyzeImage(request, credentials(), { deadline: Date.now() + milliseconds }, (error, response) =>
      response ? resolve(response) : reject(error),
    );
  });
}

function printLabels(analysis: ImageAnalysis) {
  console.log(`  ${analysis.image?.mediaType}, ${analysis.image?.width} x ${analysis.image?.height} pixels`);
  for (const label of analysis.labels?.labels ?? []) {
    for (const { box, confidence } of label.instances) {
      const [start, end] = [box?.pixels?.topLeft, box?.pixels?.bottomRight];
      console.log(`  ${label.name} ${confidence?.toFixed(2)} (${start?.x},${start?.y})-(${end?.x},${end?.y})`);
    }
  }
}

/** The status of an error that a call threw. One that the client's own library made has no details. */
function statusOf(error: grpc.ServiceError): Status {
  const [encoded] = error.metadata?.get('grpc-status-details-bin') ?? [];
  if (encoded instanceof Buffer) return google.rpc.Status.deserialize(encoded);
  return { code: error.code, message: error.details, details: [] };
}

/** Prints an error with its details: that of a call, or of one item of a stream. */
function explain(status: Status) {
  const find = (name: string) => status.details.find((any) => any.type_url.endsWith(`/google.rpc.${name}`))?.value;
  const [info, badRequest, retry] = [find('ErrorInfo'), find('BadRequest'), find('RetryInfo')];
  // Decide by code and reason; the message is for people and may change.
  const reason = info ? google.rpc.ErrorInfo.deserialize(info).reason : '(no reason)';
  console.log(`  ${grpc.status[status.code]} ${reason}: ${status.message}`);
  for (const violation of badRequest ? google.rpc.BadRequest.deserialize(badRequest).fieldViolations : []) {
    console.log(`    ${violation.field}: ${violation.description}`);
  }
  const delay = retry && google.rpc.RetryInfo.deserialize(retry).retryDelay;
  if (delay) console.log(`    try again in ${delay.seconds + delay.nanos / 1e9} s`);
}

/** Streams all keys. A failed item has its own status and does not end the stream. */
async function analyzeMany(client: ImageAnalysisServiceClient, bucket: string, keys: string[]) {
  function* requests(): Generator<AnalyzeManyRequest> {
    yield { config: { features: { labels: {} }, maxInFlight: 8 } };
    for (const key of keys) yield { item: { itemId: key, image: { s3Object: { bucket, key } } } };
  }

  const call = client.analyzeMany(credentials(), { deadline: Date.now() + 600_000 });
  // Writes while the results are read, as fast as the server takes it.
  Readable.from(requests()).pipe(call as unknown as Writable);
  for await (const { result, summary } of call as AsyncIterable<AnalyzeManyResponse>) {
    if (summary) console.log(`${summary.succeededCount} succeeded, ${summary.failedCount} failed`);
    if (result) console.log(`item ${result.itemId}`);
    if (result?.error) explain(result.error);
    if (result?.analysis) printLabels(result.analysis);
  }
}

/** Makes a call that cannot succeed, to show how its error is read. */
async function expectError(what: string, call: Promise<unknown>) {
  console.log(what);
  await call.catch((error) => explain(statusOf(error)));
}

async function main(bucket: string, keys: string[]) {
  const client = connect();
  try {
    console.log(`labels of s3://${bucket}/${keys[0]}`);
    const request = { image: { s3Object: { bucket, key: keys[0] } }, features: { labels: {} } };
    // A model takes seconds.
    const { analysis } = await analyzeImage(client, request, 60_000);
    if (analysis) printLabels(analysis);
    await analyzeMany(client, bucket, keys);

    const mistakes = { image: { s3Object: { bucket, key: '' } } };
    await expectError('a request with mistakes', analyzeImage(client, mistakes, 60_000));
    // Without the cache: a kept result might be there in time.
    const hurried = { ...request, options: { cacheMode: 'CACHE_MODE_OFF' as const } };
    await expectError('a deadline that is too short', analyzeImage(client, hurried, 50));
  } catch (error) {
    explain(statusOf(error as grpc.ServiceError));
    process.exitCode = 1;
  } finally {
    client.close();
  }
}

const [bucket, ...keys] = process.argv.slice(2);
if (!bucket || keys.length === 0) {
  console.error('Usage: node dist/analyze.js BUCKET KEY [KEY...]');
  process.exit(2);
}
await main(bucket, keys);
