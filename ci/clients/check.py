#!/usr/bin/env python3
"""Has clients that nobody here wrote talk to the reference edgeHub, unmodified: Microsoft's device SDKs for Python and
Node.js over each transport they have, Qpid Proton, mosquitto. What they send is read in the cloud with Microsoft's SDK
for Event Hubs.

usage: check.py EDGECERT FOLDER

EDGECERT is the program. FOLDER gets a virtual environment and Node.js modules, which needs package indices, and a world
of its own. Needed beside Python: node, npm, mosquitto_pub, mosquitto_sub, and the right to listen on port 443.
Exit code 0 when everything holds.
"""

import json
import os
import pathlib
import queue
import subprocess
import sys
import threading
import time
import urllib.parse
import venv

HERE = pathlib.Path(__file__).resolve().parent
# The processes of a world, for every check.
sys.path.append(str(HERE.parent))

PATIENCE = 30

# Each client is a module of its own: its program, and how it finds the edgeHub.
CLIENTS = {
    "python-mqtt": ["python", "azure_iot_device.py", "mqtt", "environment"],
    "python-mqtt-ws": ["python", "azure_iot_device.py", "mqtt-ws", "environment"],
    "python-mqtt-string": ["python", "azure_iot_device.py", "mqtt", "string"],
    "python-mqtt-ws-string": ["python", "azure_iot_device.py", "mqtt-ws", "string"],
    "node-mqtt": ["node", "azure_iot_device.js", "mqtt"],
    "node-mqtt-ws": ["node", "azure_iot_device.js", "mqtt-ws"],
    "node-amqp": ["node", "azure_iot_device.js", "amqp"],
    "node-amqp-ws": ["node", "azure_iot_device.js", "amqp-ws"],
    "proton": ["python", "proton_peer.py"],
    "mosquitto": ["python", "mosquitto_peer.py"],
}
# These have messages only: twins and methods are not theirs.
PEERS = {"proton", "mosquitto"}


class Client:
    """A client's process. It says what it sees, a line of JSON for each thing."""

    def __init__(self, command, environment):
        self.process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.lines = queue.Queue()
        self.errors = []
        threading.Thread(target=self.read, daemon=True).start()
        threading.Thread(target=lambda: self.errors.extend(self.process.stderr), daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            self.lines.put(line)
        self.lines.put(None)

    def saw(self, what):
        """What it saw next, which must be this."""
        try:
            line = self.lines.get(timeout=PATIENCE)
        except queue.Empty:
            raise AssertionError(f"waited {PATIENCE} s for `{what}`: {self.told()}") from None
        assert line is not None, f"ended before `{what}`: {self.told()}"
        said = json.loads(line)
        assert said["saw"] == what, f"`{what}` was due, and it saw {said}: {self.told()}"
        return said.get("value")

    def told(self):
        return "".join(self.errors[-20:])

    def end(self):
        """Asks it to leave, and waits until it has."""
        self.process.stdin.close()
        code = self.process.wait(timeout=PATIENCE)
        assert code == 0, f"exit code {code}: {self.told()}"


class Feed:
    """The telemetry of the cloud, as Microsoft's SDK for Event Hubs reads it."""

    def __init__(self, python, world):
        arguments = [world.host, world.addresses[5671], world.root, world.policy["name"], world.policy["key"]]
        self.reader = Client([python, HERE / "event_hub.py", *arguments], os.environ)
        self.reader.saw("ready")
        self.kept = {}

    def message_of(self, module):
        while module not in self.kept:
            said = self.reader.saw("event")
            self.kept[said["module"]] = said
        return self.kept[module]


class Cloud:
    """The service side, as plain REST."""

    def __init__(self, world):
        from service import Service

        self.service = Service(world)
        self.device = world.edge_device

    def desire(self, module, properties):
        self.service.call("PATCH", f"/twins/{self.device}/modules/{module}", {"properties": {"desired": properties}})

    def reported(self, module):
        return self.service.call("GET", f"/twins/{self.device}/modules/{module}")["properties"]["reported"]

    def invoke(self, module, name, payload):
        body = {"methodName": name, "payload": payload, "responseTimeoutInSeconds": 20, "connectTimeoutInSeconds": 20}
        return self.service.call("POST", f"/twins/{self.device}/modules/{module}/methods", body)


def play(module, client, cloud, feed):
    """What a module does in its life, seen from both sides. The client says what it saw, in this order."""
    client.saw("connected")
    assert client.saw("input") == f"hello from {module}"
    sent = feed.message_of(module)
    assert (sent["body"], sent["properties"].get("colour")) == (f"hello from {module}", "r\u00e9d x"), sent
    if module in PEERS:
        return
    assert "desired" in client.saw("twin")
    assert client.saw("reported") is True
    seen(lambda: cloud.reported(module).get("client") == module, f"what {module} reported")
    cloud.desire(module, {"wanted": module})
    assert client.saw("desired")["wanted"] == module
    answer = cloud.invoke(module, "ask", {"n": [1, "two"]})
    assert answer == {"status": 201, "payload": {"given": {"n": [1, "two"]}}}, answer
    assert client.saw("method") == "ask"


def seen(look, what):
    """Looks until it is so; the service side has no way to wait for a change."""
    end = time.monotonic() + PATIENCE
    while not look():
        assert time.monotonic() < end, f"waited {PATIENCE} s for {what}"
        time.sleep(0.05)


def routes():
    """What each module sends comes back to itself, and goes to the cloud."""
    to = {
        f"of-{module}": f'FROM /messages/modules/{module}/outputs/out INTO BrokeredEndpoint("/modules/{module}/inputs/in")'
        for module in CLIENTS
    }
    return to | {"up": "FROM /messages/modules/* INTO $upstream"}


def check(edgecert, folder, python, node_modules):
    from world import EdgeHub, World

    desired = {"schemaVersion": "1.1", "routes": routes(), "storeAndForwardConfiguration": {"timeToLiveSecs": 7200}}
    world = World(edgecert, folder / "world", modules=list(CLIENTS), desired=desired)
    hub = None
    failed = []
    try:
        hub = EdgeHub(world, https_port=443, upstream="Amqp")
        cloud, feed = Cloud(world), Feed(python, world)
        for module, (runtime, program, *how) in CLIENTS.items():
            identity = world.registry["modules"][module]
            environment = {
                "PATH": os.environ["PATH"],
                "NODE_PATH": str(node_modules),
                "IOTEDGE_WORKLOADURI": f"unix://{hub.sockets}/{module}.sock",
                "IOTEDGE_APIVERSION": "2022-08-03",
                "IOTEDGE_AUTHSCHEME": "sasToken",
                "IOTEDGE_IOTHUBHOSTNAME": world.host,
                "IOTEDGE_GATEWAYHOSTNAME": hub.address,
                "IOTEDGE_DEVICEID": world.edge_device,
                "IOTEDGE_MODULEID": module,
                "IOTEDGE_MODULEGENERATIONID": identity["generation_id"],
                "KEY": identity["primary_key"],
                "ROOT": world.root,
            }
            program = [python if runtime == "python" else runtime, HERE / program]
            client = Client([*program, *how], environment)
            try:
                play(module, client, cloud, feed)
                client.end()
                print(f"works  {module}", flush=True)
            except (AssertionError, json.JSONDecodeError) as error:
                failed.append(module)
                print(f"FAILS  {module}: {error}", flush=True)
            finally:
                client.process.kill()
    finally:
        if hub:
            hub.end()
        world.end()
    if failed:
        print(f"clients that do not work: {', '.join(failed)}")
        return 1
    print(f"clients that nobody here wrote work: {len(CLIENTS)}")
    return 0


def main():
    edgecert, folder = sys.argv[1], pathlib.Path(sys.argv[2]).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    python = folder / "venv" / "bin" / "python"
    if not python.exists():
        venv.create(folder / "venv", with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "-r", HERE / "requirements.txt"], check=True)
    if not (folder / "node_modules").exists():
        (folder / "package.json").write_text((HERE / "package.json").read_text())
        subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--silent"], cwd=folder, check=True)
    return check(pathlib.Path(edgecert).resolve(), folder, python, folder / "node_modules")


if __name__ == "__main__":
    sys.exit(main())
