"""A stock asyncio server: see clients.py for what is said.

    loop.py PORT | -

`-`: on the descriptor that CLUSTERD_FD names.
"""

import asyncio
import os
import socket
import sys

GREETING = (f"{os.getpid()} {os.environ.get('CLUSTERD_INSTANCE')} "
            f"{os.environ.get('CLUSTERD_GENERATION')}\n").encode()


async def serve(reader, writer):
    try:
        writer.write(GREETING)
        line = await reader.readline()
        if line.endswith(b"\n"):
            await asyncio.sleep(int(line) / 1000)
            writer.write(b"done\n")
            await writer.drain()
    except ConnectionError:
        pass
    writer.close()


async def main(where):
    if where == "-":
        s = socket.socket(fileno=int(os.environ["CLUSTERD_FD"].split(",")[0]))
        server = await asyncio.start_server(serve, sock=s)
    else:
        server = await asyncio.start_server(serve, "127.0.0.1", int(where))
    async with server:
        await server.serve_forever()


asyncio.run(main(sys.argv[1]))
