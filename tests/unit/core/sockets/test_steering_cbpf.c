#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <linux/filter.h>
#include <linux/if_ether.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <sys/socket.h>

#include <arpa/inet.h>

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/sockets/cbpf_question.h"
#include "core/sockets/steering_cbpf.h"
#include "lib/alloc_fail.h"

/* ---- a dice of our own: the same in every run ---- */

static uint32_t
roll(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return (uint32_t)(z >> 32);
}

static uint32_t
dice(void)
{
	static uint64_t state;

	return roll(&state);
}

/* ---- packets ---- */

struct packet {
	uint16_t protocol;	/* skb->protocol */
	uint8_t bytes[128];	/* from the network header on */
	size_t len;
	uint32_t random;	/* what SKF_AD_RANDOM gives */
};

static void
put_32(uint8_t *at, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		at[i] = (uint8_t)(v >> (24 - 8 * i));
}

static struct packet
ipv4_from(uint32_t source)
{
	struct packet p = { .protocol = ETH_P_IP, .len = 40 };

	p.bytes[0] = 0x45;
	p.bytes[9] = 6;
	put_32(p.bytes + 12, source);
	put_32(p.bytes + 16, 0x7f000001);
	put_32(p.bytes + 20, dice());	/* ports */
	p.random = dice();
	return p;
}

/* The same at a UDP listener; its options are of any kind. */
static struct packet
ipv4_flow(uint32_t source, uint16_t port, size_t options)
{
	struct packet p = ipv4_from(source);

	p.len = 20 + options + 8;
	p.bytes[0] = (uint8_t)(0x45 + options / 4);
	p.bytes[9] = IPPROTO_UDP;
	for (size_t i = 0; i < options; i += 4)
		put_32(p.bytes + 20 + i, dice());
	put_32(p.bytes + 20 + options, (uint32_t)port << 16 | 53);
	return p;
}

static struct packet
ipv6_from(uint32_t a, uint32_t b, uint32_t c, uint32_t d)
{
	struct packet p = { .protocol = ETH_P_IPV6, .len = 60 };

	p.bytes[0] = 0x60;
	put_32(p.bytes + 1, dice());	/* flow label */
	p.bytes[6] = 6;
	put_32(p.bytes + 8, a);
	put_32(p.bytes + 12, b);
	put_32(p.bytes + 16, c);
	put_32(p.bytes + 20, d);
	put_32(p.bytes + 40, dice());	/* ports */
	p.random = dice();
	return p;
}

/* One extension header, of `next` and any content, or none if that is UDP. */
static struct packet
ipv6_flow(struct packet from, uint16_t port, uint8_t next)
{
	struct packet p = from;
	size_t extension = next == IPPROTO_UDP ? 0 : 24;

	p.len = 40 + extension + 8;
	p.bytes[6] = next;
	for (size_t i = 0; i < extension; i += 4)
		put_32(p.bytes + 40 + i, dice());
	if (extension > 0)
		p.bytes[40] = IPPROTO_UDP;
	put_32(p.bytes + 40 + extension, (uint32_t)port << 16 | 53);
	return p;
}

/* ---- the kernel's rules: bpf_check_classic(), check_load_and_stores() ---- */

static bool
jumps(const struct sock_filter *f)
{
	return BPF_CLASS(f->code) == BPF_JMP;
}

/* From the packet, or as if. */
static bool
loads(const struct sock_filter *f)
{
	return (BPF_CLASS(f->code) == BPF_LD &&
		   (BPF_MODE(f->code) == BPF_ABS ||
		       BPF_MODE(f->code) == BPF_IND)) ||
	    f->code == (BPF_LDX | BPF_B | BPF_MSH);
}

static bool
code_allowed(uint16_t code)
{
	static const uint16_t allowed[] = {
		BPF_ALU | BPF_ADD | BPF_K, BPF_ALU | BPF_ADD | BPF_X,
		BPF_ALU | BPF_SUB | BPF_K, BPF_ALU | BPF_SUB | BPF_X,
		BPF_ALU | BPF_MUL | BPF_K, BPF_ALU | BPF_MUL | BPF_X,
		BPF_ALU | BPF_DIV | BPF_K, BPF_ALU | BPF_DIV | BPF_X,
		BPF_ALU | BPF_MOD | BPF_K, BPF_ALU | BPF_MOD | BPF_X,
		BPF_ALU | BPF_AND | BPF_K, BPF_ALU | BPF_AND | BPF_X,
		BPF_ALU | BPF_OR | BPF_K, BPF_ALU | BPF_OR | BPF_X,
		BPF_ALU | BPF_XOR | BPF_K, BPF_ALU | BPF_XOR | BPF_X,
		BPF_ALU | BPF_LSH | BPF_K, BPF_ALU | BPF_LSH | BPF_X,
		BPF_ALU | BPF_RSH | BPF_K, BPF_ALU | BPF_RSH | BPF_X,
		BPF_LD | BPF_W | BPF_ABS, BPF_LD | BPF_W | BPF_IND,
		BPF_LD | BPF_H | BPF_ABS, BPF_LD | BPF_H | BPF_IND,
		BPF_LD | BPF_B | BPF_ABS, BPF_LD | BPF_B | BPF_IND,
		BPF_LDX | BPF_B | BPF_MSH, BPF_LD | BPF_IMM, BPF_LD | BPF_MEM,
		BPF_LDX | BPF_IMM, BPF_LDX | BPF_MEM, BPF_ST, BPF_STX,
		BPF_MISC | BPF_TAX, BPF_MISC | BPF_TXA,
		BPF_RET | BPF_K, BPF_RET | BPF_A, BPF_JMP | BPF_JA,
		BPF_JMP | BPF_JEQ | BPF_K, BPF_JMP | BPF_JEQ | BPF_X,
		BPF_JMP | BPF_JGE | BPF_K, BPF_JMP | BPF_JGE | BPF_X,
		BPF_JMP | BPF_JGT | BPF_K, BPF_JMP | BPF_JGT | BPF_X,
		BPF_JMP | BPF_JSET | BPF_K, BPF_JMP | BPF_JSET | BPF_X,
	};

	for (size_t i = 0; i < sizeof(allowed) / sizeof(*allowed); i++)
		if (allowed[i] == code)
			return true;
	return false;
}

/* Every word of memory is stored before it is loaded, on every way. */
static void
check_memory(const struct steering_cbpf_program *p)
{
	uint16_t *masks = calloc(p->n, sizeof(*masks));
	uint16_t valid = 0;

	assert_non_null(masks);
	memset(masks, 0xff, p->n * sizeof(*masks));
	for (size_t pc = 0; pc < p->n; pc++) {
		const struct sock_filter *f = &p->code[pc];

		valid &= masks[pc];
		if (f->code == BPF_ST || f->code == BPF_STX) {
			valid |= (uint16_t)(1u << f->k);
		} else if (f->code == (BPF_LD | BPF_MEM) ||
		    f->code == (BPF_LDX | BPF_MEM)) {
			assert_true(valid & 1u << f->k);
		} else if (f->code == (BPF_JMP | BPF_JA)) {
			masks[pc + 1 + f->k] &= valid;
			valid = UINT16_MAX;
		} else if (jumps(f)) {
			masks[pc + 1 + f->jt] &= valid;
			masks[pc + 1 + f->jf] &= valid;
			valid = UINT16_MAX;
		}
	}
	free(masks);
}

static void
check_insn(const struct steering_cbpf_program *p, size_t pc)
{
	const struct sock_filter *f = &p->code[pc];

	assert_true(code_allowed(f->code));
	switch (f->code) {
	case BPF_ALU | BPF_DIV | BPF_K:
	case BPF_ALU | BPF_MOD | BPF_K:
		assert_int_not_equal(f->k, 0);
		break;
	case BPF_ALU | BPF_LSH | BPF_K:
	case BPF_ALU | BPF_RSH | BPF_K:
		assert_true(f->k < 32);
		break;
	case BPF_LD | BPF_MEM:
	case BPF_LDX | BPF_MEM:
	case BPF_ST:
	case BPF_STX:
		assert_true(f->k < BPF_MEMWORDS);
		break;
	case BPF_JMP | BPF_JA:
		assert_true(f->k < p->n - pc - 1);
		break;
	case BPF_LD | BPF_W | BPF_ABS:
	case BPF_LD | BPF_H | BPF_ABS:
	case BPF_LD | BPF_B | BPF_ABS:
		if ((int32_t)f->k >= SKF_AD_OFF)
			assert_true(
			    f->k == (uint32_t)(SKF_AD_OFF + SKF_AD_PROTOCOL) ||
			    f->k == (uint32_t)(SKF_AD_OFF + SKF_AD_RANDOM));
		break;
	default:
		if (jumps(f)) {
			assert_true(pc + f->jt + 1 < p->n);
			assert_true(pc + f->jf + 1 < p->n);
		}
	}
}

static void
check_valid(const struct steering_cbpf_program *p)
{
	assert_in_range(p->n, 1, BPF_MAXINSNS);
	for (size_t pc = 0; pc < p->n; pc++)
		check_insn(p, pc);
	assert_int_equal(BPF_CLASS(p->code[p->n - 1].code), BPF_RET);
	check_memory(p);
}

/* What net.core.optmem_max is compared with, at its most: bytes. */
static size_t
size_in_kernel(const struct steering_cbpf_program *p)
{
	size_t insns = 10;

	for (size_t pc = 0; pc < p->n; pc++) {
		const struct sock_filter *f = &p->code[pc];

		insns++;
		if (loads(f))
			insns += BPF_CLASS(f->code) == BPF_LDX ? 16 : 11;
		else if (f->code == (BPF_RET | BPF_K))
			insns++;
		else if (jumps(f) && f->code != (BPF_JMP | BPF_JA))
			insns += (f->jt != 0 && f->jf != 0) +
			    ((int32_t)f->k < 0);
	}
	return insns * 8 + 80;
}

/* ---- an interpreter ---- */

struct machine {
	uint32_t a, x;
	uint32_t m[BPF_MEMWORDS];
	size_t steps;
	bool beyond;		/* a load went beyond the packet */
};

/* `size` bytes at SKF_NET_OFF and up into `ret`. */
static bool
load_bytes(struct machine *m, const struct packet *p, uint32_t k, size_t size,
    uint32_t *ret)
{
	size_t at = (size_t)((int64_t)(int32_t)k - SKF_NET_OFF);

	if ((int32_t)k >= 0 || (int32_t)k < SKF_NET_OFF || at + size > p->len) {
		m->beyond = true;
		return false;
	}
	*ret = 0;
	for (size_t i = 0; i < size; i++)
		*ret = *ret << 8 | p->bytes[at + i];
	return true;
}

static bool
load(struct machine *m, const struct packet *p, const struct sock_filter *f)
{
	size_t size = BPF_SIZE(f->code) == BPF_W ? 4 :
	    BPF_SIZE(f->code) == BPF_H ?	   2 :
						   1;

	if (BPF_CLASS(f->code) == BPF_LDX) {	/* BPF_MSH */
		if (!load_bytes(m, p, f->k, 1, &m->x))
			return false;
		m->x = (m->x & 0xf) << 2;
	} else if (BPF_MODE(f->code) == BPF_IND) {
		return load_bytes(m, p, m->x + f->k, size, &m->a);
	} else if (f->k == (uint32_t)(SKF_AD_OFF + SKF_AD_PROTOCOL)) {
		m->a = p->protocol;
	} else if (f->k == (uint32_t)(SKF_AD_OFF + SKF_AD_RANDOM)) {
		m->a = p->random;
	} else {
		return load_bytes(m, p, f->k, size, &m->a);
	}
	return true;
}

static void
compute(struct machine *m, const struct sock_filter *f)
{
	uint32_t v = BPF_SRC(f->code) == BPF_X ? m->x : f->k;

	switch (BPF_OP(f->code)) {
	case BPF_ADD:
		m->a += v;
		break;
	case BPF_SUB:
		m->a -= v;
		break;
	case BPF_MUL:
		m->a *= v;
		break;
	case BPF_DIV:
		assert_int_not_equal(v, 0);
		m->a /= v;
		break;
	case BPF_MOD:
		assert_int_not_equal(v, 0);
		m->a %= v;
		break;
	case BPF_AND:
		m->a &= v;
		break;
	case BPF_XOR:
		m->a ^= v;
		break;
	case BPF_LSH:
		assert_true(v < 32);
		m->a <<= v;
		break;
	case BPF_RSH:
		assert_true(v < 32);
		m->a >>= v;
		break;
	default:
		fail_msg("operation %#x", f->code);
	}
}

static size_t
jump(const struct machine *m, const struct sock_filter *f)
{
	uint32_t v = BPF_SRC(f->code) == BPF_X ? m->x : f->k;
	bool yes = false;

	switch (BPF_OP(f->code)) {
	case BPF_JA:
		return f->k;
	case BPF_JEQ:
		yes = m->a == v;
		break;
	case BPF_JGE:
		yes = m->a >= v;
		break;
	case BPF_JGT:
		yes = m->a > v;
		break;
	default:
		fail_msg("jump %#x", f->code);
	}
	return yes ? f->jt : f->jf;
}

static uint32_t
run(const struct steering_cbpf_program *prog, const struct packet *p,
    struct machine *m)
{
	for (size_t pc = 0;; pc++) {
		const struct sock_filter *f;

		assert_true(pc < prog->n);
		f = &prog->code[pc];
		m->steps++;
		if (loads(f)) {
			if (!load(m, p, f))
				return 0;
			continue;
		}
		switch (BPF_CLASS(f->code)) {
		case BPF_ALU:
			compute(m, f);
			break;
		case BPF_JMP:
			pc += jump(m, f);
			break;
		case BPF_RET:
			return BPF_RVAL(f->code) == BPF_A ? m->a : f->k;
		case BPF_MISC:
			*(BPF_MISCOP(f->code) == BPF_TAX ? &m->x : &m->a) =
			    BPF_MISCOP(f->code) == BPF_TAX ? m->a : m->x;
			break;
		case BPF_ST:
			m->m[f->k] = m->a;
			break;
		case BPF_STX:
			m->m[f->k] = m->x;
			break;
		case BPF_LDX:
			m->x = BPF_MODE(f->code) == BPF_MEM ? m->m[f->k] : f->k;
			break;
		default:
			m->a = BPF_MODE(f->code) == BPF_MEM ? m->m[f->k] : f->k;
		}
	}
}

static uint32_t
choose(const struct steering_cbpf_program *prog, const struct packet *p)
{
	struct machine m = { .a = 0 };
	uint32_t index = run(prog, p, &m);

	assert_false(m.beyond);
	return index;
}

/* ---- sets of lanes ---- */

#define INDEXES_MAX 65536

struct set {
	struct steering_cbpf_lane lanes[STEERING_CBPF_SEATS_MAX];
	size_t n;
};

static void
shuffle(struct set *s)
{
	for (size_t i = s->n; i > 1; i--) {
		size_t j = dice() % i;
		struct steering_cbpf_lane l = s->lanes[i - 1];

		s->lanes[i - 1] = s->lanes[j];
		s->lanes[j] = l;
	}
}

/* Seats 0 … n - 1 on the same positions. */
static void
set_plain(struct set *s, size_t n)
{
	s->n = n;
	for (unsigned i = 0; i < n; i++)
		s->lanes[i] = (struct steering_cbpf_lane){ i, i };
}

/* Every seat on any position below `span`. */
static void
set_scramble(struct set *s, size_t span)
{
	static bool taken[INDEXES_MAX];

	memset(taken, 0, sizeof(taken));
	for (size_t i = 0; i < s->n; i++) {
		unsigned index;

		do {
			index = dice() % span;
		} while (taken[index]);
		taken[index] = true;
		s->lanes[i].index = index;
	}
}

/* About `percent` of the seats go. */
static void
set_thin(struct set *s, unsigned percent)
{
	size_t n = 0;

	for (size_t i = 0; i < s->n; i++)
		if (dice() % 100 >= percent)
			s->lanes[n++] = s->lanes[i];
	if (n == 0)
		n = 1;
	s->n = n;
}

static void
set_remove(struct set *s, size_t i)
{
	memmove(&s->lanes[i], &s->lanes[i + 1],
	    (--s->n - i) * sizeof(s->lanes[0]));
}

static size_t optmem_max = STEERING_CBPF_OPTMEM;

static void
build(struct steering_cbpf_program *p, enum steering_cbpf_key key,
    const struct set *s)
{
	assert_int_equal(
	    steering_cbpf_build(key, s->lanes, s->n, optmem_max, p), 0);
	check_valid(p);
	if (s->n <= 2048)
		assert_true(size_in_kernel(p) <= optmem_max);
}

/* Which seat a position belongs to; -1: none. */
static int seat_at[INDEXES_MAX];

static void
know(const struct set *s)
{
	memset(seat_at, 0xff, sizeof(seat_at));
	for (size_t i = 0; i < s->n; i++)
		seat_at[s->lanes[i].index] = (int)s->lanes[i].seat;
}

static int
seat_of(const struct steering_cbpf_program *prog, const struct packet *p)
{
	uint32_t index = choose(prog, p);

	assert_true(index < INDEXES_MAX);
	assert_true(seat_at[index] >= 0);
	return seat_at[index];
}

/* ---- clients ---- */

enum crowd {
	CROWD_IPV4,		/* anywhere */
	CROWD_IPV4_ROW,		/* 10.0.0.1, 10.0.0.2, … */
	CROWD_IPV4_NETS,	/* N.0.0.1, and then N.1.0.1: only high bits */
	CROWD_IPV6,
	CROWD_IPV6_ROW,		/* 2001:db8::1, … */
	CROWD_IPV6_NETS,	/* 2001:db8:0:N::1 */
	CROWD_FLOW_IPV4,	/* of one address, one port after the other */
	CROWD_FLOW_IPV4_ROW,	/* of one port, 10.0.0.1, 10.0.0.2, … */
	CROWD_FLOW_IPV4_OPTIONS,	/* … as many as there can be */
	CROWD_FLOW_IPV6,	/* of one address, every second port */
	CROWD_FLOW_IPV6_EXTENDED,	/* their ports are out of reach */
	N_CROWDS
};

static enum steering_cbpf_key
key_of(enum crowd crowd)
{
	return crowd < CROWD_FLOW_IPV4 ? STEERING_CBPF_SOURCE :
					 STEERING_CBPF_FLOW;
}

/* An address has no more; then it is the next one's turn. */
#define PORTS	60000
#define PORT_MIN	1024

static struct packet
client(enum crowd crowd, uint32_t i)
{
	uint64_t state = i;
	uint32_t r[4];

	for (int w = 0; w < 4; w++)
		r[w] = roll(&state);
	switch (crowd) {
	case CROWD_IPV4:
		return ipv4_from(r[0]);
	case CROWD_IPV4_ROW:
		return ipv4_from(0x0a000001 + i);
	case CROWD_IPV4_NETS:
		return ipv4_from(i << 24 | (i >> 8 & 0xffff) << 8 | 1);
	case CROWD_IPV6:
		return ipv6_from(r[0], r[1], r[2], r[3]);
	case CROWD_IPV6_ROW:
		return ipv6_from(0x20010db8, 0, 0, i + 1);
	case CROWD_IPV6_NETS:
		return ipv6_from(0x20010db8, i, 0, 1);
	case CROWD_FLOW_IPV4:
		return ipv4_flow(0x7f000001 + i / PORTS,
		    (uint16_t)(PORT_MIN + i % PORTS), 0);
	case CROWD_FLOW_IPV4_ROW:
		return ipv4_flow(0x0a000001 + i, 5353, 0);
	case CROWD_FLOW_IPV4_OPTIONS:
		return ipv4_flow(0xc0a80001 + i / PORTS,
		    (uint16_t)(PORT_MIN + i % PORTS), 40);
	case CROWD_FLOW_IPV6:
		i *= 2;
		return ipv6_flow(ipv6_from(0, 0, 0, 1 + i / PORTS),
		    (uint16_t)(PORT_MIN + i % PORTS), IPPROTO_UDP);
	default:
		return ipv6_flow(ipv6_from(0x20010db8, 0, 0, i + 1),
		    (uint16_t)r[0], IPPROTO_DSTOPTS);
	}
}

/* Their seats. */
static void
seat_all(const struct set *s, enum crowd crowd, uint32_t n, int *ret_seats)
{
	struct steering_cbpf_program p;

	build(&p, key_of(crowd), s);
	know(s);
	for (uint32_t i = 0; i < n; i++) {
		struct packet c = client(crowd, i);

		ret_seats[i] = seat_of(&p, &c);
	}
	steering_cbpf_free(&p);
}

/* Whether dice would do it: chi-square, with a margin for few and for many. */
static bool
is_even(const unsigned *n_each, size_t n, size_t total)
{
	double mean = (double)total / (double)n, freedom = (double)n - 1;
	double chi = 0;

	for (size_t i = 0; i < n; i++) {
		double d = n_each[i] - mean;

		chi += d * d / mean;
	}
	chi -= freedom + 10;
	/* within four standard deviations, which are sqrt(2 f), without libm */
	return chi <= 0 || chi * chi <= 4 * 4 * 2 * freedom;
}

static unsigned counts[STEERING_CBPF_SEATS_MAX];

static void
expect_even(const struct set *s, const int *seats, size_t n_clients)
{
	unsigned by_lane[STEERING_CBPF_SEATS_MAX];

	memset(counts, 0, sizeof(counts));
	for (size_t i = 0; i < n_clients; i++)
		counts[seats[i]]++;
	for (size_t i = 0; i < s->n; i++)
		by_lane[i] = counts[s->lanes[i].seat];
	assert_true(is_even(by_lane, s->n, n_clients));
}

/* ---- the tests ---- */

static struct set set, other;
static int before[420000], after[420000];

static void
one_lane_needs_no_packet(void **state)
{
	struct packet nothing = { .len = 0 };
	struct steering_cbpf_program p;

	(void)state;
	for (enum steering_cbpf_key key = STEERING_CBPF_RANDOM;
	    key <= STEERING_CBPF_FLOW; key++) {
		set.n = 1;
		set.lanes[0] = (struct steering_cbpf_lane){ 4095, 17 };
		build(&p, key, &set);
		assert_int_equal(p.n, 1);
		assert_int_equal(choose(&p, &nothing), 17);
		steering_cbpf_free(&p);
		assert_null(p.code);
	}
}

/* Every lane for the same number of the dice's results, and no other. */
static void
expect_random(const struct set *s, unsigned at_most)
{
	static unsigned hits[INDEXES_MAX];
	struct steering_cbpf_program p;
	struct packet packet = { .len = 0 };

	build(&p, STEERING_CBPF_RANDOM, s);
	know(s);
	memset(hits, 0, sizeof(hits));
	for (uint32_t i = 0; i < 5 * s->n; i++) {
		packet.random = i;
		(void)seat_of(&p, &packet);
		hits[choose(&p, &packet)]++;
	}
	for (size_t i = 0; i < s->n; i++) {
		assert_true(hits[s->lanes[i].index] >= 1);
		assert_true(hits[s->lanes[i].index] <= 5 * at_most);
		if (at_most == 1)
			assert_int_equal(hits[s->lanes[i].index], 5);
	}
	for (int i = 0; i < 1000; i++) {
		packet.random = i == 0 ? UINT32_MAX : dice();
		(void)seat_of(&p, &packet);
	}
	steering_cbpf_free(&p);
}

static void
random_is_exactly_even(void **state)
{
	static const size_t sizes[] = { 65, 100, 1000, 2049, 4095, 4096 };

	(void)state;
	for (size_t i = 1; i < 64 + sizeof(sizes) / sizeof(*sizes); i++) {
		size_t n = i <= 64 ? i : sizes[i - 65];

		set_plain(&set, n);
		expect_random(&set, 1);
		set_scramble(&set, n);
		expect_random(&set, 1);
		set_scramble(&set, n * 3 / 2);
		expect_random(&set, 1);
		set_scramble(&set, n * 4);
		expect_random(&set, 1);
		for (unsigned j = 0; j < n; j++)	/* every other */
			set.lanes[j].index = 2 * j + 1;
		expect_random(&set, 1);
		for (unsigned j = 0; j < n; j++)	/* two of three */
			set.lanes[j].index = 3 * (j / 2) + j % 2;
		expect_random(&set, 1);
		/* Farther apart than buckets can tell exactly. */
		set_scramble(&set, INDEXES_MAX * 2 / 3);
		expect_random(&set, 5);
	}
}

static void
steer_anybody(const struct set *s, enum steering_cbpf_key key)
{
	struct steering_cbpf_program p;

	build(&p, key, s);
	know(s);
	for (int j = 0; j < 3000; j++) {
		struct packet c = client(j % N_CROWDS, dice());

		(void)seat_of(&p, &c);
		/* What no protocol's handler would let through. */
		c.protocol = (uint16_t)dice();
		if (c.protocol != ETH_P_IP && c.protocol != ETH_P_IPV6)
			c.len = dice() % 8;
		(void)seat_of(&p, &c);
	}
	steering_cbpf_free(&p);
}

static void
nobody_is_steered_elsewhere(void **state)
{
	static const size_t sizes[] = { 2, 3, 8, 63, 64, 65, 100, 700, 1000,
		1025, 2048, 3000, 4096 };

	(void)state;
	for (size_t i = 0; i < 8 * sizeof(sizes) / sizeof(*sizes); i++) {
		size_t n = sizes[i / 8];

		set_plain(&set, n);
		if (i & 1)
			set_thin(&set, 1 + dice() % 98);
		if (i & 2)
			set_scramble(&set, i & 4 ? n * 2 : INDEXES_MAX);
		shuffle(&set);
		steer_anybody(&set, STEERING_CBPF_SOURCE);
		steer_anybody(&set, STEERING_CBPF_FLOW);
	}
}

/*
 * The kernel has seen to the headers before it asks; were it not so, a load
 * would end the program with 0. It must not do so anywhere else than there.
 */
static void
loads_stay_in_the_header(void **state)
{
	struct steering_cbpf_program p;

	(void)state;
	set_plain(&set, 8);
	set_remove(&set, 0);
	build(&p, STEERING_CBPF_SOURCE, &set);
	for (size_t len = 0; len < 64; len++) {
		struct packet v4 = ipv4_from(dice());
		struct packet v6 = ipv6_from(1, 2, 3, dice());
		struct machine m4 = { .a = 0 }, m6 = { .a = 0 };

		v4.len = v6.len = len;
		(void)run(&p, &v4, &m4);
		(void)run(&p, &v6, &m6);
		assert_int_equal(m4.beyond, len < 16);
		assert_int_equal(m6.beyond, len < 24);
	}
	steering_cbpf_free(&p);
}

static bool
goes_beyond(const struct steering_cbpf_program *p, struct packet packet,
    size_t len)
{
	struct machine m = { .a = 0 };

	packet.len = len;
	(void)run(p, &packet, &m);
	return m.beyond;
}

/* A datagram without content ends eight bytes behind the network headers. */
static void
loads_of_a_port_stay_in_the_udp_header(void **state)
{
	struct steering_cbpf_program p;
	struct packet from = ipv6_from(1, 2, 3, 4);

	(void)state;
	set_plain(&set, 8);
	set_remove(&set, 0);
	build(&p, STEERING_CBPF_FLOW, &set);
	for (size_t len = 0; len < 80; len++) {
		for (size_t options = 0; options <= 40; options += 4)
			assert_int_equal(
			    goes_beyond(&p, ipv4_flow(1, 2, options), len),
			    len < 20 + options + 2);
		for (int next = 0; next < 256; next++)
			assert_int_equal(
			    goes_beyond(&p, ipv6_flow(from, 5, (uint8_t)next),
				len),
			    len < (next == IPPROTO_UDP ? 42u : 24u));
	}
	steering_cbpf_free(&p);
}

/* ---- questions ---- */

/* A SYN with a maximum segment size as its first option. */
static struct packet
syn(struct packet from, uint8_t ttl, uint16_t mss)
{
	struct packet p = from;
	bool v6 = p.protocol == ETH_P_IPV6;
	size_t tcp = v6 ? 40 : 20;

	p.len = tcp + 24;
	p.bytes[v6 ? 7 : 8] = ttl;
	p.bytes[tcp + 12] = 0x60;
	put_32(p.bytes + tcp + 20, 0x02040000u | mss);
	return p;
}

static struct packet
question(bool v6, size_t position)
{
	return syn(v6 ? ipv6_from(0, 0, 0, 1) : ipv4_from(0x7f000001),
	    CBPF_QUESTION_TTL, (uint16_t)(CBPF_QUESTION_MSS_BASE + position));
}

static void
a_question_goes_to_the_position_that_it_is_about(void **state)
{
	static const size_t sizes[] = { 1, 2, 7, 64, 1000 };

	(void)state;
	for (size_t s = 0; s < sizeof(sizes) / sizeof(*sizes); s++)
		for (int key = 0; key < 2; key++) {
			struct steering_cbpf_program asks, plain;
			size_t n = sizes[s];

			set_plain(&set, n);
			build(&plain, (enum steering_cbpf_key)key, &set);
			assert_int_equal(steering_cbpf_build_with(
			    (enum steering_cbpf_key)key, set.lanes, set.n,
			    optmem_max, &(struct steering_cbpf_extras){
			    .positions = n + 3 }, &asks), 0);
			check_valid(&asks);
			for (size_t i = 0; i < 2 * n + 8; i++) {
				struct packet q4 = question(false, i);
				struct packet q6 = question(true, i);

				if (i < n + 3) {
					assert_int_equal(choose(&asks, &q4), i);
					assert_int_equal(choose(&asks, &q6), i);
					continue;
				}
				assert_int_equal(choose(&asks, &q4),
				    choose(&plain, &q4));
				assert_int_equal(choose(&asks, &q6),
				    choose(&plain, &q6));
			}
			steering_cbpf_free(&asks);
			steering_cbpf_free(&plain);
		}
}

/* ---- checks ---- */

static struct steering_cbpf_check
check_of(bool v6, unsigned i)
{
	struct steering_cbpf_check c = {
		.source = { .ipv6 = v6, .port = (uint16_t)(40000 + 7 * i) },
		.index = 100 + i,
	};

	put_32(c.source.ip, v6 ? 0 : 0x7f000001);
	if (v6)
		c.source.ip[15] = 1;
	return c;
}

static struct packet
from_port(struct packet p, uint16_t port)
{
	size_t tcp = p.protocol == ETH_P_IPV6 ? 40 : 20;

	p.len = tcp + 20;
	p.bytes[tcp] = (uint8_t)(port >> 8);
	p.bytes[tcp + 1] = (uint8_t)port;
	return p;
}

/* … and whoever has another address, another port or the other family goes where
   it went. */
static void
a_check_goes_to_the_position_that_it_means(void **state)
{
	static const enum steering_cbpf_key keys[] = {
		STEERING_CBPF_RANDOM, STEERING_CBPF_SOURCE,
	};

	(void)state;
	for (unsigned i = 0; i < 8; i++) {
		struct steering_cbpf_check checks[STEERING_CBPF_CHECKS_MAX];
		const bool v6 = i & 1;
		const size_t n = i & 2 ? STEERING_CBPF_CHECKS_MAX : 1;
		struct steering_cbpf_program with, plain;

		for (unsigned k = 0; k < n; k++)
			checks[k] = check_of(v6, k);
		set_plain(&set, i & 4 ? 64 : 8);
		set_remove(&set, 3);
		build(&plain, keys[i / 4], &set);
		assert_int_equal(steering_cbpf_build_with(keys[i / 4],
		    set.lanes, set.n, optmem_max,
		    &(struct steering_cbpf_extras){
			.checks = checks, .n_checks = n, .positions = i & 2,
		    }, &with), 0);
		check_valid(&with);
		for (unsigned k = 0; k < 7 * n + 20; k++) {
			uint16_t port = (uint16_t)(40000 - 10 + k);
			struct packet ours = from_port(v6 ?
			    ipv6_from(0, 0, 0, 1) : ipv4_from(0x7f000001),
			    port);
			struct packet stray = from_port(v6 ?
			    ipv6_from(0, 0, 1, 1) : ipv4_from(0x7f000002),
			    port);
			struct packet family = from_port(v6 ?
			    ipv4_from(0x7f000001) : ipv6_from(0, 0, 0, 1),
			    port);
			bool is_ours = port >= 40000 && port < 40000 + 7 * n &&
			    (port - 40000) % 7 == 0;

			if (is_ours)
				assert_int_equal(choose(&with, &ours),
				    100 + (port - 40000) / 7);
			else
				assert_int_equal(choose(&with, &ours),
				    choose(&plain, &ours));
			assert_int_equal(choose(&with, &stray),
			    choose(&plain, &stray));
			assert_int_equal(choose(&with, &family),
			    choose(&plain, &family));
		}
		steering_cbpf_free(&with);
		steering_cbpf_free(&plain);
	}
}

/* Whatever a client sends, it goes where it went, and no load ends the program;
   with less than a header the kernel does not ask. */
static void
what_is_no_question_goes_where_it_went(void **state)
{
	struct steering_cbpf_program asks, plain;

	(void)state;
	set_plain(&set, 8);
	set_remove(&set, 3);
	build(&plain, STEERING_CBPF_SOURCE, &set);
	assert_int_equal(steering_cbpf_build_with(STEERING_CBPF_SOURCE,
	    set.lanes, set.n, optmem_max,
	    &(struct steering_cbpf_extras){ .positions = 9 }, &asks), 0);
	for (unsigned i = 0; i < 20000; i++) {
		bool v6 = i & 1;
		size_t tcp = v6 ? 40 : 20;
		struct packet p = question(v6, i % 9);

		switch (i % 7) {
		case 0:		/* a client's */
			p.bytes[v6 ? 7 : 8] = (uint8_t)(2 + i % 254);
			break;
		case 1:		/* without options: a header and no more */
			p.bytes[tcp + 12] = 0x50;
			p.len = tcp + 20;
			break;
		case 2:
			p.bytes[tcp + 20] = 3;
			break;
		case 3:
			p.bytes[tcp + 21] = 3;
			break;
		case 4:
			p.bytes[tcp + 22] = 0;
			p.bytes[tcp + 23] = (uint8_t)(i %
			    CBPF_QUESTION_MSS_BASE);
			break;
		case 5:		/* IPv4 options, an IPv6 extension header */
			p.bytes[v6 ? 6 : 0] = v6 ? 60 : 0x46;
			break;
		default:
			p.protocol = ETH_P_ARP;
		}
		assert_int_equal(choose(&asks, &p), choose(&plain, &p));
	}
	steering_cbpf_free(&asks);
	steering_cbpf_free(&plain);
}

static void
a_question_needs_room(void **state)
{
	struct steering_cbpf_program p;

	(void)state;
	set_plain(&set, 8);
	assert_int_equal(steering_cbpf_build_with(STEERING_CBPF_RANDOM,
	    set.lanes, set.n, optmem_max, &(struct steering_cbpf_extras){
	    .positions = CBPF_QUESTION_POSITIONS + 1 }, &p), -E2BIG);
}

static void
only_the_address_counts(void **state)
{
	struct steering_cbpf_program p;

	(void)state;
	set_plain(&set, 64);
	build(&p, STEERING_CBPF_SOURCE, &set);
	know(&set);
	for (int i = 0; i < 1000; i++) {
		struct packet v4 = ipv4_from(0x7f000001);
		struct packet v6 = ipv6_from(0, 0, 0, 1);
		int seat4 = seat_of(&p, &v4), seat6 = seat_of(&p, &v6);

		for (size_t b = 0; b < sizeof(v4.bytes); b++) {
			if (b < 12 || b >= 16)
				v4.bytes[b] = (uint8_t)dice();
			if (b < 8 || b >= 24)
				v6.bytes[b] = (uint8_t)dice();
		}
		assert_int_equal(seat_of(&p, &v4), seat4);
		/* The next header among it: hop by hop, routing, fragment … */
		assert_int_equal(seat_of(&p, &v6), seat6);
		v4.bytes[12 + i % 4] ^= (uint8_t)(1 + dice() % 255);
		v6.bytes[8 + i % 16] ^= (uint8_t)(1 + dice() % 255);
		before[i] = seat_of(&p, &v4) != seat4;
		after[i] = seat_of(&p, &v6) != seat6;
	}
	steering_cbpf_free(&p);
	for (int i = 16; i < 1000; i++) {
		before[i % 16] += before[i];
		after[i % 16] += after[i];
	}
	for (int i = 0; i < 16; i++) {
		assert_true(before[i] > 50);
		assert_true(after[i] > 50);
	}
}

/* How often a changed byte at `at`, `n` of them, gives another seat. */
static void
expect_all_count(const struct steering_cbpf_program *p, struct packet from,
    const size_t *at, size_t n)
{
	int seat = seat_of(p, &from);

	for (size_t i = 0; i < n; i++) {
		int moved = 0;

		for (int bits = 1; bits < 256; bits++) {
			struct packet c = from;

			c.bytes[at[i]] ^= (uint8_t)bits;
			moved += seat_of(p, &c) != seat;
		}
		assert_true(moved > 230);
	}
}

static void
only_address_and_port_count(void **state)
{
	static const size_t v4_bytes[] = { 12, 13, 14, 15, 20, 21 };
	static const size_t v4_bytes_behind[] = { 12, 13, 14, 15, 44, 45 };
	static const size_t v6_bytes[] = { 8, 9, 10, 11, 12, 13, 14, 15, 16, 17,
		18, 19, 20, 21, 22, 23, 40, 41 };
	struct packet from = ipv6_from(0xfe800000, 0, 0, 1);
	struct steering_cbpf_program p;
	struct packet v4, v6;

	(void)state;
	set_plain(&set, 64);
	build(&p, STEERING_CBPF_FLOW, &set);
	know(&set);
	v4 = ipv4_flow(0x7f000001, 40000, 24);
	expect_all_count(&p, v4, v4_bytes_behind, 6);
	v4 = ipv4_flow(0x7f000001, 40000, 0);
	expect_all_count(&p, v4, v4_bytes, 6);
	v6 = ipv6_flow(from, 40000, IPPROTO_UDP);
	expect_all_count(&p, v6, v6_bytes, 18);
	for (int i = 0; i < 1000; i++) {
		int seat4 = seat_of(&p, &v4), seat6 = seat_of(&p, &v6);

		for (size_t b = 1; b < sizeof(v4.bytes); b++) {
			if (b < 12 || (b >= 16 && b < 20) || b >= 22)
				v4.bytes[b] = (uint8_t)dice();
			if (b != 6 && (b < 8 || (b >= 24 && b < 40) || b >= 42))
				v6.bytes[b] = (uint8_t)dice();
		}
		assert_int_equal(seat_of(&p, &v4), seat4);
		assert_int_equal(seat_of(&p, &v6), seat6);
		/* Nor whether there are options. */
		v4 = ipv4_flow(0x7f000001, 40000, 4 * (dice() % 11));
		assert_int_equal(seat_of(&p, &v4), seat4);
		v4 = ipv4_flow(0x7f000001, 40000, 0);
	}
	steering_cbpf_free(&p);
}

/* A flow stays there: with its client's others, as by the address. */
static void
behind_extension_headers_only_the_address_counts(void **state)
{
	struct steering_cbpf_program flow, source;

	(void)state;
	set_plain(&set, 64);
	know(&set);
	build(&flow, STEERING_CBPF_FLOW, &set);
	build(&source, STEERING_CBPF_SOURCE, &set);
	for (int i = 0; i < 2000; i++) {
		struct packet from = ipv6_from(1, 2, 3, dice());

		for (int next = i % 2; next < 256; next += 2) {
			struct packet c;

			if (next == IPPROTO_UDP)
				continue;
			c = ipv6_flow(from, (uint16_t)dice(), (uint8_t)next);
			assert_int_equal(seat_of(&flow, &c),
			    seat_of(&source, &from));
		}
	}
	steering_cbpf_free(&flow);
	steering_cbpf_free(&source);
}

static void
clients_spread_evenly(void **state)
{
	static const size_t sizes[] = { 65, 100, 127, 128, 129, 1000, 4096 };

	(void)state;
	for (size_t i = 1; i < 64 + sizeof(sizes) / sizeof(*sizes); i++) {
		size_t n = i <= 64 ? i : sizes[i - 65];
		uint32_t clients = n <= 64 ? 10000 : (uint32_t)n * 50;

		set_plain(&set, n);
		for (enum crowd c = 0; c < N_CROWDS; c++) {
			seat_all(&set, c, clients, before);
			expect_even(&set, before, clients);
		}
	}
}

static void
ten_thousand_clients_on_eight_seats(void **state)
{
	(void)state;
	set_plain(&set, 8);
	for (enum crowd c = 0; c < N_CROWDS; c++) {
		unsigned most = 0;

		seat_all(&set, c, 10000, before);
		expect_even(&set, before, 10000);
		for (int i = 0; i < 8; i++)
			most = counts[i] > most ? counts[i] : most;
		assert_true(most <= 1250 * 108 / 100);
	}
}

/*
 * One seat of `s` goes and comes back elsewhere. Return how many clients moved
 * without need: the row has an end.
 */
static size_t
lose_and_return(const struct set *s, size_t gone, uint32_t clients)
{
	enum crowd crowd = dice() % N_CROWDS;
	int seat = (int)s->lanes[gone].seat;
	size_t orphans = 0, strays = 0;

	seat_all(s, crowd, clients, before);
	other = *s;
	set_remove(&other, gone);
	set_scramble(&other, other.n + 5);
	shuffle(&other);
	seat_all(&other, crowd, clients, after);
	for (uint32_t i = 0; i < clients; i++) {
		assert_int_not_equal(after[i], seat);
		if (before[i] == seat)
			after[orphans++] = after[i];
		else if (after[i] != before[i])
			strays++;
	}
	if (orphans >= 10 * other.n)
		expect_even(&other, after, orphans);
	other = *s;
	set_scramble(&other, other.n + 5);
	shuffle(&other);
	seat_all(&other, crowd, clients, after);
	assert_memory_equal(before, after, clients * sizeof(before[0]));
	return strays;
}

static void
expect_only_its_own_move(const struct set *s, size_t gone, uint32_t clients)
{
	assert_true(lose_and_return(s, gone, clients) <= 1);
}

static void
only_the_clients_of_a_seat_that_goes_move(void **state)
{
	(void)state;
	for (size_t n = 2; n <= 64; n++) {
		set_plain(&set, n);
		expect_only_its_own_move(&set, 0, 2000);
		expect_only_its_own_move(&set, n - 1, 2000);
		expect_only_its_own_move(&set, dice() % n, 2000);
	}
	set_plain(&set, 8);
	for (size_t i = 0; i < 8; i++)
		expect_only_its_own_move(&set, i, 40000);
	set_plain(&set, 100);
	expect_only_its_own_move(&set, 42, 40000);
	set_plain(&set, 1000);
	expect_only_its_own_move(&set, 999, 40000);
	set_plain(&set, 4096);
	for (size_t i = 0; i < 4096; i += 1365) {
		int seat = (int)i;

		seat_all(&set, CROWD_IPV6, 50000, before);
		other = set;
		set_remove(&other, i);
		seat_all(&other, CROWD_IPV6, 50000, after);
		for (int j = 0; j < 50000; j++)
			assert_true(before[j] == seat || before[j] == after[j]);
	}
}

/* However many are gone already. */
static void
one_after_the_other_goes(void **state)
{
	static const size_t sizes[] = { 8, 13, 64 };

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		set_plain(&set, sizes[i]);
		while (set.n > 1) {
			size_t gone = dice() % set.n;

			assert_true(lose_and_return(&set, gone, 1000) <=
			    (set.n * 2 >= sizes[i] ? 0 : 10));
			set_remove(&set, gone);
		}
	}
}

/* Before Linux 6.7 a program could be no longer than that. */
static void
little_room_is_enough_for_a_hundred(void **state)
{
	(void)state;
	optmem_max = STEERING_CBPF_OPTMEM_OLD;
	for (size_t n = 2; n <= 128; n = n * 2 - n / 3) {
		set_plain(&set, n);
		expect_only_its_own_move(&set, dice() % n, 10000);
		set_thin(&set, 20);
		if (set.n > 1)
			expect_only_its_own_move(&set, dice() % set.n, 10000);
	}
	for (size_t n = 256; n <= 2048; n *= 2) {
		set_plain(&set, n);
		set_scramble(&set, 2 * n);
		seat_all(&set, CROWD_IPV4_ROW, (uint32_t)n * 50, before);
		expect_even(&set, before, n * 50);
	}
	optmem_max = STEERING_CBPF_OPTMEM;
}

static void
few_of_many_are_even(void **state)
{
	(void)state;
	set.n = 3;
	set.lanes[0] = (struct steering_cbpf_lane){ 0, 5 };
	set.lanes[1] = (struct steering_cbpf_lane){ 62, 6 };
	set.lanes[2] = (struct steering_cbpf_lane){ 4095, 2 };
	for (enum crowd c = 0; c < N_CROWDS; c++) {
		seat_all(&set, c, 10000, before);
		expect_even(&set, before, 10000);
	}
	set_plain(&set, 4096);
	set_thin(&set, 98);
	seat_all(&set, CROWD_IPV4, 20000, before);
	expect_even(&set, before, 20000);
	set_plain(&set, 4096);
	set_thin(&set, 99);
	for (int i = 0; i < 10; i++)
		assert_true(lose_and_return(&set, dice() % set.n, 5000) <= 100);
}

static void
one_instance_more_takes_its_share(void **state)
{
	static const size_t sizes[] = { 100, 127, 128, 1000, 1024, 2048, 4095 };

	(void)state;
	for (size_t i = 1; i < 65 + sizeof(sizes) / sizeof(*sizes); i++) {
		size_t n = i <= 64 ? i : sizes[i - 65];
		uint32_t moved = 0, strays = 0, clients = 10000;
		enum crowd crowd = i % 2 == 0 ? CROWD_IPV4_ROW :
						CROWD_FLOW_IPV4;

		set_plain(&set, n);
		seat_all(&set, crowd, clients, before);
		set_plain(&set, n + 1);
		seat_all(&set, crowd, clients, after);
		for (uint32_t j = 0; j < clients; j++) {
			moved += after[j] == (int)n;
			strays += after[j] != before[j] && after[j] != (int)n;
		}
		assert_true(strays <= 1);
		assert_true(moved <= clients / (n + 1) + clients * 2 / 100);
		assert_true(n > 64 || moved + clients * 2 / 100 >=
		    clients / (n + 1));
	}
}

/*
 * A third of very many seats missing here and there, all positions mixed up:
 * there is no room for all that in a program. It stays even, and clients stay
 * while the set does; when that changes many of them may move.
 */
static void
very_many_scattered_lanes_stay_even(void **state)
{
	(void)state;
	for (size_t n = 512; n <= 4096; n *= 2) {
		set_plain(&set, n);
		set_thin(&set, 33);
		seat_all(&set, CROWD_IPV4, (uint32_t)n * 50, before);
		expect_even(&set, before, n * 50);
		shuffle(&set);
		seat_all(&set, CROWD_IPV4, (uint32_t)n * 50, after);
		assert_memory_equal(before, after, n * 50 * sizeof(before[0]));
		set_scramble(&set, n * 2);
		seat_all(&set, CROWD_IPV6_ROW, (uint32_t)n * 50, before);
		expect_even(&set, before, n * 50);
		seat_all(&set, CROWD_FLOW_IPV6, (uint32_t)n * 50, before);
		expect_even(&set, before, n * 50);
	}
}

static void
builds_the_same_again(void **state)
{
	(void)state;
	for (int i = 0; i < 40; i++) {
		enum steering_cbpf_key key = i % 3;
		struct steering_cbpf_program p, q;

		set_plain(&set, 1 + dice() % (i < 30 ? 64 : 4096));
		set_thin(&set, dice() % 50);
		set_scramble(&set, set.n * 2);
		build(&p, key, &set);
		shuffle(&set);
		build(&q, key, &set);
		assert_int_equal(p.n, q.n);
		assert_memory_equal(p.code, q.code, p.n * sizeof(*p.code));
		steering_cbpf_free(&p);
		steering_cbpf_free(&q);
	}
}

static void
says_when_memory_is_short(void **state)
{
	struct steering_cbpf_program p = { .n = 42 };

	(void)state;
	set_plain(&set, 5);
	for (int i = 0;; i++) {
		int r;

		alloc_fail((unsigned long)i + 1, ALLOC_ALL);
		r = steering_cbpf_build(STEERING_CBPF_SOURCE, set.lanes, set.n,
		    STEERING_CBPF_OPTMEM, &p);
		alloc_works();
		if (r == 0)
			break;
		assert_int_equal(r, -ENOMEM);
		assert_int_equal(p.n, 42);
		assert_null(p.code);
	}
	steering_cbpf_free(&p);
	steering_cbpf_free(&p);
}

/* ---- the kernel ---- */

/*
 * A group of sockets on loopback with a program by flow. What a flow sends must
 * arrive where the interpreter says: that the kernel takes the program, and
 * means by its loads what is meant.
 */
#define LIVE_SOCKETS	9	/* the first of which is no lane */
#define LIVE_FLOWS	40
#define LIVE_LIMIT_MS	10000

struct live {
	int fds[LIVE_SOCKETS];
	struct sockaddr_storage address;	/* for clients to send to */
	socklen_t len;
	struct steering_cbpf_program program;
};

static struct sockaddr_storage
loopback(int family, uint16_t port, socklen_t *ret_len)
{
	struct sockaddr_storage a = { .ss_family = (sa_family_t)family };

	if (family == AF_INET) {
		struct sockaddr_in *in = (struct sockaddr_in *)&a;

		in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		in->sin_port = htons(port);
		*ret_len = sizeof(*in);
	} else {
		struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&a;

		in6->sin6_addr = in6addr_loopback;
		in6->sin6_port = htons(port);
		*ret_len = sizeof(*in6);
	}
	return a;
}

static uint16_t
port_of(const struct sockaddr_storage *a)
{
	return ntohs(a->ss_family == AF_INET ?
		((const struct sockaddr_in *)a)->sin_port :
		((const struct sockaddr_in6 *)a)->sin6_port);
}

static void
live_attach(struct live *l)
{
	struct sock_fprog program;

	set_plain(&set, LIVE_SOCKETS);
	set_remove(&set, 0);
	for (unsigned i = 0; i < set.n; i++)	/* other seats than positions */
		set.lanes[i].seat = (5 * i + 2) % 8;
	build(&l->program, STEERING_CBPF_FLOW, &set);
	program = (struct sock_fprog){
		.len = (unsigned short)l->program.n,
		.filter = l->program.code,
	};
	assert_int_equal(setsockopt(l->fds[0], SOL_SOCKET,
			     SO_ATTACH_REUSEPORT_CBPF, &program,
			     sizeof(program)), 0);
}

/* Close all, and end the test by skipping it if it cannot be done. */
static void
live_end(struct live *l, bool skipped)
{
	for (size_t i = 0; i < LIVE_SOCKETS; i++)
		if (l->fds[i] >= 0)
			(void)close(l->fds[i]);
	steering_cbpf_free(&l->program);
	if (skipped)
		skip();
}

/* Of loopback, however wide its address is; false: not permitted. */
static bool
live_socket(struct live *l, size_t i, int family, bool both)
{
	const int yes = 1, only = !both;
	int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	l->fds[i] = fd;
	assert_true(fd >= 0);
	if (family == AF_INET6)
		assert_int_equal(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY,
				     &only, sizeof(only)), 0);
	if (both &&
	    setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3) < 0) {
		assert_int_equal(errno, EPERM);	/* before Linux 5.7 */
		return false;
	}
	/* The first only later: it must not get the port of a group there is. */
	if (i > 0)
		assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &yes,
				     sizeof(yes)), 0);
	return true;
}

static void
live_bind(struct live *l, size_t i, int family, bool both, uint16_t *port)
{
	const int yes = 1;
	socklen_t len;
	struct sockaddr_storage a = loopback(family, *port, &len);

	if (both)
		((struct sockaddr_in6 *)&a)->sin6_addr = in6addr_any;
	assert_int_equal(bind(l->fds[i], (struct sockaddr *)&a, len), 0);
	assert_int_equal(setsockopt(l->fds[i], SOL_SOCKET, SO_REUSEPORT, &yes,
			     sizeof(yes)), 0);
	assert_int_equal(getsockname(l->fds[i], (struct sockaddr *)&a, &len),
	    0);
	*port = port_of(&a);
}

static bool
have_ipv6(void)
{
	socklen_t len;
	struct sockaddr_storage a = loopback(AF_INET6, 0, &len);
	int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0), r;

	if (fd < 0) {
		assert_int_equal(errno, EAFNOSUPPORT);
		return false;
	}
	r = bind(fd, (struct sockaddr *)&a, len);
	assert_true(r == 0 || errno == EADDRNOTAVAIL);
	(void)close(fd);
	return r == 0;
}

/* Clients send by `to`. Skips the test where there is no IPv6. */
static void
live_begin(struct live *l, int family, bool both, int to)
{
	uint16_t port = 0;

	*l = (struct live){ .program = { .n = 0 } };
	memset(l->fds, 0xff, sizeof(l->fds));
	if (family == AF_INET6 && !have_ipv6())
		skip();
	for (size_t i = 0; i < LIVE_SOCKETS; i++) {
		if (!live_socket(l, i, family, both))
			live_end(l, true);
		live_bind(l, i, family, both, &port);
	}
	l->address = loopback(to, port, &l->len);
	live_attach(l);
}

/* Who the kernel gives the next datagram to, which must be of `content`. */
static int
live_receiver(const struct live *l, uint32_t content, size_t len)
{
	static uint8_t buffer[UINT16_MAX];

	for (;;) {
		struct pollfd p[LIVE_SOCKETS];
		size_t i;

		for (i = 0; i < LIVE_SOCKETS; i++)
			p[i] = (struct pollfd){ l->fds[i], POLLIN, 0 };
		assert_true(poll(p, LIVE_SOCKETS, LIVE_LIMIT_MS) > 0);
		for (i = 0; p[i].revents == 0; i++)
			continue;
		if (recv(l->fds[i], buffer, sizeof(buffer), 0) ==
			(ssize_t)len &&
		    memcmp(buffer, &content, sizeof(content)) == 0)
			return (int)i;
	}
}

/* What precedes the UDP header of a client's datagrams beyond the usual. */
enum live_extra {
	LIVE_PLAIN,
	LIVE_OPTIONS,		/* of IPv4 */
	LIVE_FRAGMENTS,		/* of IPv6, which has a header for that */
	LIVE_EXTENSION,		/* of IPv6: needs CAP_NET_RAW */
};

/* How long the options are; false: not permitted. */
static bool
live_client_extra(int fd, enum live_extra extra, int i, size_t *ret_options)
{
	uint8_t options[40];
	const int mtu = 1280;

	*ret_options = 0;
	if (extra == LIVE_OPTIONS) {
		memset(options, IPOPT_NOP, sizeof(options));
		*ret_options = 4 * (1 + (size_t)i % 10);
		assert_int_equal(setsockopt(fd, IPPROTO_IP, IP_OPTIONS, options,
				     (socklen_t)*ret_options), 0);
	} else if (extra == LIVE_FRAGMENTS) {
		assert_int_equal(setsockopt(fd, IPPROTO_IPV6, IPV6_MTU, &mtu,
				     sizeof(mtu)), 0);
	} else if (extra == LIVE_EXTENSION) {
		/* Next header, length, and four bytes of padding. */
		static const uint8_t padding[8] = { 0, 0, 1, 4 };

		if (setsockopt(fd, IPPROTO_IPV6, IPV6_DSTOPTS, padding,
			sizeof(padding)) < 0) {
			assert_int_equal(errno, EPERM);
			return false;
		}
	}
	return true;
}

static struct packet
live_packet(const struct live *l, uint16_t port, enum live_extra extra,
    size_t options)
{
	if (l->address.ss_family == AF_INET)
		return ipv4_flow(INADDR_LOOPBACK, port, options);
	return ipv6_flow(ipv6_from(0, 0, 0, 1), port,
	    extra == LIVE_EXTENSION ? IPPROTO_DSTOPTS : IPPROTO_UDP);
}

/* A flow's datagrams of some lengths; false: not permitted. */
static bool
live_flow(const struct live *l, enum live_extra extra, int i,
    unsigned *ret_lanes)
{
	static const size_t lens[] = { 4, 5, 1000, 5000 };
	static uint8_t content[5000];
	struct sockaddr_storage a;
	socklen_t len = sizeof(a);
	struct packet packet;
	size_t options;
	int fd = socket(l->address.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	if (!live_client_extra(fd, extra, i, &options)) {
		(void)close(fd);
		return false;
	}
	assert_int_equal(connect(fd, (const struct sockaddr *)&l->address,
			     l->len), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	packet = live_packet(l, port_of(&a), extra, options);
	for (size_t j = 0; j < sizeof(lens) / sizeof(*lens); j++) {
		uint32_t number = dice();

		memcpy(content, &number, sizeof(number));
		assert_int_equal(send(fd, content, lens[j], 0), lens[j]);
		assert_int_equal(live_receiver(l, number, lens[j]),
		    choose(&l->program, &packet));
	}
	*ret_lanes |= 1u << choose(&l->program, &packet);
	(void)close(fd);
	return true;
}

static void
expect_live(int family, bool both, int to, enum live_extra extra)
{
	struct live l;
	unsigned lanes = 0;

	live_begin(&l, family, both, to);
	for (int i = 0; i < LIVE_FLOWS; i++)
		if (!live_flow(&l, extra, i, &lanes))
			live_end(&l, true);
	live_end(&l, false);
	/* Otherwise this has shown nothing. */
	assert_true(extra == LIVE_EXTENSION || __builtin_popcount(lanes) > 3);
	assert_int_equal(lanes & 1, 0);
}

static void
live_ipv4(void **state)
{
	(void)state;
	expect_live(AF_INET, false, AF_INET, LIVE_PLAIN);
}

static void
live_ipv4_with_options(void **state)
{
	(void)state;
	expect_live(AF_INET, false, AF_INET, LIVE_OPTIONS);
}

static void
live_ipv6(void **state)
{
	(void)state;
	expect_live(AF_INET6, false, AF_INET6, LIVE_PLAIN);
}

static void
live_ipv6_in_fragments(void **state)
{
	(void)state;
	expect_live(AF_INET6, false, AF_INET6, LIVE_FRAGMENTS);
}

static void
live_ipv6_with_an_extension_header(void **state)
{
	(void)state;
	expect_live(AF_INET6, false, AF_INET6, LIVE_EXTENSION);
}

static void
live_ipv4_to_both(void **state)
{
	(void)state;
	expect_live(AF_INET6, true, AF_INET, LIVE_PLAIN);
}

static void
live_ipv6_to_both(void **state)
{
	(void)state;
	expect_live(AF_INET6, true, AF_INET6, LIVE_PLAIN);
}

static void
live_ipv4_with_options_to_both(void **state)
{
	(void)state;
	expect_live(AF_INET6, true, AF_INET, LIVE_OPTIONS);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_lane_needs_no_packet),
		cmocka_unit_test(random_is_exactly_even),
		cmocka_unit_test(nobody_is_steered_elsewhere),
		cmocka_unit_test(loads_stay_in_the_header),
		cmocka_unit_test(loads_of_a_port_stay_in_the_udp_header),
		cmocka_unit_test(a_question_goes_to_the_position_that_it_is_about),
		cmocka_unit_test(a_check_goes_to_the_position_that_it_means),
		cmocka_unit_test(what_is_no_question_goes_where_it_went),
		cmocka_unit_test(a_question_needs_room),
		cmocka_unit_test(only_the_address_counts),
		cmocka_unit_test(only_address_and_port_count),
		cmocka_unit_test(
		    behind_extension_headers_only_the_address_counts),
		cmocka_unit_test(clients_spread_evenly),
		cmocka_unit_test(ten_thousand_clients_on_eight_seats),
		cmocka_unit_test(only_the_clients_of_a_seat_that_goes_move),
		cmocka_unit_test(one_after_the_other_goes),
		cmocka_unit_test(little_room_is_enough_for_a_hundred),
		cmocka_unit_test(few_of_many_are_even),
		cmocka_unit_test(one_instance_more_takes_its_share),
		cmocka_unit_test(very_many_scattered_lanes_stay_even),
		cmocka_unit_test(builds_the_same_again),
		cmocka_unit_test(says_when_memory_is_short),
		cmocka_unit_test(live_ipv4),
		cmocka_unit_test(live_ipv4_with_options),
		cmocka_unit_test(live_ipv6),
		cmocka_unit_test(live_ipv6_in_fragments),
		cmocka_unit_test(live_ipv6_with_an_extension_header),
		cmocka_unit_test(live_ipv4_to_both),
		cmocka_unit_test(live_ipv6_to_both),
		cmocka_unit_test(live_ipv4_with_options_to_both),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
