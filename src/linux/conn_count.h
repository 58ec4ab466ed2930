/*
 * How many connections the lanes have, counted in the kernel by an eBPF program
 * on the supervisor's own cgroup (src/bpf/count.bpf.c). All listeners share one
 * such program, because each costs every TCP socket of the cgroup a call per
 * connection; a second one comes only when the first one's cells are used up.
 *
 * What is counted are connections of listening sockets that were created in the
 * cgroup; those that systemd passes on belong to another one.
 */
#ifndef LINUX_CONN_COUNT_H
#define LINUX_CONN_COUNT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct conn_count;
struct error;
struct steer_cell;

/*
 * -errno: not even the maps are to be had here. Where they are but nothing can
 * be counted, for want of a cgroup v2 or of CAP_NET_ADMIN, this succeeds and
 * conn_count_why_not() says why.
 */
int conn_count_new(struct conn_count **ret_count, struct error *err);

/* All its ranges must have been released. */
void conn_count_free(struct conn_count *count);

/* NULL when it counts. */
const char *conn_count_why_not(const struct conn_count *count);

/* Cells for the lanes of one listener. */
struct conn_range {
	struct conn_range *next;
	struct steer_cell *cells;	/* shared with the kernel */
	size_t n;
	uint32_t first;			/* its number in the map of cells */
	uint32_t generation;
	bool released;
	struct conn_pool *pool;
};

/* `n` cells, all zero. The range is the count's, until it is released. */
int conn_count_take(struct conn_count *count, size_t n,
    struct conn_range **ret_range, struct error *err);

/*
 * Connections that are still open count on until they close, and only then are
 * the cells used again. The pointer is invalid from here on. NULL is fine.
 */
void conn_count_release(struct conn_count *count, struct conn_range *range);

/* Are its connections counted? */
bool conn_range_counted(const struct conn_range *range);

/* Descriptors for programs that refer to the range's cells. */
struct conn_maps {
	int cells;
	int moved;
	int moves;
};
struct conn_maps conn_range_maps(const struct conn_range *range);

/*
 * From now on connections of the listening socket count for the range's cell
 * `lane`. Before listen(2), so that there is none that does not. -errno.
 */
int conn_range_mark(const struct conn_range *range, size_t lane, int fd);

/*
 * Does the socket carry the mark of this lane? *ret_covered: it was marked
 * before it began to listen, and the counting program saw it begin, so all of
 * its connections are counted.
 */
bool conn_range_marked(const struct conn_range *range, size_t lane, int fd,
    bool *ret_covered);

#endif
