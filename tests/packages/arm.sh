#!/bin/sh
# Whether the static binary for aarch64 does on such a kernel what is done here by
# x86_64: in an emulated machine, a minute or two. No part of `make check-packages`.
#
#	make static ARCH=aarch64 && tests/packages/arm.sh VMLINUZ BUSYBOX [MODULE...]
#
# VMLINUZ, and inet_diag.ko and tcp_diag.ko in this order, are of Debian's
# linux-image-cloud-arm64, and BUSYBOX is of its busybox-static for arm64 (apt-get
# download, dpkg-deb -x). Takes qemu-system-arm, gcc-aarch64-linux-gnu with
# libc6-dev-arm64-cross, and cpio.
set -eu

kernel=${1:?usage: arm.sh VMLINUZ BUSYBOX [MODULE...]} busybox=${2:?}
shift 2
here=$(cd "$(dirname "$0")" && pwd)
root=$(mktemp -d)
trap 'rm -rf "$root" "$root.img" "$root.said"' EXIT

mkdir -p "$root/bin" "$root/proc" "$root/sys" "$root/dev" "$root/tmp" \
    "$root/run" "$root/etc"
cp "$busybox" "$root/bin/busybox"
cp "$here/../../build-static/aarch64/clusterd" \
    "$here/../../build-static/aarch64/clusterctl" "$root/bin"
aarch64-linux-gnu-gcc -static -O1 -o "$root/bin/hello-minimal" \
    "$here/../../examples/hello-minimal.c"
cp "$here/arm-guest.sh" "$root/init"
chmod 755 "$root" "$root/init"
: >"$root/modules"
for module in "$@"; do
	cp "$module" "$root"
	echo "/${module##*/}" >>"$root/modules"
done
printf 'root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n' \
    >"$root/etc/passwd"
printf 'root:x:0:\nnogroup:x:65534:\n' >"$root/etc/group"
(cd "$root" && find . | cpio -o -H newc --quiet | gzip -1) >"$root.img"

timeout "${LIMIT:-600}" "${QEMU:-qemu-system-aarch64}" -M virt -cpu cortex-a72 \
    -accel tcg -m 1024 -smp 2 -nographic -nic none -no-reboot \
    -kernel "$kernel" -initrd "$root.img" \
    -append "console=ttyAMA0 quiet panic=-1 rdinit=/init" </dev/null |
    tr -d '\r' | tee "$root.said"
grep -q '^arm: all is well$' "$root.said"
