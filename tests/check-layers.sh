#!/bin/sh
# Includes point downward only: base < core < linux < daemon < cli. What runs in
# the kernel, bpf, is beside linux, which it shares a header with.
set -eu
cd "$(dirname "$0")/.."

level() {
	case $1 in
	base) echo 0 ;;
	core) echo 1 ;;
	linux | bpf) echo 2 ;;
	daemon) echo 3 ;;
	cli) echo 4 ;;
	*) echo unknown ;;
	esac
}

bad=0
seen=0
for file in src/*/*.[ch] src/*/*/*.[ch]; do
	room=${file#src/}
	room=${room%%/*}
	for included in $(sed -n 's/^#include "\(.*\)"$/\1/p' "$file"); do
		to=$(level "${included%%/*}")
		seen=$((seen + 1))
		if [ "$to" = unknown ] || [ "$to" -gt "$(level "$room")" ]; then
			echo "$file includes $included, which is not below it"
			bad=1
		fi
	done
done
[ "$seen" -gt 0 ] || { echo "no include was found: is this the tree?"; exit 1; }
[ "$bad" = 0 ] && echo "layers: $seen includes, all point downward"
exit "$bad"
