"""Reads the telemetry of a simulated IoT Hub with Microsoft's SDK for Event Hubs.

usage: event_hub.py HOST:PORT ROOT POLICY KEY
"""

import json
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
    address, root, policy, key = sys.argv[1:]
    client = EventHubConsumerClient(
        fully_qualified_namespace=address.rpartition(":")[0],
        eventhub_name="telemetry",
        consumer_group="$Default",
        credential=EventHubSharedKeyCredential(policy, key),
        custom_endpoint_address=f"sb://{address}",
        connection_verify=root,
    )
    saw("ready" if client.get_partition_ids() else "no partition")
    threading.Thread(target=lambda: (sys.stdin.read(), client.close()), daemon=True).start()
    client.receive(on_event=told, starting_position="-1")


main()
