/*
 * How many connections the lanes have, counted in the kernel by an eBPF program
 * on the supervisor's own cgroup (src/bpf/count.bpf.c). All listeners share it,
 * because it costs every TCP socket of the cgroup a call per connection.
 *
 * What is counted are connections of listening sockets that were created in a
 * cgroup that has the program, or below it. A socket stays in the cgroup that
 * its maker was in: those that systemd passes on belong to another one, and so
 * do those that the supervisor makes after it has been moved.
 */
#ifndef LINUX_BPF_CONN_COUNT_H
#define LINUX_BPF_CONN_COUNT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cgroup;
struct conn_count;
struct error;
struct steer_cell;

/*
 * -errno: not even the maps are to be had here. Where they are but nothing can
 * be counted, for want of a cgroup v2 or of CAP_NET_ADMIN, this succeeds and
 * conn_count_why_not() says why.
 */
int conn_count_new(struct conn_count **ret_count, struct error *err);

/* Count sockets of this cgroup too, unless it is one that is counted or below
   one; those of the ones before stay. Connections that are there already do not
   count. -errno with words. */
int conn_count_cover(struct conn_count *count, const struct cgroup *cgroup,
    struct error *err);

/* All its cells must have been released. */
void conn_count_free(struct conn_count *count);

/*
 * What goes on to count when we are killed, for whoever comes then and has these
 * descriptors: connections that are open stay counted, and which cell a lane has is
 * known by the mark of its socket.
 */
enum conn_count_fd {
	CONN_COUNT_CELLS,
	CONN_COUNT_MARKS,
	CONN_COUNT_MOVED,
	CONN_COUNT_MOVES,
	CONN_COUNT_PROGRAM,
	CONN_COUNT_LINK,
	CONN_COUNT_FDS
};

/* They stay its own. False: nothing is counted, or in several cgroups, which nobody
   takes over. */
bool conn_count_fds(const struct conn_count *count, int fds[CONN_COUNT_FDS]);

/* Are they what that says? */
bool conn_count_is_there(const int fds[CONN_COUNT_FDS]);

/* Go on with them; they are its own then. -errno: they are as they were. */
int conn_count_again(const int fds[CONN_COUNT_FDS],
    struct conn_count **ret_count);

/* NULL when it counts. */
const char *conn_count_why_not(const struct conn_count *count);

/* Is every connection that was moved counted where it is now? There is room for
   so many of them at a time; once there was none, never again. */
bool conn_count_is_whole(const struct conn_count *count);

/* Descriptors for programs that refer to cells. */
struct conn_maps {
	int cells;
	int moved;
	int moves;
};
struct conn_maps conn_count_maps(const struct conn_count *count);

/* ---- cells, one for each lane ---- */

/* The numbers of `n` cells, all zero; or of none of them: -errno. */
int conn_count_take(struct conn_count *count, size_t n, uint32_t *ret_cells,
    struct error *err);

/* Connections that are still open count on until they close, and only then is a
   cell used again. */
void conn_count_release(struct conn_count *count, const uint32_t *cells,
    size_t n);

/* Shared with the kernel, and there for as long as `count` is. */
struct steer_cell *conn_cell(const struct conn_count *count, uint32_t cell);

/*
 * From now on connections of the listening socket count for the cell. Before
 * listen(2), so that there is none that does not. -errno.
 */
int conn_cell_mark(const struct conn_count *count, uint32_t cell, int fd);

/*
 * Does the socket carry the mark of this cell? Or of one that it had under a
 * supervisor before, and nobody has asked for yet: that one is taken, and *cell is
 * it. *ret_covered: it was marked before it began to listen, and the counting
 * program saw it begin, so all of its connections are counted.
 */
bool conn_cell_claim(struct conn_count *count, int fd, uint32_t *cell,
    bool *ret_covered);

#endif
