#!/usr/bin/env bash
# Builds the component: build.sh OUT.wasm
# What it needs is installed into target/ at the root of the repository, once per version.
set -euo pipefail

out=$(realpath -m "${1:?usage: build.sh OUT.wasm}")
cd "$(dirname "${BASH_SOURCE[0]}")"
tools=$PWD/../../../target/tools/queue-depth-python

if ! cmp -s requirements.txt "$tools/requirements.txt"; then
    rm -rf "$tools"
    python3 -m venv "$tools"
    "$tools/bin/pip" install --quiet --disable-pip-version-check -r requirements.txt
    cp requirements.txt "$tools/" # Last: it says that the rest is complete.
fi

mkdir -p "$(dirname "$out")"
"$tools/bin/componentize-py" --quiet --world samovar:policy/policy \
    --wit-path ../../../guest-sdk/wit componentize scaling --output "$out"
