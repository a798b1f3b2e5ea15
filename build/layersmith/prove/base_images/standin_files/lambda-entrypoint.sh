#!/bin/bash
# Stands where AWS's base image has its entry point: the handler is the first argument.
set -e
if [ -z "$AWS_LAMBDA_RUNTIME_API" ]; then
    echo "AWS_LAMBDA_RUNTIME_API is not set: this image has no emulator of the Runtime API" >&2
    exit 1
fi
export _HANDLER="$1"
exec /var/runtime/bootstrap
