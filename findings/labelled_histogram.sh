#!/bin/bash
# Guess: a parser of the exposition format keeps apart what has other labels, the
# series of a histogram and a summary as those of a counter.
# Seen: parse-prometheus-text-format 1.1.1 keeps a counter's labels, but makes one of
# all a histogram's or summary's series: the last worker's buckets or quantiles stand
# for all, count and sum are gone, and nothing tells. With no labels but "le" and
# "quantile" it is right. The text is what prom-client 15.1.3 writes.
# For a supervisor: metrics with a label for each worker are safe as counters and
# gauges; what is to survive such a reader is no histogram by worker.
. "$(dirname "$0")/lib.bash"
pack parse-prometheus-text-format@1.1.1 prom-client@15.1.3
cd "$T"
script 30 <<'A'
const client = require('prom-client'), lib = require('parse-prometheus-text-format');
const parse = lib.default || lib;
const labelNames = ['worker'];
const help = 'x';
const took = new client.Histogram({name: 'took', help, labelNames, buckets: [1]});
const size = new client.Summary({name: 'size', help, labelNames, percentiles: [0.5]});
const done = new client.Counter({name: 'done', help, labelNames});
const alone = new client.Histogram({name: 'alone', help, buckets: [1]});
for (const [worker, n] of [['1', 3], ['2', 5]]) {
  for (let i = 0; i < n; i++) {
    took.observe({worker}, 0.5);
    size.observe({worker}, n === 3 ? 7 : 9);
    done.inc({worker});
    alone.observe(0.5);
  }
}
(async () => {
  const text = await client.register.metrics();
  console.log(text.split('\n').filter((l) => /^(took|size)_count/.test(l)).join(', '));
  for (const {name, metrics} of parse(text)) console.log(name, JSON.stringify(metrics));
})();
A
printed <<'A'
took_count{worker="1"} 3, took_count{worker="2"} 5, size_count{worker="1"} 3, size_count{worker="2"} 5
took [{"buckets":{"1":"5","+Inf":"5"}}]
size [{"quantiles":{"0.5":"9"}}]
done [{"value":"3","labels":{"worker":"1"}},{"value":"5","labels":{"worker":"2"}}]
alone [{"buckets":{"1":"8","+Inf":"8"},"count":"8","sum":"4"}]
A
seen "parse-prometheus-text-format 1.1.1: the last worker's histogram stands for all"
