"""The orchestrator's web port, as far as it concerns its configuration: POST /api/config/reload reads the database
again, GET /api/config/ tells what it runs with, API keys in plain text. `deaf` answers and goes on with what it has."""
import json
import pathlib
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

db, key_file, port, token, deaf = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4], sys.argv[5] == "deaf"
reader = "import json, sqlite3, sys\n" + (pathlib.Path(__file__).parent / "read_database.py").read_text()


def load():
    given = json.dumps({"db": db, "key": pathlib.Path(key_file).read_text().strip()})
    read = subprocess.run([sys.executable, "-c", reader], input=given, capture_output=True, text=True, check=True)
    return json.loads(read.stdout)["config"]


class Handler(BaseHTTPRequestHandler):
    config = load()

    def answer(self, status, body):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def refused(self):
        if token and self.headers.get("Authorization") != f"Bearer {token}":
            self.answer(401, {"detail": "Unauthorized"})
            return True
        return False

    def do_POST(self):
        if self.refused():
            return
        if self.path != "/api/config/reload":
            return self.answer(404, {"detail": "Not Found"})
        if not deaf:
            Handler.config = load()
        self.answer(200, {"status": "success", "changes": []})

    def do_GET(self):
        if self.refused():
            return
        if self.path != "/api/config/":
            return self.answer(404, {"detail": "Not Found"})
        self.answer(200, Handler.config)

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
