"""A chat completions server that answers any question 200 ms after it was asked, however many are asked at once.

python tests/benchmarks/slow_chat_server.py [SECONDS]        prints its port, and serves until it is killed
"""

import asyncio
import json
import sys

DELAY = 0.2
LOGPROBS = [{"token": letter, "logprob": -0.5 - place} for place, letter in enumerate("ABCDEFGH")]
ANSWER = {
    "choices": [
        {
            "message": {"role": "assistant", "content": "A"},
            "logprobs": {"content": [{"token": "A", "logprob": -0.5, "top_logprobs": LOGPROBS}]},
        }
    ],
    "usage": {"prompt_tokens": 1000, "completion_tokens": 1},
}
BODY = json.dumps(ANSWER).encode()
RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)


delay = float(sys.argv[1]) if __name__ == "__main__" and len(sys.argv) > 1 else DELAY


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            lines = head.decode("latin-1").lower().split("\r\n")
            length = next(int(line.split(":")[1]) for line in lines if line.startswith("content-length:"))
            await reader.readexactly(length)
            await asyncio.sleep(delay)
            writer.write(RESPONSE)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def main() -> None:
    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=2**24)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
