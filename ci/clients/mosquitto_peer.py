"""A module on mosquitto_sub and mosquitto_pub, plain MQTT programs that know nothing of IoT: they take turns, since an
identity has one connection."""

import json
import os
import subprocess
import sys
import urllib.parse

from sas import token


def saw(what, value=None):
    print(json.dumps({"saw": what, "value": value}), flush=True)


HOST, DEVICE, MODULE, GATEWAY = (
    os.environ[f"IOTEDGE_{name}"] for name in ("IOTHUBHOSTNAME", "DEVICEID", "MODULEID", "GATEWAYHOSTNAME")
)


def mosquitto(program, *arguments):
    password = token(f"{HOST}/devices/{DEVICE}/modules/{MODULE}", os.environ["KEY"])
    login = ["-i", f"{DEVICE}/{MODULE}", "-u", f"{HOST}/{DEVICE}/{MODULE}/?api-version=2021-04-12", "-P", password]
    server = ["-h", GATEWAY, "-p", "8883", "--cafile", os.environ["ROOT"], "-V", "mqttv311", "-q", "1"]
    return subprocess.run([program, *server, *login, *arguments], check=True, stdout=subprocess.PIPE, timeout=30)


def main():
    bag = "%24.on=out&colour=" + urllib.parse.quote("r\u00e9d x")
    events = f"devices/{DEVICE}/modules/{MODULE}/messages/events/{bag}"
    mosquitto("mosquitto_pub", "-t", events, "-m", f"hello from {MODULE}")
    saw("connected")
    inputs = f"devices/{DEVICE}/modules/{MODULE}/inputs/#"
    saw("input", mosquitto("mosquitto_sub", "-t", inputs, "-C", "1").stdout.decode().rstrip("\n"))
    sys.stdin.read()


main()
