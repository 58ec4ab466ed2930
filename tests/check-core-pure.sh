#!/bin/sh
# core/ decides and is pure: its objects may need nothing that makes a system
# call, reads a clock or logs. Of base/ they may have whatever is as pure.
# usage: check-core-pure.sh OBJECT ..., all those of core/ and base/
set -eu

allowed='
abort __assert_fail __stack_chk_fail
malloc calloc realloc reallocarray free
bcmp memchr memcmp memrchr memcpy memmove memset __memcpy_chk __memset_chk
qsort
strchr strrchr strcmp strncmp strcspn strspn strdup strndup strlen strnlen
strstr strcpy strncpy strpbrk strsep stpcpy
snprintf vsnprintf vasprintf asprintf
__snprintf_chk __vsnprintf_chk __vasprintf_chk __asprintf_chk
inet_pton inet_ntop
ini_parse_stream
_GLOBAL_OFFSET_TABLE_
'
nm -A --format=posix "$@" | awk -v allowed="$allowed" '
BEGIN {
	n = split(allowed, names)
	for (i = 1; i <= n; i++)
		may[names[i]] = 1
}
{
	file = $1
	sub(/:$/, "", file)
	pure[file] = 1
	base[file] = file ~ /\/base\/[^\/]*$/
	if ($3 != "U")
		home[$2] = file
	# mono.o is fine to have, its clock is not to be read.
	else if (!(file ~ /\/base\/mono\.o$/ && $2 == "clock_gettime"))
		needs[file] = needs[file] " " $2
}
function impure(file, symbols, i, n) {
	n = split(needs[file], symbols)
	for (i = 1; i <= n; i++)
		if (symbols[i] == "mono_now" || !(symbols[i] in may) &&
		    !(symbols[i] in home && pure[home[symbols[i]]]))
			return symbols[i]
	return ""
}
END {
	do {
		again = 0
		for (file in pure)
			if (base[file] && pure[file] && impure(file) != "") {
				pure[file] = 0
				again = 1
			}
	} while (again)
	for (file in pure) {
		if (base[file])
			continue
		seen++
		if ((symbol = impure(file)) != "") {
			print file " needs " symbol ", which core/ may not use"
			bad = 1
		}
	}
	if (seen == 0) {
		print "no object of core/ was given"
		bad = 1
	}
	if (!bad)
		print "core: " seen " objects, all pure"
	exit bad
}'
