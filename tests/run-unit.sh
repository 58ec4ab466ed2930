#!/bin/sh
# Runs the programs of unit tests, all of them, whatever becomes of those before.
# A line for each, the whole output of one that fails, and at the end how many
# tests there were. One that hangs is ended after five minutes.
# usage: run-unit.sh DIRECTORY PROGRAM ..., the programs below that directory
set -u
directory=$1
shift
[ $# -gt 0 ] || { echo "no such unit test" >&2; exit 1; }

# cmocka's number of tests with that result, 0 where it says nothing.
count() {
	n=$(sed -n "s/^\[  $1 *\] \([0-9]*\) test(s).*/\1/p" "$2" | tail -n 1)
	echo "${n:-0}"
}

passed=0 failed=0 skipped=0
for program; do
	case $program in
	*/test_man) argument=man/clusterd.ini.5 ;;
	*) argument= ;;
	esac
	code=0
	timeout --foreground -k 10 300 "$program" $argument \
	    >"$program.log" 2>&1 </dev/null || code=$?
	p=$(count PASSED "$program.log")
	f=$(count FAILED "$program.log")
	s=$(count SKIPPED "$program.log")
	if [ "$code" -ne 0 ]; then
		cat "$program.log"
		[ "$f" -gt 0 ] || f=1
	elif [ $((p + s)) -eq 0 ]; then
		echo "$program has not said how many tests passed"
		f=1
	fi
	line="${program#"$directory"/}: $p passed"
	[ "$f" -eq 0 ] || line="$line, $f FAILED, exit code $code"
	[ "$s" -eq 0 ] || line="$line, $s skipped"
	echo "$line"
	passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
done
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
