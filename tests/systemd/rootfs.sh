#!/bin/sh
# Makes the root file system that tests/systemd/ boots, and prints its path.
#
#     tests/systemd/rootfs.sh CACHE_DIR
#
# A minimal Debian 12 with systemd and the programs that the documented commands and scripts need. It is
# made once and kept in CACHE_DIR under a name derived from its contents, so a change of this file makes
# a new one. Nothing ever writes to a finished one: the machines run on an overlay.
#
# Packages come from this machine's own apt source of Debian 12, through the same proxy and with the same
# certificates. SHIBUDB_TEST_MIRROR names another mirror, for machines with another system.
set -eu

suite=bookworm
packages=systemd,systemd-sysv,init-system-helpers,jq,curl,bc,procps,python3-minimal

die() {
    echo "rootfs.sh: $*" >&2
    exit 1
}

[ $# -eq 1 ] || die "usage: rootfs.sh CACHE_DIR"
[ "$(id -u)" -eq 0 ] || die "debootstrap needs root"
command -v debootstrap >/dev/null || die "debootstrap is not installed (apt-get install debootstrap)"

mkdir -p "$1"
cache=$(cd "$1" && pwd)
key=$(sha256sum <"$0" | cut -c1-12)
root=$cache/rootfs-$suite-$(dpkg --print-architecture)-$key

# With two test runs at once, one makes it and the other waits.
exec 9>"$cache/rootfs.lock"
flock 9
if [ -d "$root" ]; then
    echo "$root"
    exit 0
fi
rm -rf "$cache"/rootfs-*

# The URI of the suite's main component, as apt would fetch it.
apt_mirror() {
    apt-get indextargets --format '$(REPO_URI)' \
        "Created-By: Packages" "Origin: Debian" "Codename: $suite" "Component: main" | head -n 1
}

# debootstrap fetches with wget, which reads its proxy and certificates from this file.
wget_settings() {
    host=$(echo "$mirror" | sed -E 's,^[a-z]+://([^/@]*@)?([^/:]+).*,\2,')
    for scheme in http https; do
        eval "$(apt-config shell any "Acquire::$scheme::Proxy" own "Acquire::$scheme::Proxy::$host")"
        proxy=${own:-${any:-}}
        [ -z "$proxy" ] || [ "$proxy" = DIRECT ] || echo "${scheme}_proxy = $proxy"
        unset any own
    done
    eval "$(apt-config shell ca Acquire::https::CaInfo)"
    [ -z "${ca:-}" ] || echo "ca_certificate = $ca"
}

mirror=${SHIBUDB_TEST_MIRROR:-$(apt_mirror)}
if [ -z "$mirror" ]; then
    # apt knows only what is in its lists, and a fresh machine may have none yet.
    apt-get update -qq >&2
    mirror=$(apt_mirror)
fi
[ -n "$mirror" ] || die "apt knows no mirror for $suite; set SHIBUDB_TEST_MIRROR"

half=$root.half
log=$cache/debootstrap.log
WGETRC=$cache/wgetrc
export WGETRC
wget_settings >"$WGETRC"
debootstrap --variant=minbase --include="$packages" "$suite" "$half" "$mirror" >"$log" 2>&1 || {
    tail -n 20 "$log" >&2
    rm -rf "$half"
    die "debootstrap failed; the whole of what it said is in $log"
}

# With an empty machine-id every boot is a new machine.
: >"$half/etc/machine-id"
echo shibudb-test >"$half/etc/hostname"
# Packages installed in a machine are removed with it, so syncing would only take time.
echo force-unsafe-io >"$half/etc/dpkg/dpkg.cfg.d/test"
rm -rf "$half"/var/cache/apt/archives/*.deb "$half"/var/lib/apt/lists/* "$WGETRC"

mv "$half" "$root"
echo "$root"
