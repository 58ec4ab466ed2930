#include <linux/filter.h>
#include <linux/if_ether.h>
#include <netinet/in.h>

#include "core/sockets/cbpf_client.h"
#include "core/sockets/cbpf_code.h"

/* One word more of the address in A, what is known of it in X, and back. */
static void
put_word(struct cbpf_code *c, uint32_t offset, bool first)
{
	cbpf_put(c, BPF_MISC | BPF_TAX, 0);
	cbpf_put_mix(c, 15, 0);
	cbpf_put(c, BPF_ALU | BPF_MUL | BPF_K, CBPF_MIX_1);
	if (!first)
		cbpf_put(c, BPF_ALU | BPF_XOR | BPF_X, 0);
	cbpf_put(c, BPF_LD | BPF_W | BPF_ABS, (uint32_t)SKF_NET_OFF + offset);
}

/* A flow's port into A; the hash of its address stays in X. */
static void
put_ipv4_port(struct cbpf_code *c)
{
	cbpf_put(c, BPF_LDX | BPF_MEM, CBPF_M_HASH);
	cbpf_put(c, BPF_LD | BPF_H | BPF_IND, (uint32_t)SKF_NET_OFF);
	/* The length of the header, by its first byte: options may follow. */
	cbpf_put(c, BPF_LDX | BPF_B | BPF_MSH, (uint32_t)SKF_NET_OFF);
	cbpf_put(c, BPF_STX, CBPF_M_HASH);
}

/* The same, or 0 where extension headers stand between. */
static void
put_ipv6_port(struct cbpf_code *c)
{
	size_t done = c->n, port, none;

	cbpf_put(c, BPF_LD | BPF_IMM, 0);
	none = c->n;
	cbpf_put_jump(c, done);
	cbpf_put(c, BPF_LD | BPF_H | BPF_ABS, (uint32_t)SKF_NET_OFF + 40);
	port = c->n;
	cbpf_put_branch(c, BPF_JEQ | BPF_K, IPPROTO_UDP, port, none);
	cbpf_put(c, BPF_LD | BPF_B | BPF_ABS, (uint32_t)SKF_NET_OFF + 6);
}

/*
 * A load that goes beyond the packet would end the program with position 0,
 * which may be anybody's. None can: the protocol is what the kernel knows of
 * the packet, not read from it; by it, ip_rcv() or ip6_rcv_core() has made sure
 * of the header that is read here before the transport looks for a socket.
 * IPv6's extension headers stand behind what is read. An IPv4 client of a
 * dual-stack socket comes in IPv4 packets. Anything else there may ever be is
 * one client.
 *
 * Nor can one for the port, which __udp4_lib_rcv() and __udp6_lib_rcv() have
 * made sure of. The kernel runs the program with the UDP header pulled, in
 * front of what it loads by plain offsets, so it is found from the network
 * header. Fragments are one packet again by then, and their IPv6 header gone.
 */
void
cbpf_put_client(struct cbpf_code *c, bool flow)
{
	size_t done, port, ipv4, ipv6;

	cbpf_put_mix(c, 16, 0);
	cbpf_put_mix(c, 13, CBPF_MIX_2);
	cbpf_put_mix(c, 16, CBPF_MIX_1);
	done = c->n;
	if (flow)
		cbpf_put(c, BPF_ALU | BPF_XOR | BPF_X, 0);
	port = c->n;
	if (flow) {
		put_ipv4_port(c);
		put_word(c, 12, true);
	} else {
		cbpf_put(c, BPF_LD | BPF_W | BPF_ABS, (uint32_t)SKF_NET_OFF + 12);
	}
	ipv4 = c->n;
	cbpf_put_jump(c, port);
	if (flow)
		put_ipv6_port(c);
	for (uint32_t offset = 24; offset > 8;) {
		offset -= 4;
		put_word(c, offset, offset == 8);
	}
	ipv6 = c->n;
	cbpf_put_jump(c, done);
	cbpf_put(c, BPF_LD | BPF_IMM, 0);
	cbpf_put_branch(c, BPF_JEQ | BPF_K, ETH_P_IPV6, ipv6, c->n);
	cbpf_put_branch(c, BPF_JEQ | BPF_K, ETH_P_IP, ipv4, c->n);
	cbpf_put(c, BPF_LD | BPF_W | BPF_ABS,
	    (uint32_t)(SKF_AD_OFF + SKF_AD_PROTOCOL));
}
