"""A module on Qpid Proton, a plain AMQP library that knows nothing of IoT: a token on $cbs, a sender, a receiver."""

import json
import os
import sys
import threading

from proton import Message, SSLDomain, symbol
from proton.handlers import MessagingHandler
from proton.reactor import Container, DynamicNodeProperties
from sas import token


def saw(what, value=None):
    print(json.dumps({"saw": what, "value": value}), flush=True)


HOST, DEVICE, MODULE, GATEWAY = (
    os.environ[f"IOTEDGE_{name}"] for name in ("IOTHUBHOSTNAME", "DEVICEID", "MODULEID", "GATEWAYHOSTNAME")
)


class Module(MessagingHandler):
    """Each step begins when the one before is confirmed."""

    def on_start(self, event):
        domain = SSLDomain(SSLDomain.MODE_CLIENT)
        domain.set_trusted_ca_db(os.environ["ROOT"])
        domain.set_peer_authentication(SSLDomain.VERIFY_PEER)
        url = f"amqps://{GATEWAY}:5671"
        self.connection = event.container.connect(url, ssl_domain=domain, allowed_mechs="ANONYMOUS", reconnect=False)
        self.answers = event.container.create_receiver(self.connection, "$cbs", name="cbs-answers")
        self.tokens = event.container.create_sender(self.connection, "$cbs", name="cbs-requests")
        self.events = self.inputs = None

    def on_sendable(self, event):
        if event.sender == self.tokens and self.events is None:
            audience = f"{HOST}/devices/{DEVICE}/modules/{MODULE}"
            self.events = False
            self.tokens.send(
                Message(
                    id="put",
                    reply_to="cbs-answers",
                    properties={"operation": "put-token", "type": "servicebus.windows.net:sastoken", "name": audience},
                    body=token(audience, os.environ["KEY"]),
                )
            )
        elif event.sender == self.events and self.inputs is None:
            saw("connected")
            address = f"/devices/{DEVICE}/modules/{MODULE}/messages/events"
            self.inputs = event.container.create_receiver(self.connection, address, name="inputs")
            message = Message(body=f"hello from {MODULE}".encode(), inferred=True)
            message.properties = {"iothub-outputname": "out", "colour": "r\u00e9d x"}
            self.events.send(message)

    def on_message(self, event):
        if event.receiver == self.answers:
            code = event.message.properties["status-code"]
            assert code == 200, event.message
            address = f"/devices/{DEVICE}/modules/{MODULE}/messages/events"
            self.events = event.container.create_sender(self.connection, address, name="events")
        else:
            saw("input", bytes(event.message.body).decode())

    def on_rejected(self, event):
        raise AssertionError(f"rejected: {event.delivery.remote.condition}")

    def on_transport_error(self, event):
        raise AssertionError(str(event.transport.condition))


def main():
    container = Container(Module())
    ended = threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True)
    ended.start()
    container.run()


main()
