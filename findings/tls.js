// For the scripts that run in Node: the certificate that lib.bash has made,
// a client's options for it, waiting, a server's port once it listens, and what
// runs to its end and no longer.
const fs = require('fs');
exports.pem = {key: fs.readFileSync('key.pem'), cert: fs.readFileSync('cert.pem')};
exports.tls = {rejectUnauthorized: false};
exports.late = (ms, what) => new Promise((yes) => setTimeout(yes, ms, what));
exports.up = (server) => new Promise((yes) =>
  server.listen(0, '127.0.0.1', () => yes(server.address().port)));
exports.run = (main) => main().then(() => process.exit());
