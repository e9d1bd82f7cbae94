"""Serves the site with waitress on 127.0.0.1 and prints one JSON line once it listens.

Usage: python serve.py PORT, where 0 lets the system choose a port.
"""

import json
import os
import sys

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "harbour.settings")

from django.core.wsgi import get_wsgi_application  # noqa: E402
from waitress import create_server  # noqa: E402


def main():
    port = int(sys.argv[1])
    # The site is there to show what the proxy sent, so the server must not tidy forwarding fields away.
    server = create_server(
        get_wsgi_application(),
        host="127.0.0.1",
        port=port,
        threads=16,
        # A proxy keeps idle connections; at waitress' own 100 they would shut new ones out.
        connection_limit=1000,
        clear_untrusted_proxy_headers=False,
    )
    print(json.dumps({"listening": f"127.0.0.1:{server.effective_port}"}), flush=True)
    server.run()


if __name__ == "__main__":
    main()
