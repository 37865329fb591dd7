// A module on Microsoft's device SDK for Node.js.
//
// usage: node azure_iot_device.js mqtt|mqtt-ws|amqp|amqp-ws
'use strict';

const fs = require('fs');
const { ModuleClient, Message } = require('azure-iot-device');
const { Mqtt, MqttWs } = require('azure-iot-device-mqtt');
const { Amqp, AmqpWs } = require('azure-iot-device-amqp');

const TRANSPORTS = { mqtt: Mqtt, 'mqtt-ws': MqttWs, amqp: Amqp, 'amqp-ws': AmqpWs };

function saw(what, value) {
  process.stdout.write(JSON.stringify({ saw: what, value: value }) + '\n');
}

async function main() {
  const named = (name) => process.env['IOTEDGE_' + name];
  const string = [
    `HostName=${named('IOTHUBHOSTNAME')}`,
    `DeviceId=${named('DEVICEID')}`,
    `ModuleId=${named('MODULEID')}`,
    `SharedAccessKey=${process.env.KEY}`,
    `GatewayHostName=${named('GATEWAYHOSTNAME')}`,
  ].join(';');
  const client = ModuleClient.fromConnectionString(string, TRANSPORTS[process.argv[2]]);
  await client.setOptions({ ca: fs.readFileSync(process.env.ROOT, 'utf-8') });
  await client.open();
  saw('connected');
  const came = new Promise((resolve) => {
    client.on('inputMessage', (input, message) => {
      client.complete(message, () => {
        saw('input', message.getBytes().toString());
        resolve();
      });
    });
  });
  const message = new Message(`hello from ${named('MODULEID')}`);
  message.properties.add('colour', 'r\u00e9d x');
  await client.sendOutputEvent('out', message);
  await came;
  const twin = await client.getTwin();
  saw('twin', twin.properties);
  // Properties that were there before are told at once.
  twin.on('properties.desired', (patch) => {
    if (patch.wanted) saw('desired', patch);
  });
  client.onMethod('ask', (request, response) => {
    response.send(201, { given: request.payload }, () => saw('method', request.methodName));
  });
  await new Promise((resolve, reject) =>
    twin.properties.reported.update({ client: named('MODULEID') }, (error) => (error ? reject(error) : resolve()))
  );
  saw('reported', true);
  process.stdin.on('end', async () => {
    await client.close();
    process.exit(0);
  });
  process.stdin.resume();
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
