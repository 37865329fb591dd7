"""The processes of a world: a simulated IoT Hub, and an edgeHub that it is the cloud of."""

import base64
import json
import shutil
import socket
import subprocess
import threading


class World:
    """A simulated IoT Hub on free ports, under the name that its certificate has."""

    def __init__(self, edgecert, folder, modules=(), desired=None):
        """`modules` are there from the beginning, so that the workload API knows them; `desired` is the hub's."""
        self.edgecert, self.folder = edgecert, folder
        # What another world has left there is of other identities.
        shutil.rmtree(folder, ignore_errors=True)
        self.start("--new-world", folder)
        file = folder / "registry.json"
        registry = json.loads(file.read_text())
        if modules or desired:
            self.end()
            for number, module in enumerate(modules):
                keys = (base64.b64encode(bytes([number, which]) * 16).decode() for which in (1, 2))
                identity = dict(zip(("primary_key", "secondary_key"), keys))
                registry["modules"][module] = registry["modules"]["$edgeAgent"] | identity
            registry["modules"]["$edgeHub"]["desired"] = desired
            registry["gateway_host"] = EdgeHub.address
            file.write_text(json.dumps(registry))
            self.start("--registry", file, "--pki", folder)
        self.registry = registry
        self.host = registry["iot_hub_host"]
        self.edge_device = registry["edge_device"]
        self.policy = registry["service_policy"]
        self.root = str(folder / "ca.pem")

    def start(self, *world):
        ports = ["--https-port", "0", "--mqtt-port", "0", "--amqp-port", "0"]
        self.process = subprocess.Popen(
            [self.edgecert, "serve", "iot-hub", *world, *ports], stdout=subprocess.PIPE, text=True
        )
        ready = json.loads(self.process.stdout.readline().removeprefix("ready "))
        self.addresses = {443: ready["https"], 8883: ready["mqtt"], 5671: ready["amqp"]}

    def connection_string(self):
        return f"HostName={self.host};SharedAccessKeyName={self.policy['name']};SharedAccessKey={self.policy['key']}"

    def resolve(self):
        """Has the name of the IoT Hub lead to this process: what a DNS entry and the usual ports do elsewhere."""
        resolve = socket.getaddrinfo

        def resolved(host, port, *rest, **named):
            if host == self.host:
                host, _, port = self.addresses[port].rpartition(":")
            return resolve(host, port, *rest, **named)

        socket.getaddrinfo = resolved

    def end(self):
        self.process.terminate()
        self.process.wait()


class EdgeHub:
    """The reference edgeHub of a world's edge device, with the workload API it needs. WebSockets of SDKs come to port
    443 and to no other."""

    address = "127.0.0.77"

    def __init__(self, world, https_port=8443, upstream="Mqtt"):
        edgecert, folder = world.edgecert, world.folder
        sockets, storage = folder / "sockets", folder / "storage"
        self.sockets = sockets
        for made in (sockets, storage):
            made.mkdir(exist_ok=True)
        registry = folder / "registry.json"
        identity = json.loads(registry.read_text())["modules"]["$edgeHub"]
        workload = [edgecert, "serve", "workload-api", "--registry", registry, "--pki", folder, "--sockets", sockets]
        self.processes = [subprocess.Popen(workload, stdout=subprocess.PIPE, text=True)]
        self.processes[0].stdout.readline()
        dialled = [f"--connect-to={world.host}:{port}={address}" for port, address in world.addresses.items()]
        environment = {
            "IOTEDGE_WORKLOADURI": f"unix://{sockets}/$edgeHub.sock",
            "IOTEDGE_APIVERSION": "2022-08-03",
            "IOTEDGE_IOTHUBHOSTNAME": world.host,
            "IOTEDGE_DEVICEID": world.edge_device,
            "IOTEDGE_MODULEID": "$edgeHub",
            "IOTEDGE_MODULEGENERATIONID": identity["generation_id"],
            "EdgeDeviceHostName": self.address,
            "UpstreamProtocol": upstream,
            "StorageFolder": str(storage),
            "httpSettings__port": str(https_port),
            "ReportedPropertiesSyncFrequencySecs": "1",
        }
        hub = [edgecert, "serve", "edge-hub", "--listen", self.address, *dialled]
        self.processes.append(
            subprocess.Popen(hub, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)
        )
        self.log = []
        for line in self.processes[1].stdout:
            self.log.append(line)
            if "Started MQTT head" in line:
                break
        else:
            raise AssertionError("the edgeHub did not start: " + "".join(self.log))
        # What it says later is of no use, and has to go somewhere.
        threading.Thread(target=self.processes[1].stdout.read, daemon=True).start()

    def end(self):
        for process in reversed(self.processes):
            process.terminate()
            process.wait()
