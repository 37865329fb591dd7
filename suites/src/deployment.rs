//! A deployment manifest: what its routes promise, with clients in the places of its modules, and with the reference
//! modules there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::future::BoxFuture;
use harness::deadline;
use harness::environment::Blueprint;
use harness::observe::history::{Delivered, History, Identity, Place};
use harness::outcome::{Outcome, Violation};
use harness::runner::{Body, Profile, Test, Worker};
use harness::stage::{Outgoing, Stage, StageError};
use harness::subject::Ability;
use harness::transport::OVER_MQTT;
use manifests::Manifest;
use serde_json::Value;

use crate::course::{broken, ended};
use crate::oracle::{self, Message, Sink, Source, Table};
use crate::scene::{self, Scene};

/// Module that sees a copy of everything the reference modules send.
const OBSERVER: &str = "observer";

/// A manifest whose routes are understood.
pub struct Deployment {
    manifest: Manifest,
    routes: BTreeMap<String, Value>,
    table: Table,
    /// Modules and their inputs, as routes name them.
    inputs: BTreeSet<(String, String)>,
    /// Modules and the outputs that routes name.
    outputs: BTreeSet<(String, Option<String>)>,
}

/// A manifest that promises nothing that could be checked.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {what}")]
pub struct Unusable {
    path: String,
    what: String,
}

const DESIRED: &str = "modulesContent.$edgeHub.properties.desired";

impl Deployment {
    /// Understands a manifest.
    ///
    /// # Errors
    /// [`Unusable`] names the place in the manifest, and what the product says to it.
    pub fn new(manifest: Manifest) -> Result<Self, Unusable> {
        let unusable = |path: String, what: &str| Unusable { path, what: what.to_owned() };
        let routes: BTreeMap<String, Value> = manifest.edge_hub["routes"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, route)| (name.clone(), route.clone()))
            .collect();
        let (mut inputs, mut outputs) = (BTreeSet::new(), BTreeSet::new());
        for (name, value) in &routes {
            let path = format!("{DESIRED}.routes.{name}");
            let text = value.as_str().or_else(|| value["route"].as_str()).unwrap_or_default();
            let route = oracle::route(text).map_err(|_| unusable(path.clone(), "this is no route; the hub would refuse the whole deployment. A route reads FROM /messages/... [WHERE condition] INTO $upstream, or INTO BrokeredEndpoint(\"/modules/NAME/inputs/INPUT\")"))?;
            if !route.compiles() {
                return Err(unusable(
                    path,
                    "its condition does not compile: the hub would report status 200 and keep the routes it has. Compare texts with texts, and use as_number for numbers",
                ));
            }
            if let Sink::Input { module, input } = &route.sink {
                inputs.insert((module.clone(), input.clone()));
            }
            let segments: Vec<&str> = route.source.split('/').filter(|segment| !segment.is_empty()).collect();
            if let ["messages", "modules", module, ref rest @ ..] = segments[..] {
                let output = match *rest {
                    ["outputs", output] => Some((*output).to_owned()),
                    _ => None,
                };
                outputs.insert((module.to_owned(), output));
            }
        }
        let document = oracle::document(&manifest.edge_hub.to_string());
        if document.is_err() {
            return Err(unusable(
                DESIRED.to_owned(),
                "the hub would refuse this document; schemaVersion 1.0 to 1.3, routes and storeAndForwardConfiguration are needed, and priorities are 0 to 9",
            ));
        }
        let table = oracle::config(&manifest.edge_hub)
            .ok()
            .and_then(|config| oracle::compile(&config).ok())
            .ok_or_else(|| unusable(DESIRED.to_owned(), "the routes cannot be compiled"))?;
        let known: BTreeSet<&str> = manifest.modules.iter().map(|module| module.name.as_str()).collect();
        outputs.retain(|(module, _)| known.contains(module.as_str()));
        Ok(Self { manifest, routes, table, inputs, outputs })
    }

    /// What each stage has: the modules of the manifest, and their inputs.
    pub fn blueprint(&self) -> Blueprint {
        let mut modules: Vec<&str> = self.manifest.modules.iter().map(|module| module.name.as_str()).collect();
        modules.push(OBSERVER);
        let known = |module: &str| modules.contains(&module);
        let inputs: Vec<(&str, &str)> = self
            .inputs
            .iter()
            .filter(|(module, _)| known(module))
            .map(|(module, input)| (module.as_str(), input.as_str()))
            .collect();
        let mut blueprint = Blueprint::new("gw7", &modules, &["leaf1"], &inputs);
        blueprint.desired = Some(self.manifest.edge_hub.clone());
        blueprint
    }

    /// The tests of the manifest.
    pub fn tests(self) -> Vec<Test> {
        let deployment = Arc::new(self);
        let test = |name: &str, requirements: &[&str], needs: Vec<Ability>, body: Body| Test {
            name: format!("deployment::{name}"),
            suite: "deployment",
            requirements: requirements.iter().map(|id| (*id).to_owned()).collect(),
            needs,
            weight: 0,
            profile: Profile::Quick,
            transports: OVER_MQTT,
            body,
        };
        let (routed, run) = (deployment.clone(), deployment);
        vec![
            test(
                "each_output_reaches_what_its_routes_name",
                &["ROUTE-FAN-03", "ROUTE-FAN-01"],
                Vec::new(),
                Arc::new(move |worker| {
                    let deployment = routed.clone();
                    Box::pin(async move {
                        Ok(ended(scene::play(worker.stage().await?, "ROUTE-FAN-03", &deployment.scene()).await?))
                    })
                }),
            ),
            test(
                "the_modules_pass_on_what_they_receive",
                &["ROUTE-FAN-03", "MQTT-DLV-01"],
                vec![Ability::Restart],
                Arc::new(move |worker| {
                    let deployment = run.clone();
                    Box::pin(async move { deployment.run_modules(worker).await })
                }),
            ),
        ]
    }

    /// Every output the routes name, sent to by a client in the place of its module; and a leaf device's message.
    fn scene(&self) -> Scene {
        let mut letters = vec![(Identity::LeafDevice("leaf1".to_owned()), Outgoing::default())];
        for (module, output) in &self.outputs {
            for output in [output.clone(), None] {
                let message = Outgoing {
                    output,
                    properties: vec![("MessageType".to_owned(), Some("Alert".to_owned()))],
                    system: [("contentType", "application/json"), ("contentEncoding", "utf-8")]
                        .map(|(name, value)| (name.to_owned(), Some(value.to_owned())))
                        .to_vec(),
                    body: r#"{"temperature":30.5,"humidity":40,"sequence":1}"#.into(),
                };
                letters.push((Identity::Module(module.clone()), message));
            }
        }
        Scene { routes: self.routes.clone(), letters }
    }

    /// Lets the reference modules run, and compares what each sends with what it was sent.
    fn run_modules<'a>(self: &'a Arc<Self>, worker: &'a mut Worker) -> BoxFuture<'a, Result<Outcome, StageError>> {
        Box::pin(async move {
            let mut blueprint = self.blueprint();
            let modules: Vec<String> = self.manifest.modules.iter().map(|module| module.name.clone()).collect();
            // The identities of the modules belong to the processes; the stage's clients are the others.
            blueprint.inputs = modules
                .iter()
                .map(|module| (OBSERVER.to_owned(), module.clone()))
                .chain([("canary".to_owned(), "c".to_owned())])
                .collect();
            let environment = worker.environment(&blueprint).await?;
            let mut stage = Stage::open(environment).await?;
            let mut routes = self.routes.clone();
            for (module, output) in self.kinds().iter().map(|(module, kind)| (module, kind.output())) {
                routes.insert(format!("observe-{module}"), Value::from(format!("FROM /messages/modules/{module}/outputs/{output} INTO BrokeredEndpoint(\"/modules/{OBSERVER}/inputs/{module}\")")));
            }
            stage.configure(routes).await?;
            for module in &modules {
                stage.drop_client(&Identity::Module(module.clone())).await?;
            }
            for module in &self.manifest.modules {
                let kind = self.kind(&module.name);
                stage.environment_mut().start_module(&module.name, kind.program(), &module.env).await?;
            }
            let mut history = History::begin();
            let complete = |history: &History| self.difference(history).is_none();
            let waited =
                stage.collect(&mut history, deadline::RETRY, "every module to pass on what it got", complete).await;
            let found = self.difference(&history).filter(|_| waited.is_err());
            stage.close().await;
            Ok(ended(found))
        })
    }

    fn kind(&self, module: &str) -> Kind {
        let image = self
            .manifest
            .modules
            .iter()
            .find(|known| known.name == module)
            .map(|known| known.image.as_str())
            .unwrap_or_default();
        let name = image.rsplit('/').next().unwrap_or_default().split(':').next().unwrap_or_default();
        let threshold = || {
            self.manifest
                .modules
                .iter()
                .find(|known| known.name == module)
                .and_then(|known| known.env.get("FILTER_THRESHOLD")?.parse().ok())
                .unwrap_or(25.0)
        };
        match name {
            name if name.contains("sensor") => Kind::Sensor,
            name if name.contains("filter") => Kind::Filter { threshold: threshold() },
            // Another image is stood in for by whatever has an input, or makes its own messages.
            _ if self.inputs.iter().any(|(owner, _)| owner == module) => Kind::Relay,
            _ => Kind::Sensor,
        }
    }

    fn kinds(&self) -> Vec<(String, Kind)> {
        self.manifest.modules.iter().map(|module| (module.name.clone(), self.kind(&module.name))).collect()
    }

    /// The first module, or the cloud, that has not got (or passed on) what it must.
    fn difference(&self, history: &History) -> Option<Violation> {
        let steps: Vec<String> = self
            .kinds()
            .iter()
            .map(|(module, kind)| format!("module {module}: reference module {}", kind.program()))
            .collect();
        let mut wanted: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
        let mut sent: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
        let mut upstream: Vec<Vec<u8>> = Vec::new();
        for delivered in &history.delivered {
            let Place::Input { module: owner, input: module } = &delivered.at else { continue };
            if owner != OBSERVER {
                continue;
            }
            sent.entry(module.clone()).or_default().push(delivered.body.to_vec());
            for delivery in self.table.deliveries(&self.message(module, delivered)) {
                match delivery.sink {
                    Sink::Upstream => upstream.push(delivered.body.to_vec()),
                    Sink::Input { module, input } if self.kind(&module).passes_on(&input, &delivered.body) => {
                        wanted.entry(module).or_default().push(delivered.body.to_vec())
                    }
                    Sink::Input { .. } => {}
                }
            }
        }
        for (module, kind) in self.kinds() {
            let count = sent.get(&module).map_or(0, Vec::len);
            if let Kind::Sensor = kind {
                let promised = self
                    .manifest
                    .modules
                    .iter()
                    .find(|known| known.name == module)
                    .and_then(|known| known.env.get("SENSOR_COUNT")?.parse().ok())
                    .unwrap_or(100);
                if count != promised {
                    return Some(broken(
                        "ROUTE-FAN-03",
                        format!("module {module} sends {promised} readings"),
                        format!("{count} were seen"),
                        &steps,
                    ));
                }
                continue;
            }
            let (mut must, mut got) =
                (wanted.remove(&module).unwrap_or_default(), sent.remove(&module).unwrap_or_default());
            must.sort();
            got.sort();
            if must != got {
                return Some(broken(
                    "MQTT-DLV-01",
                    format!("module {module} passes on the {} messages it must get", must.len()),
                    format!("it passed on {}", got.len()),
                    &steps,
                ));
            }
        }
        let mut arrived: Vec<Vec<u8>> = history
            .delivered
            .iter()
            .filter(|delivered| delivered.at == Place::Upstream)
            .map(|delivered| delivered.body.to_vec())
            .collect();
        upstream.sort();
        arrived.sort();
        (upstream != arrived).then(|| {
            broken(
                "ROUTE-FAN-03",
                format!("{} messages reach $upstream", upstream.len()),
                format!("{} did", arrived.len()),
                &steps,
            )
        })
    }

    fn message(&self, module: &str, delivered: &Delivered) -> Message {
        let output = self.kind(module).output();
        let mut system = delivered.system.clone();
        system.push(("outputName".to_owned(), Some(output.to_owned())));
        Message {
            source: Source::Module { module: module.to_owned(), output: Some(output.to_owned()) },
            properties: delivered.properties.clone(),
            system,
            body: delivered.body.to_vec(),
        }
    }
}

/// What stands in the place of an image.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Sensor,
    Relay,
    Filter { threshold: f64 },
}

impl Kind {
    fn program(self) -> &'static str {
        match self {
            Kind::Sensor => "sensor",
            Kind::Relay => "relay",
            Kind::Filter { .. } => "filter",
        }
    }

    fn output(self) -> &'static str {
        match self {
            Kind::Sensor => "temperatureOutput",
            Kind::Relay | Kind::Filter { .. } => "output1",
        }
    }

    fn passes_on(self, input: &str, body: &[u8]) -> bool {
        match self {
            Kind::Sensor => false,
            Kind::Relay => true,
            Kind::Filter { threshold } => {
                let temperature =
                    serde_json::from_slice::<Value>(body).ok().and_then(|body| body["temperature"].as_f64());
                input == "input1" && temperature.is_some_and(|temperature| temperature > threshold)
            }
        }
    }
}
