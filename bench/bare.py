"""The other baseline: a bare Flask route that answers JSON, on the same web server, kept to its processor like ours."""

from flask import Flask, jsonify
from flask.wrappers import Response

from app.serve import keep_to_one_processor

keep_to_one_processor()
app = Flask("bare")


@app.post("/bare")
def bare() -> Response:
    return jsonify(id="01936a7c-5b1e-7a10-8000-000000000001", amount_yen=450, kind="payment")
