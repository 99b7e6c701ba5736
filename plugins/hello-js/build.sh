#!/usr/bin/env bash
# Builds the component: build.sh OUT.wasm
# What it needs is installed into target/ at the root of the repository, once per version.
set -euo pipefail

out=$(realpath -m "${1:?usage: build.sh OUT.wasm}")
cd "$(dirname "${BASH_SOURCE[0]}")"
tools=$PWD/../../target/tools/hello-js
componentize=$tools/node_modules/@bytecodealliance/componentize-js

if ! cmp -s package-lock.json "$tools/installed.json"; then
    rm -rf "$tools"
    mkdir -p "$tools"
    cp package.json package-lock.json "$tools/"
    npm ci --prefix "$tools" --no-audit --no-fund --loglevel=error
    cp package-lock.json "$tools/installed.json" # Last: it says that the rest is complete.
fi

# The tool wants one folder. The engine's own use of wasi:http is left out: it is of another version.
rm -rf "$tools/wit"
mkdir -p "$tools/wit/deps" "$(dirname "$out")"
cp ../wit/*.wit "$tools/wit/deps/"
cp wit/world.wit "$tools/wit/"
node "$componentize/src/cli.js" app.js --wit "$tools/wit" --world-name handler \
    --disable http fetch-event --out "$out"
