"""Reads the telemetry of a simulated IoT Hub with Microsoft's SDK for Event Hubs.

usage: event_hub.py NAME HOST:PORT ROOT POLICY KEY

The name leads to that address here: what a DNS entry and the usual port do elsewhere.
"""

import json
import socket
import sys
import threading

from azure.eventhub import EventHubConsumerClient, EventHubSharedKeyCredential


def saw(what, value=None):
    print(json.dumps({"saw": what, "value": value}), flush=True)


def text(value):
    return value.decode() if isinstance(value, bytes) else value


def told(_, event):
    if event is None:
        return
    system = {text(name): text(value) for name, value in (event.system_properties or {}).items()}
    properties = {text(name): text(value) for name, value in (event.properties or {}).items()}
    value = {"module": system.get("iothub-connection-module-id"), "body": event.body_as_str(), "properties": properties}
    saw("event", value)


def main():
    name, address, root, policy, key = sys.argv[1:]
    resolve = socket.getaddrinfo
    host, _, port = address.rpartition(":")
    socket.getaddrinfo = lambda asked, *rest, **named: (
        resolve(host, port, *rest[1:], **named) if asked == name else resolve(asked, *rest, **named)
    )
    client = EventHubConsumerClient(
        fully_qualified_namespace=name,
        eventhub_name="telemetry",
        consumer_group="$Default",
        credential=EventHubSharedKeyCredential(policy, key),
        connection_verify=root,
    )
    saw("ready" if client.get_partition_ids() else "no partition")
    threading.Thread(target=lambda: (sys.stdin.read(), client.close()), daemon=True).start()
    client.receive(on_event=told, starting_position="-1")


main()
