#!/bin/sh
# Limits by control group and the OOM killer, in a kernel that has the controllers:
# an emulated machine (qemu, without KVM where that is not to be had) with a small
# initramfs: busybox, clusterd, clusterctl, and what guest.sh and faults.sh run. A
# few minutes.
#
#	make && tests/vm/run.sh VMLINUZ
#
# VMLINUZ: a kernel with cgroups and a serial console built in, such as Debian's
# linux-image-cloud-amd64 has in /boot. Takes qemu-system-x86, busybox-static, cpio
# and cc. Not part of `make check`. B is the build, `build` if not given; MANY is how
# many workers there are at once, 1000 if not given, and 0 for not many; LIMITS=0
# leaves out the rest of guest.sh, and FAULTS=tiny,few all but those of faults.sh.
set -eu

kernel=${1:?usage: tests/vm/run.sh VMLINUZ}
B=${B:-build}
here=$(cd "$(dirname "$0")" && pwd)
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT

with_libraries() {	# a program, and whatever its loader loads
	cp "$1" "$root/bin/"
	ldd "$1" 2>/dev/null | grep -o '/[^ ]*' | while read -r library; do
		mkdir -p "$root$(dirname "$library")"
		cp -L "$library" "$root$library"
	done
}

mkdir -p "$root/bin" "$root/proc" "$root/sys" "$root/dev" "$root/tmp" \
    "$root/run" "$root/etc"
cp /bin/busybox "$root/bin/"
with_libraries "$B/clusterd"
with_libraries "$B/clusterctl"
with_libraries examples/hello-server
cc -O1 -static -o "$root/bin/leak" "$here/leak.c"
cp "$here/guest.sh" "$root/init"
cp "$here/faults.sh" "$root/"
chmod 755 "$root" "$root/init"
chmod 1777 "$root/tmp"
printf 'root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n' \
    >"$root/etc/passwd"
printf 'root:x:0:\nnogroup:x:65534:\n' >"$root/etc/group"
(cd "$root" && find . | cpio -o -H newc --quiet | gzip -1) >"$root.img"

accel=tcg
[ -w /dev/kvm ] && accel=kvm
timeout "${LIMIT:-600}" qemu-system-x86_64 -accel "$accel" -m 2048 -smp 2 \
    -nographic -nic none -no-reboot -kernel "$kernel" -initrd "$root.img" \
    -append "console=ttyS0 quiet panic=-1 rdinit=/init MANY=${MANY:-1000} \
FAULTS=${FAULTS-tiny,few,twice,keeps,torn,quiet} LIMITS=${LIMITS:-1}" </dev/null |
    sed -u 's/\r//g' | tee "$root/said"
rm -f "$root.img"
grep -q '^vm: all is well$' "$root/said"
