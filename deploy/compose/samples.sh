#!/bin/sh
# Makes a bucket on an S3 server and puts the files of a folder into it: samples.sh ENDPOINT BUCKET FOLDER.
# Credentials in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY. A bucket that is there already is kept.
set -eu
endpoint=$1 bucket=$2 folder=$3

s3() {
    curl --silent --show-error --fail --retry 10 --retry-delay 1 --retry-all-errors \
        --aws-sigv4 aws:amz:us-east-1:s3 --user "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY" "$@"
}

s3 --head --output /dev/null --retry 0 "$endpoint/$bucket" 2>/dev/null || s3 --request PUT "$endpoint/$bucket"
for file in "$folder"/*; do
    s3 --upload-file "$file" "$endpoint/$bucket/$(basename "$file")"
    echo "put s3://$bucket/$(basename "$file")"
done
