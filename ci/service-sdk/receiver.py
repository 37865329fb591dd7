"""A device or module: connects over MQTT to the cloud or a gateway, keeps what comes and answers direct methods."""

import base64
import hashlib
import hmac
import json
import queue
import ssl
import time
import urllib.parse

import paho.mqtt.client as mqtt

PATIENCE = 10


def token(audience, key):
    resource = urllib.parse.quote(audience, safe="")
    expiry = str(int(time.time()) + 3600)
    digest = hmac.new(base64.b64decode(key), f"{resource}\n{expiry}".encode(), hashlib.sha256).digest()
    signature = urllib.parse.quote(base64.b64encode(digest), safe="")
    return f"SharedAccessSignature sr={resource}&sig={signature}&se={expiry}"


class Receiver:
    """Answers the method `silent` never, and any other with status 201 and what it was given."""

    def __init__(self, world, device, module, key, gateway=None):
        client_id = device if module is None else f"{device}/{module}"
        audience = f"{world.host}/devices/{device}" + ("" if module is None else f"/modules/{module}")
        self.desired = queue.Queue()
        self.twin = queue.Queue()
        self.subscribed = queue.Queue()
        self.gone = queue.Queue()
        self.client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=client_id)
        self.client.username_pw_set(f"{world.host}/{client_id}/?api-version=2021-04-12", token(audience, key))
        context = ssl.create_default_context(cafile=world.root)
        self.client.tls_set_context(context)
        self.client.on_message = self.received
        self.client.on_subscribe = lambda *_: self.subscribed.put(True)
        self.client.on_disconnect = lambda *_: self.gone.put(True)
        self.client.connect(gateway or world.host, 8883)
        self.client.loop_start()
        filters = ["$iothub/twin/res/#", "$iothub/twin/PATCH/properties/desired/#", "$iothub/methods/POST/#"]
        self.client.subscribe([(name, 1) for name in filters])
        self.subscribed.get(timeout=PATIENCE)

    def received(self, client, _, message):
        rid = message.topic.partition("$rid=")[2]
        if message.topic.startswith("$iothub/methods/POST/"):
            name = message.topic.split("/")[3]
            if name != "silent":
                answer = json.dumps({"name": name, "given": json.loads(message.payload)})
                client.publish(f"$iothub/methods/res/201/?$rid={rid}", answer)
        elif message.topic.startswith("$iothub/twin/res/"):
            self.twin.put((int(message.topic.split("/")[3]), message.topic, message.payload))
        else:
            self.desired.put(json.loads(message.payload))

    def report(self, patch):
        self.client.publish("$iothub/twin/PATCH/properties/reported/?$rid=1", json.dumps(patch))
        return self.twin.get(timeout=PATIENCE)

    def read_twin(self):
        self.client.publish("$iothub/twin/GET/?$rid=2", b"")
        return json.loads(self.twin.get(timeout=PATIENCE)[2])

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()
