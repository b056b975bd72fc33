#!/bin/sh
# Builds the Debian package and prints its path. Passes its arguments to cargo-deb.
#
#     packaging/build-deb.sh && apt install ./target/debian/shibudb_*.deb
#
# Cargo.toml lists the contents, under [package.metadata.deb]. The first run installs cargo-deb itself
# under target/. Progress goes to standard error.
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

# Installed files are readable for every user, whatever the builder's umask is.
umask 022

say "step 2 of 3: building shibudb for release (ten minutes the first time)"
cargo build --release --locked --bin shibudb >&2

say "step 3 of 3: packing"
"$tools/bin/cargo-deb" deb --locked --no-build --strip "$@"
say "done; install it with: apt install ./PATH, as printed"
