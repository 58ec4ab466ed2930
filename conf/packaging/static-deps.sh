#!/bin/sh
# static-deps.sh DIRECTORY ARCH: what a static build for ARCH (x86_64, aarch64)
# takes beside a compiler, unpacked below DIRECTORY: Debian's musl-dev,
# libinih-dev and linux-libc-dev of that architecture. By an apt of our own that knows
# the machine's sources: nothing is installed, no architecture is added to the
# machine, root is not needed.
set -eu

dir=$1 arch=$2
case $arch in
x86_64)		debian=amd64 ;;
aarch64)	debian=arm64 ;;
*)		echo "static-deps: no word for the architecture $arch" >&2; exit 1 ;;
esac

[ ! -e "$dir/complete" ] || exit 0
command -v apt-get >/dev/null || {
	echo "static-deps: there is no apt-get; where musl and inih are, make" >&2
	echo "  static is told by MUSL_LIB=DIRECTORY, MUSL_INCLUDE=DIRECTORY," >&2
	echo "  LINUX_INCLUDE=DIRECTORY, INIH_LIB=FILE, INIH_INCLUDE=DIRECTORY" >&2
	exit 1
}

mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
work=$dir/apt
rm -rf "$work"
mkdir -p "$work/sources" "$work/lists/partial" "$work/cache/archives/partial"
: >"$work/status"
eval "$(apt-config shell etc Dir::Etc/d)"

# Debian's own: of others none has what we want.
for list in "$etc"sources.list.d/*.sources; do
	! grep -qs debian-archive-keyring "$list" || cp "$list" "$work/sources"
done
for list in "$etc"sources.list "$etc"sources.list.d/*.list; do
	! grep -qs '^deb .*debian' "$list" || grep '^deb .*debian' "$list" \
	    >"$work/sources/$(basename "$list" .list).list"
done

apt() {
	apt-get -qq -o APT::Architecture="$debian" \
	    -o APT::Architectures::="$debian" \
	    -o Dir::Etc::sourcelist=/dev/null \
	    -o Dir::Etc::sourceparts="$work/sources" \
	    -o Dir::State::lists="$work/lists" \
	    -o Dir::State::status="$work/status" \
	    -o Dir::Cache="$work/cache" \
	    -o APT::Sandbox::User=root \
	    -o Acquire::Languages=none -o Acquire::Retries=2 \
	    -o Acquire::http::Timeout=20 \
	    -o Debug::NoLocking=1 "$@"
}

apt update
cd "$work"
apt download musl-dev libinih-dev linux-libc-dev
for deb in *.deb; do
	dpkg-deb -x "$deb" "$dir"
done
# musl has no sys/queue.h, queue(7); ours of another C library needs nothing of it.
queue=$(echo '#include <sys/queue.h>' | ${CC:-cc} -E - | \
    sed -n 's|^# 1 "\(/.*/sys/queue\.h\)".*|\1|p' | head -n 1)
mkdir -p "$dir/usr/include/$arch-linux-gnu/sys"
cp "$queue" "$dir/usr/include/$arch-linux-gnu/sys/queue.h"
rm -rf "$work"
: >"$dir/complete"
