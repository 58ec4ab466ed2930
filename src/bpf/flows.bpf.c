/*
 * Which lane gets a datagram: the one that its flow, the client's address and
 * port, has had before, while that is open to known flows; a new one goes to a
 * lane of the live set, and nowhere where there is none: the door is closed to
 * it, and nobody hears of it. For a reuseport group of UDP.
 *
 * The choice for a new flow depends on the flow (or the client's address alone)
 * and on the seats of the live lanes, and on nothing else: when a seat goes, its
 * flows spread over the others, and nobody else moves (rendezvous hashing).
 */
#include "bpf/kernel.h"
#include "linux/bpf/steering_layout.h"

MAP_VALUE(struct steer_flow_group, value_flow_group);
MAP(map_flow_live);	/* array: the live lanes */
MAP(map_flow_sockets);	/* reuseport array: slots' sockets */
MAP(map_flow_lanes);	/* array, by slot: steer_flow_lane */
MAP(map_flows);		/* LRU hash: steer_flow_key to steer_flow */

#define IPV4_ETHERNET	0x0008	/* ETH_P_IP, in network order */
#define IPV4_SOURCE	12	/* where in the header */
#define IPV6_SOURCE	8

/* As in steer.bpf.c: make the verifier forget what it knows of a number. */
INLINE __u64
forget(__u64 number)
{
	return number ^ *(volatile __u64 *)&value_flow_group.zero;
}

/* What cannot be read stays 0: such datagrams are a flow together. */
INLINE void
read_key(struct sk_reuseport_md *md, struct steer_flow_key *key)
{
	__u8 *udp = md->data;

	if (md->eth_protocol == IPV4_ETHERNET) {
		load_relative(md, IPV4_SOURCE, &key->ip[3], 4,
		    BPF_HDR_START_NET);
		key->ip[2] = ~0U;	/* … like none of IPv6 */
	} else {
		load_relative(md, IPV6_SOURCE, key->ip, 16,
		    BPF_HDR_START_NET);
	}
	if ((void *)(udp + 2) <= md->data_end)
		key->port = (__u32)udp[0] << 8 | udp[1];
}

/* The finalizer of a hash: each bit of the number moves half of the others. */
INLINE __u32
mix(__u32 n)
{
	n ^= n >> 16;
	n *= 0x85ebca6b;
	n ^= n >> 13;
	n *= 0xc2b2ae35;
	return n ^ n >> 16;
}

INLINE __u32
hash_of(const struct steer_flow_key *key)
{
	__u32 h = value_flow_group.by_source ? 0 : key->port + 1;

	h = mix(h ^ key->ip[0]);
	h = mix(h ^ key->ip[1]);
	h = mix(h ^ key->ip[2]);
	return mix(h ^ key->ip[3]);
}

/* A lane's seat << 32 | its slot. */
INLINE __u64
live_lane(__u32 first, __u32 position)
{
	__u32 index = first + position;
	__u64 *lane = map_lookup(&map_flow_live, &index);

	return lane != NULL ? *(volatile __u64 *)lane : 0;
}

/* No lane has this slot. */
#define NOWHERE STEER_FLOW_LANES

/* Of more lanes than the look is for, it is at a place of its own. */
INLINE __u32
choose(__u32 hash)
{
	__u32 zero = 0;
	__u64 *head = map_lookup(&map_flow_live, &zero);
	__u64 word = head != NULL ? *(volatile __u64 *)head : 0;
	__u32 n = (__u32)word, first = word >> 32;
	__u64 best = forget(NOWHERE);

	if (n > STEER_LOOK)
		return live_lane(first, hash % n);
	for (__u32 i = 0; i < STEER_LOOK; i++) {
		__u64 lane, weight;

		if (i >= n)
			break;
		lane = live_lane(first, i);
		weight = (__u64)mix(hash ^ mix((lane >> 32) + 1)) << 32 |
		    (__u32)lane;
		best = forget(i == 0 || weight > best ? weight : best);
	}
	return best;
}

SECTION("program/flows")
int
flows(struct sk_reuseport_md *md)
{
	struct steer_flow_key key = { .port = 0 };
	struct steer_flow_lane *lane;
	struct steer_flow *known, fresh;
	__u32 slot;

	read_key(md, &key);
	known = map_lookup(&map_flows, &key);
	if (known != NULL) {
		slot = known->slot;
		lane = map_lookup(&map_flow_lanes, &slot);
		if (lane != NULL && lane->open != 0 &&
		    lane->open == known->open &&
		    select_lane(md, &map_flow_sockets, &slot, 0) == 0) {
			lane->known_ns = ktime_ns();
			return SK_PASS;
		}
	}
	slot = choose(hash_of(&key));
	if (slot == NOWHERE)
		return SK_DROP;
	lane = map_lookup(&map_flow_lanes, &slot);
	if (lane == NULL ||
	    select_lane(md, &map_flow_sockets, &slot, 0) != 0) {
		__sync_fetch_and_add(&value_flow_group.dropped, 1);
		return SK_DROP;
	}
	fresh.slot = slot;
	fresh.open = lane->open;
	lane->fresh_ns = ktime_ns();
	map_update(&map_flows, &key, &fresh, BPF_ANY);
	return SK_PASS;
}
