"""A module on Microsoft's device SDK for Python.

usage: azure_iot_device.py mqtt|mqtt-ws environment|string
"""

import json
import os
import sys
import threading

from azure.iot.device import IoTHubModuleClient, Message, MethodResponse


def saw(what, value=None):
    print(json.dumps({"saw": what, "value": value}), flush=True)


def client(transport, found_by):
    websockets = transport == "mqtt-ws"
    if found_by == "environment":
        return IoTHubModuleClient.create_from_edge_environment(websockets=websockets)
    host, device, module, gateway = (
        os.environ[f"IOTEDGE_{name}"] for name in ("IOTHUBHOSTNAME", "DEVICEID", "MODULEID", "GATEWAYHOSTNAME")
    )
    string = f"HostName={host};DeviceId={device};ModuleId={module};SharedAccessKey={os.environ['KEY']};GatewayHostName={gateway}"
    root = open(os.environ["ROOT"]).read()
    return IoTHubModuleClient.create_from_connection_string(string, server_verification_cert=root, websockets=websockets)


def main():
    module = client(*sys.argv[1:])
    came = threading.Event()

    def received(message):
        saw("input", message.data.decode())
        came.set()

    def called(request):
        module.send_method_response(MethodResponse.create_from_method_request(request, 201, {"given": request.payload}))
        saw("method", request.name)

    module.on_message_received = received
    module.connect()
    saw("connected")
    message = Message(f"hello from {os.environ['IOTEDGE_MODULEID']}")
    message.custom_properties["colour"] = "r\u00e9d x"
    module.send_message_to_output(message, "out")
    came.wait()
    module.on_twin_desired_properties_patch_received = lambda patch: saw("desired", patch)
    module.on_method_request_received = called
    saw("twin", module.get_twin())
    module.patch_twin_reported_properties({"client": os.environ["IOTEDGE_MODULEID"]})
    saw("reported", True)
    sys.stdin.read()
    module.shutdown()


main()
