"""Asks a person which model to keep, with the standard library alone."""
import http.client, json, os, socket, sys

class Step(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(os.environ["HOLDFAST_SOCKET"])

step = Step("step")
step.request("POST", "/ask", json.dumps({"question": "Which model is to be kept?", "options": ["line", "parabola"], "context": json.load(open("fit.json"))}))
answer = json.load(step.getresponse())
print(answer)
if answer.get("outcome") != "approved":
    sys.exit("no model was chosen")
open("model.txt", "w").write(answer["answer"])
