"""Profile spa: a page alone has no Python. This serves spa.html to try it: `python spa.py 8020`, on localhost only."""

import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

handler = partial(SimpleHTTPRequestHandler, directory=Path(__file__).parent)
ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), handler).serve_forever()
