/*
 * How many connections each lane has: a sock_ops program on the supervisor's
 * cgroup, one for all listeners. A connection inherits its lane's mark with the
 * listening socket's storage, which also tells it from the cgroup's other
 * sockets: those have none, and are left at once.
 */
#include "bpf/cell.h"
#include "bpf/kernel.h"
#include "linux/bpf/steering_layout.h"

MAP(map_marks);		/* socket storage: steer_mark */
MAP(map_moved);		/* hash: cookie of a connection to its cell */
MAP_VALUE(struct steer_moves, value_moves);

/* Take one SYN's charge back. False: there is none of this epoch. */
INLINE int
uncharge(struct steer_cell *cell, __u32 epoch)
{
	__u64 *pending = steer_pending(cell, epoch);
	__u64 was = *(volatile __u64 *)pending;
	__u64 again;

	if ((__u32)(was >> 32) != epoch || (__u32)was == 0)
		return 0;
	again = __sync_val_compare_and_swap(pending, was, was - 1);
	/* Another processor was faster: once more, and then it may expire. A
	   loop is more than the verifier bears without CAP_PERFMON. */
	if (again != was && (__u32)(again >> 32) == epoch && (__u32)again != 0)
		__sync_val_compare_and_swap(pending, again, again - 1);
	return 1;
}

/*
 * The handshake is over. When its SYN came follows from the time that it took
 * (srtt is eight times that, in microseconds), which the kernel measures unless
 * the SYN+ACK was sent twice, the SYN brought data (TCP Fast Open), or there was
 * a cookie instead of a request: then it was of late. With a cookie this need
 * not be the lane that was charged; one charge for one connection it is.
 */
INLINE void
settle(struct steer_cell *cell, __u32 srtt)
{
	__u64 now = ktime_ns();
	__u64 syn = now - (__u64)(srtt >> 3) * 1000;
	__u32 epoch = syn >> STEER_EPOCH_SHIFT;
	__u32 current = now >> STEER_EPOCH_SHIFT;

	if (current - epoch > 1)
		return;
	if (uncharge(cell, epoch))
		return;
	/* On the border of two, or moved here in the middle of it. */
	uncharge(cell, epoch == current ? current - 1 : current);
}

INLINE void
opened(struct bpf_sock_ops *ops, struct steer_mark *mark)
{
	struct steer_cell *cell = steer_cell(mark->cell);

	if (cell == NULL || cell->generation != mark->generation ||
	    mark->counted)
		return;
	/* Without the callback nobody would count it down. */
	if (callbacks_set(ops, ops->bpf_sock_ops_cb_flags |
	    BPF_SOCK_OPS_STATE_CB_FLAG) != 0)
		return;
	mark->counted = 1;
	__sync_fetch_and_add(&cell->open, 1);
	__sync_fetch_and_add(&cell->total, 1);
	settle(cell, ops->srtt_us);
}

INLINE void
closed(struct bpf_sock_ops *ops, struct steer_mark *mark)
{
	__u32 number = mark->cell;
	struct steer_cell *cell;

	if (!mark->counted)
		return;
	mark->counted = 0;
	if (*(volatile __u32 *)&value_moves.now != 0) {
		__u64 cookie = socket_cookie(ops);
		__u32 *moved = map_lookup(&map_moved, &cookie);

		if (moved != NULL) {
			number = *moved;
			map_delete(&map_moved, &cookie);
			__sync_fetch_and_add(&value_moves.now, -1);
		}
	}
	cell = steer_cell(number);
	if (cell != NULL)
		__sync_fetch_and_add(&cell->open, -1);
}

SECTION("program/count")
int
count(struct bpf_sock_ops *ops)
{
	__u32 op = ops->op;
	struct bpf_sock *sk;
	struct steer_mark *mark;

	if (op != BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB &&
	    op != BPF_SOCK_OPS_TCP_LISTEN_CB &&
	    (op != BPF_SOCK_OPS_STATE_CB || ops->args[1] != BPF_TCP_CLOSE))
		return 1;
	sk = ops->sk;
	if (sk == NULL)
		return 1;
	mark = storage_get(&map_marks, sk, NULL, 0);
	if (mark == NULL)
		return 1;
	if (op == BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB)
		opened(ops, mark);
	else if (op == BPF_SOCK_OPS_TCP_LISTEN_CB)
		mark->covered = 1;
	else
		closed(ops, mark);
	return 1;
}
