# Installs the distribution's Rust compiler with its library source, and a libc for the guest
# target. Run by distro.rs under a lock: sh -s -- CACHE_DIR TARGET
# Standard output is the log; its last line is the reason when this fails.
set -eu
cache=$1
target=$2

fail() {
    echo "$1"
    exit 1
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null 2>&1 && sudo -n true >/dev/null 2>&1; then
        sudo -n "$@"
    else
        fail "installing packages needs root, or a sudo that asks for no password"
    fi
}

# Runs a command quietly; what it said is shown only when it fails.
quietly() {
    if ! said=$("$@" 2>&1); then
        printf '%s\n' "$said" | tail -n 5
        fail "failed: $*"
    fi
}

command -v apt-get >/dev/null 2>&1 || fail "this machine has no apt-get"
command -v dpkg >/dev/null 2>&1 || fail "this machine has no dpkg"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"

if [ ! -x /usr/bin/rustc ] || [ ! -e /usr/lib/rustlib/src/rust/library/std/Cargo.toml ]; then
    echo "apt-get install rustc-web rust-web-src"
    quietly as_root apt-get update
    quietly as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y --no-install-recommends rustc-web rust-web-src
fi

# --- libc ---------------------------------------------------------------------------------------
has_libc() { [ -e "$1/usr/lib/$target/libc.a" ]; }
if has_libc "" || has_libc "$cache"; then
    exit 0
fi

# The machine's own sources, one line each: "deb [options] address suite components".
own_sources() {
    cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null | grep '^deb ' || true
    for file in /etc/apt/sources.list.d/*.sources; do
        [ -e "$file" ] || continue
        awk '
            function flush(   i, j, a, b, na, nb) {
                na = split(uris, a, " "); nb = split(suites, b, " ")
                for (i = 1; i <= na; i++) for (j = 1; j <= nb; j++)
                    print "deb" (key ? " [signed-by=" key "]" : "") " " a[i] " " b[j] " " parts
                uris = suites = parts = key = ""
            }
            /^#/ { next }
            /^[ \t]*$/ { if (uris) flush(); next }
            { name = tolower($1); sub(/^[^:]*:[ \t]*/, "") }
            name == "uris:" { uris = $0 }
            name == "suites:" { suites = $0 }
            name == "components:" { parts = $0 }
            name == "signed-by:" { key = $1 }
            END { if (uris) flush() }
        ' "$file"
    done
}

codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
[ -n "$codename" ] || fail "this machine does not say which release of its distribution it is"

# The line of this release's main archive, rewritten for another suite.
line_for() {
    own_sources | grep -E "[[:space:]]$codename[[:space:]]" | head -n 1 |
        sed -E "s/[[:space:]]$codename[[:space:]]/ $1 /"
}

# Fetches wasi-libc from one suite into a private apt state, so that the machine's stays as it is.
fetch_from() {
    line=$(line_for "$1")
    [ -n "$line" ] || return 1
    mkdir -p "$work/lists/partial" "$work/archives/partial"
    printf '%s\n' "$line" >"$work/sources.list"
    set -- -o Dir::Etc::SourceList="$work/sources.list" -o Dir::Etc::SourceParts=/dev/null \
        -o Dir::State::Lists="$work/lists" -o Dir::Cache="$work" -o APT::Sandbox::User=root \
        -o Acquire::Languages=none -o Acquire::Check-Valid-Until=false
    apt-get "$@" update >"$work/log" 2>&1 || return 1
    (cd "$work" && apt-get "$@" download wasi-libc >>"$work/log" 2>&1) || return 1
    package=$(find "$work" -maxdepth 1 -name 'wasi-libc_*.deb' | head -n 1)
    [ -n "$package" ] || return 1
    dpkg -x "$package" "$work/unpacked"
    rm -f "$package"
    has_libc "$work/unpacked"
}

for suite in "$codename" "$codename-backports" stable stable-backports testing; do
    echo "looking for wasi-libc in $suite"
    rm -rf "$work/lists" "$work/unpacked"
    if fetch_from "$suite"; then
        mkdir -p "$cache/usr/lib"
        # Other folders of the package belong to other targets; the rename makes it all or nothing.
        rm -rf "$cache/usr/lib/$target.new"
        cp -r "$work/unpacked/usr/lib/$target" "$cache/usr/lib/$target.new"
        mv "$cache/usr/lib/$target.new" "$cache/usr/lib/$target"
        exit 0
    fi
done
[ ! -e "$work/log" ] || tail -n 2 "$work/log"
fail "no suite in reach has a wasi-libc with $target"
