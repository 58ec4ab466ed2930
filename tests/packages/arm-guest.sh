#!/bin/busybox sh
# Process 1 of the machine that arm.sh makes: a server that binds its port by itself,
# clustered, reloaded, killed, scaled and upgraded under load.
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t tmpfs tmpfs /tmp
while read -r module; do insmod "$module"; done </modules
ip link set lo up

wrong=0
must() {	# WHAT COMMAND...
	what=$1
	shift
	if "$@" >/tmp/out 2>&1; then
		echo "arm: $what: yes"
	else
		echo "arm: $what: NO"
		cat /tmp/out
		wrong=1
	fi
}
ctl() { clusterctl -c /tmp/app.ini "$@"; }
ask() {
	printf 'GET / HTTP/1.0\r\n\r\n' | nc -w 5 127.0.0.1 "$1" | grep '^hello'
}
answers_of_all() {	# PORT INSTANCES
	[ "$(for i in 1 2 3 4 5 6 7 8 9 10 11 12; do ask "$1"; done | sort -u |
	    wc -l)" = "$2" ]
}

cat >/tmp/app.ini <<'A'
[clusterd]
control = /run/control
[web]
command = /bin/hello-minimal
port = 8080
instances = 3
user = root
[unprivileged]
command = /bin/hello-minimal
port = 8081
instances = 2
user = nobody
balance = random
A

uname -m
must "the file is right" clusterd -t -c /tmp/app.ini
clusterd -c /tmp/app.ini >/tmp/log 2>&1 &
keeper=$!
must "ready" ctl wait -t 100s
must "each instance answers" answers_of_all 8080 3
must "those of nobody too" answers_of_all 8081 2
must "both binds were adopted" \
    [ "$(grep -c 'as its program asks for' /tmp/log)" = 2 ]
must "eBPF steers" grep 'balance = auto is least-connections here' /tmp/log

touch /tmp/going
(while [ -e /tmp/going ]; do ask 8080 || echo FAILED; done) >/tmp/load &
load=$!
must "a reload" ctl reload
ctl signal web:0 KILL
sleep 1
supervisor=$(cat "/proc/$keeper/task/$keeper/children")
kill -9 $supervisor
must "another supervisor" ctl wait -t 30s
must "it has taken over" grep '5 workers of the supervisor before serve on' /tmp/log
must "scaled" ctl scale web 2
must "each instance is reached by a check" ctl check web
must "an upgrade" ctl upgrade
rm /tmp/going
wait $load
echo "arm: $(grep -c hello /tmp/load) answers, $(grep -c FAILED /tmp/load) failures"
must "no request failed" sh -c 'grep -q hello /tmp/load && ! grep FAILED /tmp/load'
must "a stop" ctl stop
wait $keeper
must "with status 0" [ $? = 0 ]
if [ $wrong = 0 ]; then
	echo "arm: all is well"
else
	cat /tmp/log
fi
poweroff -f
