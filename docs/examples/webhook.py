"""Hears of payments. Needs requests and standardwebhooks.

CLIENT_ID and CLIENT_SECRET are a service's with the scope `webhook`; PUBLIC_URL leads to this program from outside.
"""

import os
import queue
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import requests
from standardwebhooks import Webhook, WebhookVerificationError

KUMIAI, PORT = os.environ["KUMIAI_URL"], int(os.environ["PORT"])
CLIENT = (os.environ["CLIENT_ID"], os.environ["CLIENT_SECRET"])
seen = set()  # yours is a table with a unique key, filled in the transaction that does the work
secret = ""  # kept with your other secrets
events = queue.Queue()


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        try:
            event = Webhook(secret).verify(body, {name.lower(): value for name, value in self.headers.items()})
        except WebhookVerificationError:
            return self.answer(401)  # not from Kumiai, or minutes old
        if self.headers["webhook-id"] not in seen:  # at least once: the same may come again
            seen.add(self.headers["webhook-id"])
            events.put(event)
        self.answer(204)  # within ten seconds; long work comes after

    def answer(self, status):
        self.send_response(status)
        self.end_headers()

    def log_message(self, *arguments):
        pass


server = ThreadingHTTPServer(("0.0.0.0", PORT), Receiver)
threading.Thread(target=server.serve_forever, daemon=True).start()

form = {"grant_type": "client_credentials", "scope": "webhook"}
token = requests.post(f"{KUMIAI}/oauth/token", form, auth=CLIENT, timeout=10).json()["access_token"]
http = requests.Session()
http.headers["Authorization"] = f"Bearer {token}"
wanted = {
    "url": os.environ["PUBLIC_URL"],
    "events": ["payment.created", "refund.created"],
    "contact_email": "ops@example.ac.jp",
}
endpoint = http.post(f"{KUMIAI}/v1/webhook-endpoints", json=wanted, timeout=10).json()
secret = endpoint["secret"]  # shown this once
http.post(f"{KUMIAI}/v1/webhook-endpoints/{endpoint['id']}/test", timeout=10).raise_for_status()
while True:
    event = events.get()
    print(event["type"], event["data"].get("amount_yen"), event["data"].get("request_id"), flush=True)
