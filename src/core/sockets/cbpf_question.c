#include <linux/filter.h>
#include <linux/if_ether.h>
#include <netinet/in.h>

#include "core/sockets/cbpf_code.h"
#include "core/sockets/cbpf_question.h"

/* A TCP header with options, of which Linux writes this one first. */
#define TCP_LENGTH	12
#define TCP_OPTIONS	20
#define OPTIONS_LENGTH	0x60	/* the length's byte, of one more word */
#define MSS_OPTION	0x0204	/* kind and length */

static void
put_load(struct cbpf_code *c, unsigned size, uint32_t offset)
{
	cbpf_put(c, BPF_LD | size | BPF_ABS, (uint32_t)SKF_NET_OFF + offset);
}

/* The position into A, and on to `asked`, if it may be one; else to `no`. */
static void
put_header(struct cbpf_code *c, uint32_t tcp, uint32_t ttl, size_t asked,
    size_t no)
{
	cbpf_put_jump(c, asked);
	put_load(c, BPF_H, tcp + TCP_OPTIONS + 2);
	cbpf_put_branch(c, BPF_JEQ | BPF_K, MSS_OPTION, c->n, no);
	put_load(c, BPF_H, tcp + TCP_OPTIONS);
	/* Beyond the packet a load would end the program. */
	cbpf_put_branch(c, BPF_JGE | BPF_K, OPTIONS_LENGTH, c->n, no);
	put_load(c, BPF_B, tcp + TCP_LENGTH);
	cbpf_put_branch(c, BPF_JEQ | BPF_K, CBPF_QUESTION_TTL, c->n, no);
	put_load(c, BPF_B, ttl);
}

void
cbpf_put_question(struct cbpf_code *c, uint32_t positions)
{
	size_t no = c->n, asked, ipv4, ipv6;

	cbpf_put(c, BPF_RET | BPF_A, 0);
	cbpf_put_branch(c, BPF_JGE | BPF_K, positions, no, c->n);
	cbpf_put(c, BPF_ALU | BPF_SUB | BPF_K, CBPF_QUESTION_MSS_BASE);
	asked = c->n;
	put_header(c, 40, 7, asked, no);
	cbpf_put_branch(c, BPF_JEQ | BPF_K, IPPROTO_TCP, c->n, no);
	put_load(c, BPF_B, 6);
	ipv6 = c->n;
	put_header(c, 20, 8, asked, no);
	/* No options in the IPv4 header. */
	cbpf_put_branch(c, BPF_JEQ | BPF_K, 0x45, c->n, no);
	put_load(c, BPF_B, 0);
	ipv4 = c->n;
	cbpf_put_branch(c, BPF_JEQ | BPF_K, ETH_P_IPV6, ipv6, no);
	cbpf_put_branch(c, BPF_JEQ | BPF_K, ETH_P_IP, ipv4, c->n);
	cbpf_put(c, BPF_LD | BPF_W | BPF_ABS,
	    (uint32_t)(SKF_AD_OFF + SKF_AD_PROTOCOL));
}
