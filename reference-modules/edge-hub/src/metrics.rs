//! The metrics page: `http://<hub>:9600/metrics`, and the same path of the HTTPS head.
//!
//! Names and labels are the product's.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header::{HOST, LOCATION};
use axum::response::{IntoResponse as _, Response};
use axum::routing::any;
use prometheus::{GaugeVec, IntCounterVec, Opts, Registry, TextEncoder};
use tokio::net::TcpListener;

use crate::core::Event;
use crate::faults::planted;
use crate::settings::{HTTPS_PORT, Identity};
use summary::Summary;

mod summary;

/// All series.
#[derive(Clone)]
pub struct Metrics {
    registry: Registry,
    received: IntCounterVec,
    sent: IntCounterVec,
    dropped: IntCounterVec,
    unacknowledged: IntCounterVec,
    retries: IntCounterVec,
    reported: IntCounterVec,
    connects: IntCounterVec,
    disconnects: IntCounterVec,
    queue_length: GaugeVec,
    connected: GaugeVec,
    process_duration: Summary,
    send_duration: Summary,
    size: Summary,
    report_duration: Summary,
}

impl Metrics {
    /// Empty series, labelled with where they come from.
    pub fn new(identity: &Identity, instance: &str) -> Metrics {
        let registry = Registry::new();
        let options = |name: &str, help: &str| {
            Opts::new(name, help)
                .const_label("iothub", identity.iot_hub.as_str())
                .const_label("edge_device", identity.device_id.as_str())
                .const_label("instance_number", instance)
                .const_label("ms_telemetry", "True")
        };
        let counter = |name: &str, help: &str, labels: &[&str]| {
            let series = IntCounterVec::new(options(name, help), labels).expect("names and labels are well-formed");
            registry.register(Box::new(series.clone())).expect("names differ");
            series
        };
        let gauge = |name: &str, help: &str, labels: &[&str]| {
            let series = GaugeVec::new(options(name, help), labels).expect("names and labels are well-formed");
            registry.register(Box::new(series.clone())).expect("names differ");
            series
        };
        let common = [
            ("iothub", identity.iot_hub.as_str()),
            ("edge_device", identity.device_id.as_str()),
            ("instance_number", instance),
            ("ms_telemetry", "True"),
        ];
        let summary = |name, help, labels| Summary::new(name, help, labels, &common);
        Metrics {
            received: counter(
                "edgehub_messages_received_total",
                "Messages received from clients",
                &["route_output", "id"],
            ),
            sent: counter(
                "edgehub_messages_sent_total",
                "Messages sent to clients or upstream",
                &["from", "to", "from_route_output", "to_route_input", "priority"],
            ),
            dropped: counter(
                "edgehub_messages_dropped_total",
                "Messages given up",
                &["reason", "from", "from_route_output"],
            ),
            unacknowledged: counter(
                "edgehub_messages_unack_total",
                "Messages not acknowledged",
                &["reason", "from", "from_route_output"],
            ),
            retries: counter("edgehub_operation_retry_total", "Operations tried again", &["id", "operation"]),
            reported: counter("edgehub_reported_properties_total", "Updates of reported properties", &["target", "id"]),
            connects: counter("edgehub_client_connect_success_total", "Clients that connected", &["id"]),
            disconnects: counter("edgehub_client_disconnect_total", "Clients that left", &["id"]),
            queue_length: gauge(
                "edgehub_queue_length",
                "Messages that wait",
                if planted("MET01-queue-length-with-other-labels") {
                    &["queue", "priority"]
                } else {
                    &["endpoint", "priority"]
                },
            ),
            process_duration: summary(
                "edgehub_message_process_duration_seconds",
                "Time from acceptance to delivery",
                &["from", "to", "priority"],
            ),
            send_duration: summary(
                "edgehub_message_send_duration_seconds",
                "Time from acceptance until the receiver acknowledged",
                &["from", "to", "from_route_output", "to_route_input"],
            ),
            size: summary("edgehub_message_size_bytes", "Size of messages", &["id"]),
            report_duration: summary(
                "edgehub_reported_properties_update_duration_seconds",
                "Time an update of reported properties took",
                &["target", "id"],
            ),
            connected: gauge("edgehub_connected_clients", "Clients connected now", &[]),
            registry,
        }
    }

    /// Counts what happened.
    pub fn count(&self, event: &Event) {
        match event {
            Event::Received { id, output, size } => {
                self.received.with_label_values(&[output, id]).inc();
                self.size.observe(&[id], *size as f64);
            }
            Event::Sent { from, to, output, input, priority, processed_in } => {
                let (priority, seconds) = (priority.to_string(), processed_in.as_secs_f64());
                self.process_duration.observe(&[from, to, &priority], seconds);
                self.send_duration.observe(&[from, to, output, input], seconds);
                self.sent.with_label_values(&[from, to, output, input, &priority]).inc();
            }
            Event::Dropped { reason, from, output } => {
                self.dropped.with_label_values(&[*reason, from, output]).inc();
            }
            Event::Unacknowledged { from, output } => {
                self.unacknowledged.with_label_values(&["storage_failure", from, output]).inc();
            }
            Event::QueueLength { endpoint, priority, length } => {
                let priority = priority.to_string();
                self.queue_length.with_label_values(&[endpoint, &priority]).set(*length as f64);
            }
            Event::Retry { endpoint, operation } => self.retries.with_label_values(&[endpoint, *operation]).inc(),
            Event::ClientConnected { id, connected } => {
                self.connects.with_label_values(&[id]).inc();
                self.connected.with_label_values::<&str>(&[]).set(*connected as f64);
            }
            Event::ClientDisconnected { id, connected } => {
                self.disconnects.with_label_values(&[id]).inc();
                self.connected.with_label_values::<&str>(&[]).set(*connected as f64);
            }
            Event::ReportedUpdate => {
                self.reported.with_label_values(&["upstream", "edge_hub"]).inc();
                self.report_duration.observe(&["upstream", "edge_hub"], 0.0);
            }
        }
    }

    /// The page.
    pub fn page(&self) -> String {
        let mut page = TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap_or_default();
        for summary in [&self.process_duration, &self.send_duration, &self.size, &self.report_duration] {
            summary.write(&mut page);
        }
        page
    }

    /// Serves the page for ever, and sends who asks for something else to the HTTPS head.
    ///
    /// # Errors
    /// When the address is taken.
    pub async fn listen(
        self,
        address: SocketAddr,
        https_port: Option<u16>,
    ) -> std::io::Result<impl Future<Output = ()>> {
        let listener = TcpListener::bind(address).await?;
        let metrics = Arc::new(self);
        let page = any(move || {
            let page = metrics.page();
            async move { page }
        });
        let elsewhere = move |request: Request| async move { redirected(&request, https_port) };
        let pages = Router::new().route("/metrics", page).fallback(elsewhere);
        Ok(async move {
            let _ = axum::serve(listener, pages).await;
        })
    }
}

/// The same path where TLS is spoken.
fn redirected(request: &Request, https_port: Option<u16>) -> Response {
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    let https_port = https_port.filter(|_| !planted("SEC006-nothing-is-redirected"));
    let (Some(port), Some(host)) = (https_port, host) else { return StatusCode::NOT_FOUND.into_response() };
    let port = if port == HTTPS_PORT { String::new() } else { format!(":{port}") };
    let (name, _) = host.rsplit_once(':').unwrap_or((host, ""));
    let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
    (StatusCode::TEMPORARY_REDIRECT, [(LOCATION, format!("https://{name}{port}{target}"))]).into_response()
}
