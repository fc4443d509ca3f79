// A proxy in front of the server that names its user, as an authenticating proxy does. It keeps
// the browser's Host header, by which the server recognises its own pages.
import { once } from 'node:events';
import { createServer, request } from 'node:http';
import { connect } from 'node:net';

export async function startProxy(target, user) {
  const { hostname, port } = new URL(target);
  const sockets = new Set();
  const headersOf = (incoming) => ({ ...incoming.headers, 'x-holdfast-user': user });
  const server = createServer((incoming, outgoing) => {
    const forward = request({ hostname, port, path: incoming.url, method: incoming.method, headers: headersOf(incoming) }, (answer) => {
      outgoing.writeHead(answer.statusCode, answer.headers);
      answer.pipe(outgoing);
    });
    forward.on('error', () => outgoing.destroy());
    incoming.pipe(forward);
  });
  server.on('upgrade', (incoming, socket, head) => {
    const upstream = connect(Number(port), hostname, () => {
      const headers = headersOf(incoming);
      upstream.write(`GET ${incoming.url} HTTP/1.1\r\n${Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`);
      upstream.write(head);
      socket.pipe(upstream).pipe(socket);
    });
    for (const [one, other] of [[socket, upstream], [upstream, socket]]) {
      sockets.add(one);
      one.on('error', () => other.destroy());
      one.on('close', () => {
        sockets.delete(one);
        other.destroy();
      });
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    async stop() {
      for (const socket of sockets) socket.destroy();
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}
