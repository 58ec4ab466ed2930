#!/bin/sh
# Mails what needs somebody, by the sendmail(8) that every mail system has:
#
#	[clusterd]
#	on_event = /etc/clusterd/mail.sh ops@example.org
#
# A single death needs nobody, the worker is started again; a parked one does.
# The events are in clusterd-control(7).

case $CLUSTERD_EVENT in
parked | unhealthy | aborted | refused) ;;
*) exit 0 ;;
esac

PATH=$PATH:/usr/sbin:/usr/lib
{
	printf 'To: %s\n' "$1"
	printf 'Subject: clusterd on %s: %s %s\n' "$(uname -n)" \
		"${CLUSTERD_APP:-clusterd}" "$CLUSTERD_EVENT"
	printf 'MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n'
	printf 'Content-Transfer-Encoding: 8bit\n\n'
	cat
} | sendmail -i -- "$1"
