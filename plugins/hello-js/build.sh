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

# The JavaScript engine only fits the version of wasi:http that it was built with.
version=$(grep -ao 'wasi:http/types@[0-9.]*' "$componentize/lib/starlingmonkey_embedding.wasm" |
    head -n 1 | cut -d @ -f 2)
rm -rf "$tools/wit"
mkdir -p "$tools/wit/deps" "$(dirname "$out")"
for file in ../wit/*.wit; do
    sed "s/@0\.2\.12/@$version/" "$file" >"$tools/wit/deps/${file##*/}"
done
printf 'package samovar:hello-js;\nworld handler { export wasi:http/incoming-handler@%s; }\n' \
    "$version" >"$tools/wit/world.wit"

node "$componentize/src/cli.js" app.js --wit "$tools/wit" --world-name handler --out "$out"
