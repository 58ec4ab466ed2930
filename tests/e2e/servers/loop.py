"""A stock asyncio server: lines, each answered with who answers.

    loop.py PORT [SECONDS]

asyncio makes its socket non-blocking after bind(2) and before listen(2). With
SECONDS it imports for so long, as large programs do.
"""

import asyncio
import os
import sys
import time


async def serve(reader, writer):
    while await reader.readline():
        writer.write(f"{os.getpid()}\n".encode())
        await writer.drain()
    writer.close()


async def main(port):
    server = await asyncio.start_server(serve, "127.0.0.1", port)
    async with server:
        await server.serve_forever()


if len(sys.argv) > 2:
    time.sleep(float(sys.argv[2]))
asyncio.run(main(int(sys.argv[1])))
