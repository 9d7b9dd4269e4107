"""How long it takes to find the batches of a store that is some milliseconds away.

    python benchmarks/find_batches.py [--batches 10000] [--files 1] [--milliseconds 20]

A server in another process answers ListObjectsV2 from memory, each request so many milliseconds late; the client is the
operator's own. Prints a line of JSON: batches, requests, seconds, and the processor's seconds of the client.
"""

import argparse
import json
import multiprocessing
import time
from bisect import bisect_right
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit
from xml.sax.saxutils import escape

from bluetune_api.batches import find_batches
from bluetune_api.s3 import S3Store
from bluetune_api.store_location import StoreLocation

BUCKET, PAGE = "bucket", 1000
OBJECT = (
    "<Contents><Key>{}</Key><LastModified>2026-01-31T12:00:00.000Z</LastModified>"
    "<ETag>&quot;d41d8cd98f00b204e9800998ecf8427e&quot;</ETag><Size>1</Size></Contents>"
)


class Server(ThreadingHTTPServer):
    """Lists keys, as S3 does."""

    daemon_threads = True

    def __init__(self, keys: list[str], seconds: float) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.keys = sorted(keys)
        self.told = [OBJECT.format(escape(key)) for key in self.keys]
        self.seconds = seconds
        self.requests = multiprocessing.Value("i", 0)


class Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        """ListObjectsV2."""
        server = self.server
        server.requests.value += 1
        time.sleep(server.seconds)
        asked = parse_qs(urlsplit(self.path).query)
        begin = bisect_right(server.keys, asked.get("start-after", [""])[0])
        found = server.told[begin : begin + PAGE]
        more = "true" if begin + PAGE < len(server.keys) else "false"
        body = (
            '<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<Name>{BUCKET}</Name><Prefix></Prefix><IsTruncated>{more}</IsTruncated>"
            f"<NextContinuationToken>t</NextContinuationToken>{''.join(found)}"
            "</ListBucketResult>"
        ).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def main() -> None:
    """Measure once."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, default=10_000)
    parser.add_argument("--files", type=int, default=1, help="beside the _SUCCESS of each")
    parser.add_argument("--milliseconds", type=float, default=20.0)
    options = parser.parse_args()
    names = ["_SUCCESS", *(f"part-{number:05d}.parquet" for number in range(options.files))]
    keys = [f"clickstream/hour={number:06d}/{name}" for number in range(options.batches) for name in names]
    server = Server(keys, options.milliseconds / 1000)
    serving = multiprocessing.get_context("fork").Process(target=server.serve_forever, daemon=True)
    serving.start()
    location = StoreLocation(
        endpoint=f"127.0.0.1:{server.server_port}", bucket=BUCKET, region="us-east-1", secure=False
    )
    store = S3Store(location, access_key="key", secret_key="secret")  # noqa: S106 - of nothing
    begun, used = time.perf_counter(), time.process_time()
    found = find_batches(store, now=time.time())
    print(
        json.dumps(
            {
                "batches": len(found.complete),
                "requests": server.requests.value,
                "seconds": round(time.perf_counter() - begun, 2),
                "processor_seconds": round(time.process_time() - used, 2),
            }
        )
    )
    serving.terminate()


if __name__ == "__main__":
    main()
