/*
 * A listener and its lanes: what this room is about, and who writes what.
 *
 * A listener is an address that an app serves. It has lanes: listening sockets,
 * each with a kernel accept queue of its own, in one reuseport group. The lane
 * in slot 0 is opened with the listener and is what everybody has where the
 * listener is shared from the beginning. Others are opened when a worker wants one and none is
 * free, and stay open when it has gone, for the next one: closing a lane loses
 * what waits in it, and moves others in the kernel's order.
 *
 * The modules of the room, from the bottom up; each knows only those before it:
 *
 *   balancing      which balances can be had on this machine
 *   listener       the structs, and questions that they answer alone
 *   lanes_figures  what waits in a lane and what it has served
 *   listener_ledger  what stands of them in the ledger
 *   lanes_list     the lanes of a listener, by slot
 *   lanes_order    the order in which the kernel has them, and whether it is
 *                  known
 *   lanes_attach   what a program for them is made of, and where it goes
 *   lanes_extended, lanes_flows
 *                  the programs that take privileges: for TCP, and for UDP
 *   lanes_program  the kernel's group: who is in it, and the program that
 *                  chooses
 *   lanes_live     who gets new connections, and when that is put in force
 *   lanes_check    connections of clusterd's own to a lane that they mean
 *   lanes_hush     what they do not hear
 *   lanes_news     what epoll tells of their sockets
 *   lanes_sockets  the sockets: opened, begun to listen, closed
 *   lanes_door     nobody new comes in
 *   lanes          whose they are
 *   lanes_watch    who waits in those that nobody serves
 *   lanes_heal     what workers do to them, undone
 *   listener_file  the paths of Unix listeners
 *   listener_holder  who has an address that cannot be had
 *   listener_keep  for the next start
 *   listener_open  one listener, opened and closed
 *   lanes_again    … or found as another supervisor has left it
 *   listener_again
 *   listener_kept  … or as the one above has kept it
 *   listeners      all of them, shared by those who need them
 *
 * Each field has one writer, which is named below; but of what is taken over from
 * another supervisor it is lanes_again and listener_again at first. Everybody may
 * read.
 */
#ifndef DAEMON_SOCKETS_LISTENER_H
#define DAEMON_SOCKETS_LISTENER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/log.h"
#include "base/mono.h"
#include "core/names/address.h"
#include "core/sockets/balance.h"
#include "core/sockets/check_source.h"
#include "core/sockets/lane_order.h"
#include "core/sockets/lane_watch.h"
#include "daemon/sockets/balancing.h"
#include "linux/ledger/descriptors.h"
#include "linux/loop/loop.h"
#include "linux/socket/listen_fds.h"
#include "linux/socket/socket.h"

/* As many as a drain may have to look for. */
#define LISTENER_OLD_FILES 2

struct fd_store;
struct lane;
struct listener;
struct socket_values;
struct steering_ebpf;
struct steering_flows;

/* Who a lane is given to; it is the same one as long as its address is. */
struct lane_holder {
	struct log_about about;
	uint64_t number;	/* another one's is another, and not 0 */
	const void *crowd;	/* with whom it would share one: all who have
				   the same here */
};

struct lane {
	/* listener_ledger: */
	uint32_t record;	/* its place in the ledger, or LEDGER_NOWHERE */
	/* lanes_sockets: */
	struct listener *listener;
	unsigned slot;
	int fd;			/* -1: the program stops */
	int old;		/* TCP: the one in whose place `fd` is being
				   opened, still in the group; -1: none */
	uint64_t ino;		/* by which /proc knows it */
	bool noted;		/* socket_note_listening(); renewed by
				   lanes_order */
	bool deaf;		/* gets what is to get no answer: the door is
				   closed */
	bool broken;		/* its holder has spoilt it beyond repair:
				   opened anew for the next process */
	/* lanes_news: */
	loop_handle hangup;
	bool awaited;		/* … and that one tells of clients too */
	/* lanes_sockets, and lanes_heal: */
	bool unused;		/* opened by us, and no process has had `fd` */
	/* lanes: */
	const struct lane_holder *holder;	/* whose alone it is, or NULL */
	unsigned turn;		/* another one's: another number */
	unsigned moves;		/* lanes_move(): so often */
	uint64_t claimed;	/* which of its holder's processes has asked
				   for it last, lanes_claim(); 0: none */
	bool deserted;		/* its holder runs, and has closed it */
	uint64_t held_by;	/* that number's, who is about to be taken over
				   too: listeners_rejoin(); 0: nobody's */
	/* lanes_program: */
	bool listening;		/* and so in the group; UDP: bound */
	bool live;		/* gets new connections */
	bool returned;		/* lanes_order_look(): the program has to be
				   told */
	bool unseen;		/* somebody else let it listen, nobody knows
				   when */
	bool counted_late;	/* it was listening before its connections were
				   counted: older ones may be open, which are
				   not */
	uint64_t joined;	/* the how manieth it was to do so: its place
				   in the kernel's chain, see lanes_attach_point() */
	/* lanes_heal: */
	uint64_t had;		/* the inode of the latest one that a process of
				   its holder's had, which has ended; 0: none */
	/* lanes_live: */
	bool wanted;		/* is to be live: lanes_live_apply() */
	bool ramps;		/* from when it is wanted on its share grows, … */
	int64_t ramp_ms;	/* … for so long */
	/* lanes_extended: */
	bool uncounted;		/* the kernel does not count its connections,
				   or not all of them */
	/* lanes_hush: */
	bool hushed;		/* new clients may not be heard */
	bool sealed;		/* no handshake ends in it, … */
	struct mono sealed_until;	/* … until then at the latest */
	/* lanes_watch: */
	struct lane_watch watch;
	unsigned watched_turn;	/* which `turn` that is about */
	bool waits;		/* somebody does, as was heard */
	uint32_t waiting;	/* so many did, when that was last looked at */
	bool listens;		/* it is to be heard of who comes … */
	bool heeded;		/* … and by others: lanes_watch_heed() */
	/* lanes_check: */
	struct mono checked;	/* until then at the latest; 0: never */
	/* daemon/steer: */
	unsigned preference;	/* when that was last looked at; 0: none */
};

/* Classic BPF: a connection of clusterd's own, and whose lane it means. */
struct lane_check {
	struct check_source source;
	unsigned slot;
};

struct lanes {
	/* lanes_sockets: */
	struct lane **v;	/* by slot; at least one */
	size_t n;
	/* lanes: */
	struct lane *common;	/* for all who share one; it has no holder */
	/* lanes_door: */
	struct lane *waiting;	/* where all new clients wait for the next
				   start, or NULL */
	/* lanes_program: */
	enum balance balance;	/* in force */
	bool attached;		/* a program is */
	uint64_t joins;		/* how many there were */
	size_t expected;	/* so many lanes there will be */
	/* lanes_live: */
	bool suspect;		/* a program is attached, or was: a worker may
				   have taken its place */
	struct mono changed;	/* when the live ones last did */
	/* lanes_attach: */
	bool warned;		/* that no program could be attached */
	bool checks_out;	/* there was no room for the checks */
	/* lanes_check: */
	struct lane_check *checks;	/* under way; NULL: none ever was */
	size_t n_checks;
	/* lanes_extended: */
	struct steering_ebpf *ebpf;	/* NULL: classic BPF */
	size_t ebpf_room;	/* its slots */
	/* lanes_flows: */
	struct steering_flows *flows;	/* UDP, and NULL likewise */
	bool known_alone;	/* no new flow is let in: the door is closed */
	/* lanes_order: */
	struct lane_order order;	/* those that listen, as the kernel has
					   them */
	bool order_unseen;	/* some joined a large group without a look */
	bool order_returned;	/* lanes_order_look(), until lanes_program has
				   seen it */
	struct mono strayed;	/* lanes_program: it was looked for the reason */
	unsigned asked_in_vain;	/* questions to the kernel, in a row … */
	struct mono asked;	/* … and the last one */
	bool told_doubt;	/* that there is one, and no answer */
	bool told_asked;	/* that it was asked … */
	struct mono told_asked_at;	/* … and when */
	/* lanes_heal: what a new socket has, for those that are to be as new … */
	struct socket_values *as_new;	/* … or NULL */
	struct mono as_new_at;		/* … and when it was asked */
	/* lanes_heal: a lane was shut down, or has somebody in it */
	loop_fn *on_hangup;
	bool told_shut;		/* that a worker shut one … */
	struct mono told_shut_at;	/* … and when */
	bool told_backlog;	/* that a worker changed it */
	bool told_connected;	/* adopt_datagram: that one which several
				   workers share was */
};

/* When it is seen to who gets the listener's connections (daemon/steer). */
struct listener_attention {
	bool noted;		/* something about it has changed */
	uint64_t round;		/* the last in which it was; 0: in none yet */
	/* At the latest; meaningless as long as it was in no round: */
	struct mono again;	/* for those who wait in its lanes */
	struct mono settle;	/* to tell the kernel what had to wait */
	struct mono died;	/* the latest death that it was seen to for */
};

struct listener {
	/* listener_ledger: */
	uint64_t serial;	/* the how manieth that was opened */
	uint32_t record;	/* as a lane's */
	/* listener_open: */
	struct listeners *all;
	struct listener *next;
	unsigned backlog;
	struct address address;	/* as configured */
	struct address bound;	/* as bound: port 0 resolved */
	char *app;		/* who opened it; decides for port 0 */
	long instance;		/* which alone has it; -1: all */
	size_t position;	/* … and where in its list */
	struct socket_file file;
	struct socket_options options;	/* as its app's section has them */
	uint64_t old_files[LISTENER_OLD_FILES];	/* Unix: inodes that it had
					   before it was shut down, and its
					   connections of then still have */
	size_t n_old_files;
	bool inherited;		/* from LISTEN_FDS: the file is not ours */
	bool derived;		/* opened because a server asked for it */
	bool beside;		/* asked for by a server, and not in the place
				   of the one that was opened first */
	/* listeners: */
	unsigned refs;
	bool door_closed;	/* listener_close_door() … */
	bool door_filter;	/* … and nothing new comes to its lanes */
	bool refuses;		/* listener_refuse(), for good */
	bool forsaken;		/* no server waits on it any more: the last
				   reference refuses its clients */
	pid_t seen_pid;		/* the worker that was last seen to have it */
	/* lanes_sockets: */
	bool listening;		/* TCP: else bound only */
	bool quiet;		/* … and hears nobody yet: on trial */
	struct lanes lanes;	/* see there */
	/* lanes_heal: */
	bool dead;		/* Unix: a worker has shut it down */
	/* listener_file: */
	int watch;		/* of the file; -1: none */
	bool warned;		/* that the file cannot be kept */
	/* listener_kept: */
	bool stored;		/* the store has it, too, and its file stays */
	/* daemon/steer: */
	struct listener_attention attention;
	/* daemon/adopt: adopt_doubt */
	struct {
		unsigned nobody, unsure, clients;	/* looks in a row */
		size_t looked_at;	/* … and workers in the present one, */
		bool waited_for;	/* … or all, and clients are next */
		struct mono next;
	} doubt;
	/* daemon/apps: */
	bool to_refuse;		/* listener_refuse() is to come, in a stop */
	/* Sockets made for ones that workers have shut down, since then. */
	unsigned renewals;
	struct mono renewing_since;
};

/* What becomes of a Unix listener that a worker has shut down. */
enum listener_fate {
	LISTENER_STAYS_DEAD,
	LISTENER_RENEWED,
	LISTENER_UNWANTED,	/* nobody will miss it */
};

struct listeners {
	struct listener *first;		/* listener_open */
	/* listeners: */
	struct loop *loop;
	struct listen_fds inherited;	/* not matched yet; listener_open takes
					   from them */
	struct balancing balancing;
	bool running;		/* nothing may take long any more */
	bool stops;		/* all go: listeners_stop() */
	struct fd_store *store;	/* for them; NULL: none */
	struct ledger *ledger;	/* in which they stand; NULL: in none */
	size_t lost;		/* listener_again: of the supervisor before, */
	struct descriptors rest;	/* … and what is closed later */
	struct loop_later closing;
	/* Until listeners_disinherit(): does that app leave? NULL: none does. */
	bool (*leaves)(void *ctx, const char *app);
	void *leaves_ctx;
	/* listeners_on_news(), or NULL: */
	void (*tell)(void *ctx, struct listener *listener);
	void *tell_ctx;
	/* listeners_on_clients(), or NULL: */
	void (*came)(void *ctx, const struct lane *lane);
	void *came_ctx;
	enum listener_fate (*died)(void *ctx, struct listener *listener);
	void *died_ctx;		/* listeners_on_death(), or NULL */
	/* listener_ledger: */
	uint64_t serials;
	bool told_full;
	/* listener_keep: */
	bool told_store;
	/* listener_file: */
	int inotify;			/* on the files of Unix listeners; -1:
					   none yet */
	loop_handle inotify_handle;
	struct loop_timer file_again;	/* looks at their files again, */
	unsigned file_tries;		/* so often already */
};

/* The first lane, which was opened with it: the only one of a Unix listener. */
struct lane *listener_first_lane(const struct listener *listener);

/* Is its first lane open? Else the program stops. */
bool listener_is_open(const struct listener *listener);

/* What stands before its address where that is not TCP's: "udp:", "unix:". */
const char *listener_scheme(const struct listener *listener);

/* TCP, and opened by us: whether it listens is ours to say. */
bool listener_is_own_tcp(const struct listener *listener);

/* Something is to be looked at: a lane has changed hands, or has clients. */
void listener_tell(struct listener *listener);

/* The lane that is to get all that comes, and to answer nothing; or NULL. */
struct lane *listener_deaf_lane(const struct listener *listener);

/* Nobody has it, and anybody may. */
bool lane_is_free(const struct lane *lane);

#endif
