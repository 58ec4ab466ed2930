#!/bin/sh
# core/ decides and is pure: its objects may need nothing that makes a system
# call, reads a clock or logs. Usage: check-core-pure.sh BUILD-DIRECTORY OBJECT ...
set -eu
build=$1
shift

allowed='
abort __assert_fail __stack_chk_fail
malloc calloc realloc reallocarray free
bcmp memchr memcmp memrchr memcpy memmove memset __memcpy_chk __memset_chk
qsort
strchr strrchr strcmp strncmp strcspn strspn strdup strndup strlen strstr
strcpy strncpy strpbrk strsep stpcpy
snprintf vsnprintf vasprintf asprintf
__snprintf_chk __vsnprintf_chk __vasprintf_chk __asprintf_chk
inet_pton inet_ntop
ini_parse_stream
'
own=$(nm --defined-only --format=posix "$@" "$build/base/str.o" "$build/base/num.o" \
    "$build/base/error.o" "$build/base/json.o" "$build/base/mono.o" "$build/base/utf8.o" |
    awk 'NF > 1 { print $1 }' | sort -u)
bad=0
for object; do
	for symbol in $(nm -u --format=posix "$object" | awk '{ print $1 }'); do
		case $symbol in _GLOBAL_OFFSET_TABLE_) continue ;; esac
		echo "$own" | grep -qx -- "$symbol" && continue
		echo $allowed | tr ' ' '\n' | grep -qx -- "$symbol" && continue
		echo "$object needs $symbol, which core/ may not use"
		bad=1
	done
	# mono.o is fine to link, its clock is not to be read.
	if nm -u "$object" | grep -qw mono_now; then
		echo "$object reads the clock"
		bad=1
	fi
done
[ "$bad" = 0 ] && echo "core: $# objects, all pure"
exit "$bad"
