# The house: its rooms from the top down, and for each the rooms of its own
# layer that it may know. All may know the layers below: base < core < linux <
# daemon < cli. tests/check-rooms.py holds the code against this, and refuses a
# permission that nobody uses; the Makefile links a room's unit tests with that
# room and those below it, and no others. What runs in the kernel, bpf, is no
# room: it is compiled apart, and shares a header with linux/bpf.

ROOMS = web cli \
	daemon daemon/control daemon/config daemon/apps daemon/life \
	daemon/adopt daemon/health daemon/on_event daemon/watch daemon/steer \
	daemon/workers daemon/spec daemon/sockets daemon/output \
	linux/client linux/control linux/child linux/keeper linux/bpf linux/ledger \
	linux/socket linux/process \
	linux/file linux/loop \
	core/import core/web core/status core/control core/output core/sockets \
	core/worker core/health core/conf core/ledger core/names \
	base

web =
cli =
base =

daemon		= daemon/control daemon/config daemon/apps daemon/life \
	daemon/adopt daemon/health daemon/on_event daemon/watch daemon/steer \
	daemon/workers daemon/sockets daemon/output
daemon/control	= daemon/config daemon/apps daemon/health daemon/on_event \
	daemon/workers daemon/spec daemon/sockets daemon/output
daemon/config	= daemon/apps daemon/adopt daemon/spec daemon/sockets
daemon/apps	= daemon/life daemon/adopt daemon/health daemon/watch daemon/steer \
	daemon/workers daemon/spec daemon/sockets daemon/output
daemon/life	= daemon/adopt daemon/health daemon/on_event daemon/watch \
	daemon/steer daemon/workers daemon/spec daemon/sockets daemon/output
daemon/adopt	= daemon/watch daemon/steer daemon/workers daemon/spec daemon/sockets
daemon/health	= daemon/watch daemon/steer daemon/workers daemon/spec daemon/sockets
daemon/on_event	= daemon/watch
daemon/watch	= daemon/steer daemon/workers daemon/spec daemon/sockets
daemon/steer	= daemon/workers daemon/spec daemon/sockets
daemon/workers	= daemon/sockets
daemon/spec	= daemon/sockets daemon/output

linux/socket	= linux/file linux/process
linux/bpf	= linux/socket linux/process
linux/ledger	= linux/socket
linux/client	= linux/control linux/file
linux/control	= linux/file linux/keeper linux/ledger
linux/child	= linux/file linux/loop linux/keeper linux/process
linux/keeper	= linux/ledger linux/process linux/loop
linux/process	= linux/file

core/import	= core/conf core/names
core/web	= core/status core/control
core/status	= core/control core/worker
core/control	= core/conf core/names
core/output	= core/conf
core/sockets	= core/worker core/conf core/names
core/worker	= core/conf core/names
core/health	= core/conf
core/conf	= core/names
core/ledger	= core/names
