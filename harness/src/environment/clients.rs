//! The doors of the hub, and what clients show at them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::guests::{Handshake, trust};
use super::{Environment, StartError};
use crate::client::amqp::{self, AmqpClient};
use crate::client::http::Origin;
use crate::client::https::HttpsClient;
use crate::client::hub_client::{self, HubClient};
use crate::client::mqtt::{ConnectError, Login, MqttClient};
use crate::client::raw::RawError;
use crate::client::raw_amqp::RawAmqp;
use crate::client::raw_mqtt::RawMqtt;
use crate::client::sas;
use crate::client::stream::Carrier;
use crate::client::websocket::{self, Upgrade, UpgradeError, WebSocket};
use crate::observe::history::Identity;
use crate::transport::Transport;

impl Environment {
    /// Connects an identity to the hub, over what it speaks and without anything of an earlier session.
    ///
    /// # Errors
    /// [`ConnectError`] when it is not accepted.
    pub async fn connect(&self, identity: &Identity) -> Result<HubClient, ConnectError> {
        let own = self.blueprint.speakers.get(identity).copied();
        self.connect_over(identity, own.unwrap_or(self.transport)).await
    }

    /// As [`Environment::connect`], over this transport.
    ///
    /// # Errors
    /// As [`Environment::connect`].
    pub async fn connect_over(&self, identity: &Identity, transport: Transport) -> Result<HubClient, ConnectError> {
        let carrier = match transport {
            Transport::Mqtt => Carrier::Tls(self.mqtt_address()),
            Transport::Amqp => self.over_tls(),
            Transport::MqttWs | Transport::AmqpWs => self.over_websocket(),
        };
        HubClient::connect(match transport.is_mqtt() {
            true => hub_client::Login::Mqtt(Login { carrier, ..self.login(identity) }),
            false => hub_client::Login::Amqp(self.amqp_login(identity, carrier)),
        })
        .await
    }

    /// As [`Environment::connect`], for what only MQTT has.
    ///
    /// # Errors
    /// As [`Environment::connect`].
    pub async fn connect_mqtt(&self, identity: &Identity) -> Result<MqttClient, ConnectError> {
        MqttClient::connect(self.login(identity)).await
    }

    /// Connects an identity to the AMQP head.
    ///
    /// # Errors
    /// [`amqp::ConnectError`] when it is not accepted.
    pub async fn connect_amqp(&self, identity: &Identity, carrier: Carrier) -> Result<AmqpClient, amqp::ConnectError> {
        AmqpClient::connect(self.amqp_login(identity, carrier)).await
    }

    /// Opens a raw connection to the MQTT head; nothing is written on it yet.
    ///
    /// # Errors
    /// [`RawError`] when there is no TLS connection.
    pub async fn raw(&self, name: &str) -> Result<RawMqtt, RawError> {
        self.raw_within(name, self.tls.clone()).await
    }

    /// As [`Environment::raw`], with a say in the TLS handshake.
    ///
    /// # Errors
    /// [`RawError`] when there is no TLS connection, or the certificate's key cannot be read.
    pub async fn raw_with(&self, name: &str, handshake: Handshake<'_>) -> Result<RawMqtt, RawError> {
        let tls = trust(self.authority.certificate_pem(), handshake)
            .map_err(|error| RawError::Open(std::io::Error::other(error.to_string())))?;
        self.raw_within(name, tls).await
    }

    async fn raw_within(&self, name: &str, tls: Arc<rustls::ClientConfig>) -> Result<RawMqtt, RawError> {
        if !self.transport.in_websocket() {
            return RawMqtt::open(name, self.mqtt_address(), tls, self.wire.clone()).await;
        }
        let upgrade = Upgrade { protocols: websocket::MQTT, ..Upgrade::default() };
        let (socket, _) = WebSocket::open(self.https_address(), tls, upgrade).await?;
        Ok(RawMqtt::on(name, socket, self.wire.clone()))
    }

    /// Opens a raw connection to the AMQP head, over what the transport has below it; nothing is written on it yet.
    ///
    /// # Errors
    /// [`RawError`] when there is no TLS connection, or no WebSocket on it.
    pub async fn raw_amqp(&self, name: &str) -> Result<RawAmqp, RawError> {
        if !self.transport.in_websocket() {
            return RawAmqp::open(name, self.amqp_address(), self.tls.clone(), self.wire.clone()).await;
        }
        let opened = self.websocket(Upgrade::default()).await;
        let (socket, _) = opened.map_err(|error| RawError::Open(std::io::Error::other(error.to_string())))?;
        Ok(RawAmqp::on(name, socket, self.wire.clone()))
    }

    /// Opens a raw connection to the AMQP head over TLS, with a say in the handshake.
    ///
    /// # Errors
    /// [`RawError`] when there is no TLS connection, or the certificate's key cannot be read.
    pub async fn raw_amqp_with(&self, name: &str, handshake: Handshake<'_>) -> Result<RawAmqp, RawError> {
        let tls = trust(self.authority.certificate_pem(), handshake)
            .map_err(|error| RawError::Open(std::io::Error::other(error.to_string())))?;
        RawAmqp::open(name, self.amqp_address(), tls, self.wire.clone()).await
    }

    /// Asks for a WebSocket at the hub's HTTPS port; also gives the sub-protocol of the answer.
    ///
    /// # Errors
    /// [`UpgradeError`] with the status, when the hub does not upgrade.
    pub async fn websocket(&self, upgrade: Upgrade<'_>) -> Result<(WebSocket, Option<String>), UpgradeError> {
        WebSocket::open(self.https_address(), self.tls.clone(), upgrade).await
    }

    /// A client of the hub's HTTPS head that shows no certificate.
    pub fn https(&self) -> HttpsClient {
        HttpsClient::new(self.https_origin(self.tls.clone()))
    }

    /// As [`Environment::https`], with a say in the TLS handshake.
    ///
    /// # Errors
    /// [`StartError::Trust`] when the certificate's key cannot be read.
    pub fn https_with(&self, handshake: Handshake<'_>) -> Result<HttpsClient, StartError> {
        Ok(HttpsClient::new(self.https_origin(trust(self.authority.certificate_pem(), handshake)?)))
    }

    /// A client of the IoT Hub itself, past the hub: as devices upload files.
    pub fn past_the_hub(&self) -> HttpsClient {
        let host = self.launch.iot_hub_host.clone();
        HttpsClient::new(Origin { address: self.https, host, tls: Some(self.tls.clone()) })
    }

    fn https_origin(&self, tls: Arc<rustls::ClientConfig>) -> Origin {
        Origin { address: self.https_address(), host: self.addresses.hub.to_string(), tls: Some(tls) }
    }

    /// What an identity presents in CONNECT.
    pub fn login(&self, identity: &Identity) -> Login {
        let host = &self.launch.iot_hub_host;
        let (client_id, audience, key) = match identity {
            Identity::Module(module) => {
                let device = &self.blueprint.edge_device;
                let key = self.registry.module_key(module);
                (format!("{device}/{module}"), format!("{host}/devices/{device}/modules/{module}"), key)
            }
            Identity::LeafDevice(leaf) => {
                (leaf.clone(), format!("{host}/devices/{leaf}"), self.registry.device_key(leaf))
            }
        };
        let password =
            key.and_then(|key| sas::token(&audience, key, None, Duration::from_secs(3600)).ok()).unwrap_or_default();
        Login {
            user_name: format!("{host}/{client_id}/?api-version=2021-04-12&DeviceClientType=edgecert"),
            client_id,
            password,
            clean_session: true,
            will: None,
            carrier: if self.transport.in_websocket() {
                self.over_websocket()
            } else {
                Carrier::Tls(self.mqtt_address())
            },
            tls: self.tls.clone(),
            wire: self.wire.clone(),
        }
    }

    /// What an identity presents over AMQP.
    pub fn amqp_login(&self, identity: &Identity, carrier: Carrier) -> amqp::Login {
        let (device, module) = match identity {
            Identity::Module(module) => (self.blueprint.edge_device.clone(), Some(module.clone())),
            Identity::LeafDevice(leaf) => (leaf.clone(), None),
        };
        let (token, tls, wire) = (self.token(identity), self.tls.clone(), self.wire.clone());
        amqp::Login { carrier, device, module, token, tls, wire }
    }

    /// A token of an identity, good for an hour.
    pub fn token(&self, identity: &Identity) -> String {
        self.login(identity).password
    }

    /// The AMQP port of the hub.
    pub fn over_tls(&self) -> Carrier {
        Carrier::Tls(self.amqp_address())
    }

    /// A WebSocket at the HTTPS port of the hub.
    pub fn over_websocket(&self) -> Carrier {
        Carrier::WebSocket(self.https_address())
    }

    /// Address and port of the hub's MQTT head.
    pub fn mqtt_address(&self) -> SocketAddr {
        SocketAddr::new(self.addresses.hub, 8883)
    }

    /// Address and port of the hub's AMQP head.
    pub fn amqp_address(&self) -> SocketAddr {
        SocketAddr::new(self.addresses.hub, 5671)
    }

    /// Address and port of the hub's HTTPS head.
    pub fn https_address(&self) -> SocketAddr {
        SocketAddr::new(self.addresses.hub, self.hub_https_port)
    }

    /// The id an identity is known by: its device, and its module behind a slash.
    pub fn client_id(&self, identity: &Identity) -> String {
        match identity {
            Identity::Module(module) => format!("{}/{module}", self.blueprint.edge_device),
            Identity::LeafDevice(leaf) => leaf.clone(),
        }
    }

    /// Trust in the hub's certificate.
    pub fn tls(&self) -> Arc<rustls::ClientConfig> {
        self.tls.clone()
    }
}
