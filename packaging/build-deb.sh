#!/bin/sh
# Builds the Debian package and prints its path. Arguments are handed on to cargo-deb.
#
#     packaging/build-deb.sh && apt install ./target/debian/shibudb_*.deb
#
# What goes into it is written in Cargo.toml, under [package.metadata.deb]. cargo-deb itself is
# installed under target/ the first time. What it is at goes to standard error.
set -eu

cargo_deb=3.8.0

say() {
    echo "build-deb: $*" >&2
}

cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-$PWD/target}
tools=$target/tools
if [ "$("$tools/bin/cargo-deb" --version 2>/dev/null)" != "$cargo_deb" ]; then
    say "step 1 of 3: building cargo-deb $cargo_deb, which makes the package, in $tools (once, some minutes)"
    cargo install --locked --root "$tools" --version "=$cargo_deb" cargo-deb >&2
else
    say "step 1 of 3: cargo-deb $cargo_deb is in $tools"
fi

# Everyone may read what is installed, whoever built it.
umask 022

say "step 2 of 3: building shibudb for release (ten minutes the first time)"
cargo build --release --locked --bin shibudb >&2

say "step 3 of 3: packing"
"$tools/bin/cargo-deb" deb --locked --no-build --strip "$@"
say "done; install it with: apt install ./PATH, as printed"
