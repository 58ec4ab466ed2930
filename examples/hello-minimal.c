/* The least that clusterd needs of a server: it binds the port that it is told.
   cc -o hello-minimal hello-minimal.c && clusterd -p 8080 -n 4 -- ./hello-minimal */
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int
main(void)
{
	const char *port = getenv("PORT"), *instance = getenv("CLUSTERD_INSTANCE");
	struct sockaddr_in address = { .sin_family = AF_INET };
	int listener = socket(AF_INET, SOCK_STREAM, 0);

	address.sin_port = htons((in_port_t)atoi(port != NULL ? port : "8080"));
	signal(SIGPIPE, SIG_IGN);
	if (bind(listener, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(listener, 128) < 0)
		return perror("hello-minimal"), 1;
	for (;;) {
		int client = accept(listener, NULL, NULL);
		char request[4096];

		if (client >= 0 && read(client, request, sizeof(request)) > 0)
			dprintf(client, "HTTP/1.0 200 OK\r\n\r\nhello from instance "
			    "%s, pid %d\n", instance != NULL ? instance : "-", getpid());
		close(client);
	}
}
