#include <linux/filter.h>
#include <linux/if_ether.h>

#include "core/sockets/cbpf_checks.h"
#include "core/sockets/cbpf_code.h"

static void
put_load(struct cbpf_code *c, unsigned size, uint32_t offset)
{
	cbpf_put(c, BPF_LD | size | BPF_ABS, (uint32_t)SKF_NET_OFF + offset);
}

static uint32_t
word_of(const uint8_t *ip)
{
	return (uint32_t)ip[0] << 24 | (uint32_t)ip[1] << 16 |
	    (uint32_t)ip[2] << 8 | ip[3];
}

/*
 * The kernel runs the program with the network header in place. What it connects
 * to itself, on this machine, has no options in the IPv4 header and no extension
 * headers in the IPv6 one; whoever has, has bytes of these there in the place of
 * the port, and another address.
 */
void
cbpf_put_checks(struct cbpf_code *c, const struct steering_cbpf_check *checks,
    size_t n)
{
	const struct check_source *from;
	size_t no = c->n;

	if (n == 0)
		return;
	from = &checks->source;
	for (size_t i = 0; i < n; i++) {
		size_t next = c->n;

		cbpf_put(c, BPF_RET | BPF_K, checks[i].index);
		cbpf_put_branch(c, BPF_JEQ | BPF_K, checks[i].source.port,
		    c->n, next);
	}
	put_load(c, BPF_H, from->ipv6 ? 40 : 20);
	for (uint32_t i = from->ipv6 ? 16 : 4; i > 0; i -= 4) {
		cbpf_put_branch(c, BPF_JEQ | BPF_K, word_of(from->ip + i - 4),
		    c->n, no);
		put_load(c, BPF_W, (from->ipv6 ? 8 : 12) + i - 4);
	}
	cbpf_put_branch(c, BPF_JEQ | BPF_K, from->ipv6 ? ETH_P_IPV6 : ETH_P_IP,
	    c->n, no);
	cbpf_put(c, BPF_LD | BPF_W | BPF_ABS,
	    (uint32_t)(SKF_AD_OFF + SKF_AD_PROTOCOL));
}
