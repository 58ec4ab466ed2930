#include <sys/ioctl.h>
#include <sys/socket.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/in.h>
#include <pthread.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mono.h"
#include "delay_net.h"

#define PACKETS 8192

struct packet {
	struct mono due;
	size_t len;
	unsigned char bytes[2048];
};

static struct packet *queue;	/* a ring */
static size_t first, n_packets;
static int tun = -1, delay_ms;

static int
interface_up(const char *name, const char *address)
{
	struct sockaddr_in *sin;
	struct ifreq ifr;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int code = 0;

	if (fd < 0)
		return -errno;
	memset(&ifr, 0, sizeof(ifr));
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	sin = (struct sockaddr_in *)&ifr.ifr_addr;
	sin->sin_family = AF_INET;
	if (address != NULL) {
		inet_pton(AF_INET, address, &sin->sin_addr);
		if (ioctl(fd, SIOCSIFADDR, &ifr) < 0)
			code = -errno;
		inet_pton(AF_INET, "255.255.255.0", &sin->sin_addr);
		if (ioctl(fd, SIOCSIFNETMASK, &ifr) < 0)
			code = -errno;
	}
	if (ioctl(fd, SIOCGIFFLAGS, &ifr) < 0)
		code = -errno;
	ifr.ifr_flags |= IFF_UP;
	if (ioctl(fd, SIOCSIFFLAGS, &ifr) < 0)
		code = -errno;
	close(fd);
	return code;
}

int
delay_net_enter(void)
{
	if (unshare(CLONE_NEWNET) < 0)
		return -errno;
	return interface_up("lo", NULL);
}

static void
swap(unsigned char *a, unsigned char *b, size_t len)
{
	unsigned char keep[16];

	memcpy(keep, a, len);
	memcpy(a, b, len);
	memcpy(b, keep, len);
}

static void
take_packet(void)
{
	struct packet *p = &queue[(first + n_packets) % PACKETS];
	ssize_t len = read(tun, p->bytes, sizeof(p->bytes));

	if (len < 40 || n_packets == PACKETS)
		return;
	if (p->bytes[0] >> 4 == 4)
		swap(p->bytes + 12, p->bytes + 16, 4);
	else
		swap(p->bytes + 8, p->bytes + 24, 16);
	p->len = (size_t)len;
	p->due = mono_add_ms(mono_now(), delay_ms);
	n_packets++;
}

static void *
forward(void *unused)
{
	(void)unused;
	for (;;) {
		struct pollfd pfd = { .fd = tun, .events = POLLIN };
		int64_t wait = -1;

		while (n_packets > 0) {
			struct packet *p = &queue[first];

			wait = mono_ms_between(mono_now(), p->due);
			if (mono_before(mono_now(), p->due))
				break;
			if (write(tun, p->bytes, p->len) < 0)
				perror("delay_net");
			first = (first + 1) % PACKETS;
			n_packets--;
			wait = -1;
		}
		/* At most a millisecond late. */
		if (poll(&pfd, 1, wait < 0 ? -1 : (int)wait + 1) > 0)
			take_packet();
	}
	return NULL;
}

int
delay_net_start(int ms)
{
	struct ifreq ifr;
	pthread_t thread;
	int code;

	delay_ms = ms;
	queue = calloc(PACKETS, sizeof(*queue));
	tun = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	if (queue == NULL || tun < 0)
		return -errno;
	memset(&ifr, 0, sizeof(ifr));
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "slow");
	ifr.ifr_flags = IFF_TUN | IFF_NO_PI;
	if (ioctl(tun, TUNSETIFF, &ifr) < 0)
		return -errno;
	code = interface_up("slow", "10.77.0.1");
	if (code == 0)
		code = -pthread_create(&thread, NULL, forward, NULL);
	return code;
}
