#!/usr/bin/env python3
"""Drives the simulated IoT Hub with Microsoft's service SDK for Python, unmodified: registry, twins, direct methods,
of devices and modules connected to it and of those behind an edgeHub.

usage: check.py EDGECERT FOLDER

EDGECERT is the program. FOLDER gets a virtual environment with the packages of requirements.txt, which needs a package
index, and a world of its own. Exit code 0 when everything holds.
"""

import os
import pathlib
import subprocess
import sys
import threading
import time
import venv

HERE = pathlib.Path(__file__).resolve().parent
# The processes of a world, for every check.
sys.path.append(str(HERE.parent))


def refused(status, action, *arguments):
    """The SDK raises the refusal of this status."""
    from msrest.exceptions import HttpOperationError

    try:
        action(*arguments)
    except HttpOperationError as error:
        assert error.response.status_code == status, f"{error.response.status_code} {error.response.text}"
        return error.response.text
    raise AssertionError(f"was not refused: {action.__name__}{arguments}")


def registry_of_devices(world, manager):
    from base64 import b64encode

    first, second, third = (b64encode(bytes([n]) * 32).decode() for n in (1, 2, 3))
    device = manager.create_device_with_sas("d1", first, second, "enabled")
    assert (device.device_id, device.status, device.authentication.type) == ("d1", "enabled", "sas"), device
    assert device.authentication.symmetric_key.primary_key == first
    refused(409, manager.create_device_with_sas, "d1", first, second, "enabled")
    refused(400, manager.create_device_with_sas, "a b", first, second, "enabled")
    changed = manager.update_device_with_sas("d1", device.etag, third, second, "disabled")
    assert (changed.status, changed.generation_id) == ("disabled", device.generation_id), changed
    assert changed.authentication.symmetric_key.primary_key == third and changed.etag != device.etag
    refused(412, manager.update_device_with_sas, "d1", device.etag, first, second, "enabled")
    known = manager.get_device("d1")
    assert (known.status, known.connection_state, known.cloud_to_device_message_count) == ("disabled", "Disconnected", 0)
    prints = "A" * 40, "B" * 40
    assert manager.create_device_with_x509("d2", *prints, "enabled").authentication.type == "selfSigned"
    assert manager.get_device("d2").authentication.x509_thumbprint.primary_thumbprint == prints[0]
    ca = manager.create_device_with_certificate_authority("d3", "enabled")
    assert ca.authentication.type == "certificateAuthority", ca
    assert {"d1", "d2", "d3"} <= {device.device_id for device in manager.get_devices()}
    assert len(manager.get_devices(1)) == 1
    assert manager.get_device_registry_statistics().total_device_count == 4
    refused(412, manager.delete_device, "d1", device.etag)
    for name in ("d1", "d2", "d3"):
        manager.delete_device(name)
    assert "DeviceNotFound" in refused(404, manager.get_device, "d1")
    refused(404, manager.delete_device, "d1")


def registry_of_modules(world, manager):
    from base64 import b64encode

    keys = [b64encode(bytes([n]) * 32).decode() for n in (1, 2, 3)]
    refused(404, manager.create_module_with_sas, "nobody", "m1", "", keys[0], keys[1])
    module = manager.create_module_with_sas(world.edge_device, "m1", "", keys[0], keys[1])
    assert (module.device_id, module.module_id) == (world.edge_device, "m1"), module
    refused(409, manager.create_module_with_sas, world.edge_device, "m1", "", keys[0], keys[1])
    changed = manager.update_module_with_sas(world.edge_device, "m1", "", module.etag, keys[2], keys[1])
    assert manager.get_module(world.edge_device, "m1").authentication.symmetric_key.primary_key == keys[2], changed
    refused(412, manager.update_module_with_sas, world.edge_device, "m1", "", module.etag, keys[0], keys[1])
    assert {module.module_id for module in manager.get_modules(world.edge_device)} == {"$edgeAgent", "$edgeHub", "m1"}
    manager.delete_module(world.edge_device, "m1")
    refused(404, manager.get_module, world.edge_device, "m1")


def twins(read, update, replace, receiver):
    from azure.iot.hub.models import Twin, TwinProperties

    twin = read()
    assert twin.properties.desired["$version"] == 1 and "$metadata" in twin.properties.desired, twin.properties
    changed = update(Twin(tags={"site": "a"}, properties=TwinProperties(desired={"a": {"b": 1}, "c": 2})), twin.etag)
    assert changed.tags == {"site": "a"} and changed.properties.desired["$version"] == 2, changed
    assert receiver.desired.get(timeout=10) == {"a": {"b": 1}, "c": 2, "$version": 2}
    assert changed.properties.desired["$metadata"]["a"]["b"]["$lastUpdatedVersion"] == 2
    refused(412, update, Twin(properties=TwinProperties(desired={"a": 1})), twin.etag)
    refused(400, update, Twin(properties=TwinProperties(desired={"a.b": 1})), changed.etag)
    # A twin as it was read, metadata and all, may be sent back.
    changed.properties.desired["c"] = None
    again = update(changed, changed.etag)
    assert "c" not in again.properties.desired and again.properties.desired["$version"] == 3, again.properties
    assert receiver.desired.get(timeout=10)["$version"] == 3
    whole = replace(Twin(properties=TwinProperties(desired={"d": 1})), again.etag)
    assert (whole.properties.desired["d"], whole.tags) == (1, {}) and "a" not in whole.properties.desired, whole
    assert receiver.desired.get(timeout=10) == {"d": 1, "a": None, "$version": 4}
    status, topic, _ = receiver.report({"x": [1, {"y": None}], "z": 1})
    assert status == 400, topic
    status, topic, _ = receiver.report({"x": {"y": 1}, "z": 1})
    assert status == 204 and topic.endswith("$version=2"), topic
    seen = read()
    assert (seen.properties.reported["x"], seen.properties.reported["$version"]) == ({"y": 1}, 2), seen.properties
    assert seen.etag == whole.etag and seen.connection_state == "Connected", seen
    assert receiver.read_twin() == {
        "desired": {"d": 1, "$version": 4},
        "reported": {"x": {"y": 1}, "z": 1, "$version": 2},
    }


def methods(invoke, receiver):
    from azure.iot.hub.models import CloudToDeviceMethod

    for payload in ({"a": [1, 2.5, None]}, "text", 7, [], True):
        answer = invoke(CloudToDeviceMethod(method_name="echo", payload=payload))
        assert (answer.status, answer.payload) == (201, {"name": "echo", "given": payload}), answer
    # What the SDK makes of no payload.
    assert invoke(CloudToDeviceMethod(method_name="bare")).payload == {"name": "bare", "given": ""}
    answers = {}

    def call(number):
        answers[number] = invoke(CloudToDeviceMethod(method_name="echo", payload=number)).payload["given"]

    threads = [threading.Thread(target=call, args=(number,)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {number: number for number in range(10)}, answers
    refused(400, invoke, CloudToDeviceMethod(method_name="echo", response_timeout_in_seconds=4))
    silent = CloudToDeviceMethod(method_name="silent", response_timeout_in_seconds=5)
    assert "504101" in refused(504, invoke, silent)
    receiver.close()
    assert "404103" in refused(404, invoke, CloudToDeviceMethod(method_name="echo", connect_timeout_in_seconds=1))


def device(world, manager):
    from receiver import Receiver

    key = manager.create_device_with_sas("leaf", None, None, "enabled").authentication.symmetric_key.primary_key
    receiver = Receiver(world, "leaf", None, key)
    twins(
        lambda: manager.get_twin("leaf"),
        lambda twin, etag: manager.update_twin("leaf", twin, etag),
        lambda twin, etag: manager.replace_twin("leaf", twin, etag),
        receiver,
    )
    methods(lambda call: manager.invoke_device_method("leaf", call), receiver)
    refused(404, manager.get_twin, "nobody")
    receiver = Receiver(world, "leaf", None, key)
    manager.delete_device("leaf")
    receiver.gone.get(timeout=10)


def module(world, manager):
    from receiver import Receiver

    edge, name = world.edge_device, "mod$1"
    key = manager.create_module_with_sas(edge, name, "", None, None).authentication.symmetric_key.primary_key
    receiver = Receiver(world, edge, name, key)
    twins(
        lambda: manager.get_module_twin(edge, name),
        lambda twin, etag: manager.update_module_twin(edge, name, twin, etag),
        lambda twin, etag: manager.replace_module_twin(edge, name, twin, etag),
        receiver,
    )
    methods(lambda call: manager.invoke_device_module_method(edge, name, call), receiver)
    refused(404, manager.get_module_twin, edge, "nobody")


def behind_an_edge_hub(world, manager):
    from azure.iot.hub.models import CloudToDeviceMethod, Twin, TwinProperties
    from receiver import Receiver
    from world import EdgeHub

    edge, name = world.edge_device, "behind"
    configuration = {"schemaVersion": "1.1", "routes": {}, "storeAndForwardConfiguration": {"timeToLiveSecs": 7200}}
    manager.replace_module_twin(edge, "$edgeHub", Twin(properties=TwinProperties(desired=configuration)))
    keys = manager.create_module_with_sas(edge, name, "", None, None).authentication.symmetric_key
    leaf_keys = manager.create_device_with_sas("leaf1", None, None, "enabled").authentication.symmetric_key
    hub = EdgeHub(world)
    try:
        module = Receiver(world, edge, name, keys.primary_key, gateway=hub.address)
        leaf = Receiver(world, "leaf1", None, leaf_keys.primary_key, gateway=hub.address)
        # A hub subscribes in the cloud after it has told its client so: the first call waits for that.
        echo = CloudToDeviceMethod(method_name="echo", payload={"n": 1}, connect_timeout_in_seconds=20)
        expected = (201, {"name": "echo", "given": {"n": 1}})
        for answer in (
            manager.invoke_device_module_method(edge, name, echo),
            manager.invoke_device_method("leaf1", echo),
        ):
            assert (answer.status, answer.payload) == expected, answer
        manager.update_module_twin(edge, name, Twin(properties=TwinProperties(desired={"a": 1})))
        assert module.desired.get(timeout=10) == {"a": 1, "$version": 2}
        assert module.read_twin()["desired"] == {"a": 1, "$version": 2}
        status, topic, _ = module.report({"b": {"c": 2}})
        assert status == 204, topic
        reported = lambda: manager.get_module_twin(edge, name).properties.reported.get("b")
        seen(lambda: reported() == {"c": 2}, "what the module reported")
        silent = CloudToDeviceMethod(method_name="silent", response_timeout_in_seconds=5)
        assert "504101" in refused(504, manager.invoke_device_module_method, edge, name, silent)
        module.close()
        seen(lambda: manager.get_module(edge, name).connection_state == "Disconnected", "the module to be gone")
        echo.connect_timeout_in_seconds = 0
        assert "404103" in refused(404, manager.invoke_device_module_method, edge, name, echo)
        assert manager.invoke_device_method("leaf1", echo).status == 201
    finally:
        hub.end()


def seen(look, what):
    """Looks until it is so; the SDK has no way to wait for a change."""
    end = time.monotonic() + 30
    while not look():
        assert time.monotonic() < end, f"waited 30 s for {what}"
        time.sleep(0.05)


CHECKS = [registry_of_devices, registry_of_modules, device, module, behind_an_edge_hub]


def check(edgecert, folder):
    from world import World

    world = World(edgecert, folder / "world")
    try:
        os.environ["REQUESTS_CA_BUNDLE"] = world.root
        world.resolve()
        from azure.iot.hub import IoTHubRegistryManager

        manager = IoTHubRegistryManager.from_connection_string(world.connection_string())
        for action in CHECKS:
            action(world, manager)
            print(f"holds  {action.__name__}")
    finally:
        world.end()
    print(f"the service SDK for Python works: {len(CHECKS)} checks hold")


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    edgecert, folder = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve()
    environment = folder / "venv"
    python = environment / "bin" / "python"
    if pathlib.Path(sys.prefix) == environment:
        check(edgecert, folder)
        return
    if not python.exists():
        venv.create(environment, with_pip=True)
    subprocess.run([python, "-m", "pip", "install", "--quiet", "-r", HERE / "requirements.txt"], check=True)
    sys.exit(subprocess.run([python, __file__, edgecert, folder]).returncode)


if __name__ == "__main__":
    main()
