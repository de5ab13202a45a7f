"""Points for many members from a file. Needs requests. CLIENT_ID and CLIENT_SECRET: a service with the scope `bulk`.

Run as `python bulk.py grants.csv`.
"""

import hashlib
import os
import sys
import time
from pathlib import Path

import requests

KUMIAI = os.environ["KUMIAI_URL"]
CLIENT = (os.environ["CLIENT_ID"], os.environ["CLIENT_SECRET"])
form = {"grant_type": "client_credentials", "scope": "bulk"}
token = requests.post(f"{KUMIAI}/oauth/token", form, auth=CLIENT, timeout=10).json()["access_token"]
http = requests.Session()
http.headers.update({"Authorization": f"Bearer {token}", "Accept-Language": "en"})


def job_when(job_id, *states):
    """The job, once it is in one of these states."""
    while (job := http.get(f"{KUMIAI}/v1/bulk/{job_id}", timeout=10).json())["state"] not in states:
        time.sleep(0.2)
    return job


file = Path(sys.argv[1])
key = f"grants-{hashlib.sha256(file.read_bytes()).hexdigest()[:32]}"  # the same upload again makes no second job
headers = {"Idempotency-Key": key, "Content-Type": "text/csv"}
query = {"file_name": file.name}
sent = http.post(f"{KUMIAI}/v1/bulk", params=query, data=file.read_bytes(), headers=headers, timeout=60)
sent.raise_for_status()
job = job_when(sent.json()["id"], "examined", "rejected")
if job["state"] == "rejected":
    sys.exit(f"The file cannot be used: {job['problem']['reason']}")
for bad in http.get(f"{KUMIAI}/v1/bulk/{job['id']}/problems", timeout=10).json()["problems"]:
    print(f"Line {bad['line']}: {bad['reason']}")
print(f"{job['good_lines']} lines, {job['left_sum_yen']} yen in all")

wanted = {"expected_sum_yen": job["left_sum_yen"], "skip_bad_lines": True}
http.post(f"{KUMIAI}/v1/bulk/{job['id']}/start", json=wanted, timeout=10).raise_for_status()
done = job_when(job["id"], "done")
print(f"Moved {done['moved_yen']} yen; {done['accepted_lines']} accepted, {done['refused_lines']} refused")
print(http.get(f"{KUMIAI}/v1/bulk/{job['id']}/results", timeout=60).content.decode("utf-8-sig"))
