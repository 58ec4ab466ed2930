#!/bin/bash
# Guess: clusterMetrics() sums what the workers of a Node cluster have; one that
# cannot answer now is left out.
# Seen: prom-client 15.1.3 waits for every connected worker and rejects the
# whole scrape after 5 s ("Operation timed out.") if a single one is busy, or
# has never made an AggregatorRegistry (such a worker never answers, however
# idle; requiring the package is not enough). The other workers' numbers, and
# the primary's, are lost for that scrape.
# For a supervisor: metrics from outside the workers must not wait for all of
# them; a worker that hangs is when the numbers are needed.
. "$(dirname "$0")/lib.bash"
pack prom-client@15.1.3
cat >"$T/main.js" <<'A'
const cluster = require('cluster');
const {AggregatorRegistry, Counter} = require('prom-client');
if (cluster.isWorker) {
  if (process.env.KIND !== 'bare') new AggregatorRegistry();
  new Counter({name: 'jobs_total', help: 'h'}).inc();
  process.on('message', (m) => {
    if (m !== 'busy') return;
    process.send('busy');
    for (const end = Date.now() + 7000; Date.now() < end;);
  });
  process.send('up');
} else {
  const all = new AggregatorRegistry();
  const fork = (KIND) => new Promise((up) => {
    const w = cluster.fork({KIND});
    w.once('message', () => up(w));
  });
  const scrape = () => all.clusterMetrics().then(
    (text) => /jobs_total (\d+)/.exec(text)[1], (e) => e.message);
  (async () => {
    await fork('good');
    const second = await fork('good');
    console.log('two', await scrape());
    const busy = new Promise((yes) => second.once('message', yes));
    second.send('busy');
    await busy;
    console.log('busy', await scrape());
    second.process.kill('SIGKILL');
    await new Promise((gone) => second.once('disconnect', gone));
    console.log('one', await scrape());
    await fork('bare');
    console.log('bare', await scrape());
    process.exit();
  })();
}
A
cd "$T"
timeout 50 node main.js >out 2>err || changed "$(tail -n 3 err)"
printf '%s\n' 'two 2' 'busy Operation timed out.' 'one 1' \
	'bare Operation timed out.' | diff - out >differ ||
	changed "$(cat differ)"
seen "prom-client 15.1.3: one busy or bare worker fails the whole scrape"
