/*
 * What a BPF program may call, as linux/bpf.h numbers it, and how the maps are
 * named: bytecode.py turns a reference to a `map` into a relocation.
 */
#ifndef BPF_KERNEL_H
#define BPF_KERNEL_H

#include <stddef.h>

#include <linux/bpf.h>
#include <linux/types.h>

#define SECTION(name) __attribute__((section(name), used))
#define INLINE static inline __attribute__((always_inline))

/* A map that helpers are called with. */
struct map {
	char unused;
};
#define MAP(name) struct map name SECTION("map")

/* The one value of a map, reached without a call. */
#define MAP_VALUE(type, name) type name SECTION("map_value")

/* Of a socket. */
#define FAMILY_IPV4 2

static void *(*const map_lookup)(void *map, const void *key) =
    (void *)BPF_FUNC_map_lookup_elem;
static long (*const map_update)(void *map, const void *key, const void *value,
    __u64 flags) = (void *)BPF_FUNC_map_update_elem;
static long (*const map_delete)(void *map, const void *key) =
    (void *)BPF_FUNC_map_delete_elem;
static __u64 (*const ktime_ns)(void) = (void *)BPF_FUNC_ktime_get_ns;
static __u32 (*const random_u32)(void) = (void *)BPF_FUNC_get_prandom_u32;
static __u64 (*const socket_cookie)(void *sk) =
    (void *)BPF_FUNC_get_socket_cookie;
static void *(*const storage_get)(void *map, void *sk, void *value,
    __u64 flags) = (void *)BPF_FUNC_sk_storage_get;
static long (*const select_lane)(struct sk_reuseport_md *md, void *map,
    void *key, __u64 flags) = (void *)BPF_FUNC_sk_select_reuseport;
static long (*const tail_call)(void *ctx, void *map, __u32 index) =
    (void *)BPF_FUNC_tail_call;
static long (*const load_relative)(const void *skb, __u32 offset, void *to,
    __u32 len, __u32 start) = (void *)BPF_FUNC_skb_load_bytes_relative;
static long (*const callbacks_set)(struct bpf_sock_ops *ops, int flags) =
    (void *)BPF_FUNC_sock_ops_cb_flags_set;

#endif
