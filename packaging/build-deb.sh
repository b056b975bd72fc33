#!/bin/sh
# Builds the Debian package and prints its path. Arguments are handed on to cargo-deb.
#
#     packaging/build-deb.sh && apt install ./target/debian/shibudb_*.deb
#
# What goes into it is written in Cargo.toml, under [package.metadata.deb]. cargo-deb itself is
# installed under target/ the first time.
set -eu

cargo_deb=3.8.0

cd "$(dirname "$0")/.."
tools=${CARGO_TARGET_DIR:-$PWD/target}/tools
if [ "$("$tools/bin/cargo-deb" --version 2>/dev/null)" != "$cargo_deb" ]; then
    cargo install --quiet --locked --root "$tools" --version "=$cargo_deb" cargo-deb >&2
fi

# Everyone may read what is installed, whoever built it.
umask 022
"$tools/bin/cargo-deb" deb --locked --strip "$@"
