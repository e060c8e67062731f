"""A scheduler extender: python3 extender.py DIRECTORY. Listens at 127.0.0.1, writes its port to
DIRECTORY/port and a line for each call to DIRECTORY/calls. Nodes labelled `noisy` are none for anybody,
those labelled `view` are the better ones; it binds nobody."""

import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

directory = sys.argv[1]


def labels(node):
    return node["metadata"].get("labels", {})


def filtered(args):
    nodes = args["Nodes"]["items"]
    noisy = {n["metadata"]["name"]: "node(s) are noisy" for n in nodes if "noisy" in labels(n)}
    kept = [n for n in nodes if "noisy" not in labels(n)]
    return {"Nodes": {"items": kept}, "FailedAndUnresolvableNodes": noisy, "Error": ""}


def prioritized(args):
    return [
        {"Host": n["metadata"]["name"], "Score": 10 if "view" in labels(n) else 0}
        for n in args["Nodes"]["items"]
    ]


class Extender(BaseHTTPRequestHandler):
    def do_POST(self):
        args = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        verb = self.path.rsplit("/", 1)[1]
        with open(os.path.join(directory, "calls"), "a") as calls:
            calls.write(f"{verb} {args['Pod']['metadata']['name']}\n")
        answer = {"filter": filtered, "prioritize": prioritized}[verb](args)
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Extender)
with open(os.path.join(directory, "port.new"), "w") as port:
    port.write(str(server.server_address[1]))
os.rename(os.path.join(directory, "port.new"), os.path.join(directory, "port"))
server.serve_forever()
