//! The named scenes of `examples/scenes.toml`.

use std::collections::{BTreeMap, BTreeSet};

use harness::observe::history::{Identity, Place};
use harness::runner::Test;
use harness::stage::Outgoing;
use serde::Deserialize;

use crate::declare::example;
use crate::scene::{self, Letter, Scene};

/// A scene with its outcome written down.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NamedScene {
    /// The claim, as a test's name.
    pub name: String,
    /// The requirement it is an example of.
    pub requirement: String,
    routes: Vec<String>,
    messages: Vec<Message>,
    to: Vec<Vec<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Message {
    from: String,
    output: Option<String>,
    #[serde(default)]
    properties: BTreeMap<String, String>,
    #[serde(default)]
    bare: Vec<String>,
    #[serde(default)]
    system: BTreeMap<String, String>,
    #[serde(default)]
    body: String,
}

#[derive(Deserialize)]
struct File {
    scene: Vec<NamedScene>,
}

/// All named scenes.
pub fn all() -> Vec<NamedScene> {
    let file: File =
        toml::from_str(include_str!("../examples/scenes.toml")).expect("examples/scenes.toml is checked by a test");
    file.scene
}

/// Tests of the named scenes of one requirement area, for instance `ROUTE-SRC`.
pub fn tests(section: &str, area: &str) -> Vec<Test> {
    let named = all().into_iter().filter(|scene| scene.requirement.starts_with(area));
    named
        .map(|scene| {
            let name = format!("{section}::{}", scene.name);
            let suite = if section.starts_with("telemetry") { "telemetry" } else { "routing" };
            let requirement = scene.requirement.clone();
            example(suite, &name, &[&requirement], scene, |stage, named| {
                Box::pin(async move {
                    let scene = named.scene();
                    match scene::play_expecting(stage, &named.requirement, &scene, &named.expected()).await? {
                        Some(found) => scene::narrowed(stage, &scene, found).await.map(Some),
                        None => Ok(None),
                    }
                })
            })
        })
        .collect()
}

impl NamedScene {
    /// Routes and messages.
    pub fn scene(&self) -> Scene {
        Scene::of(self.routes.clone(), self.messages.iter().map(Message::letter).collect())
    }

    /// Where each message must arrive.
    pub fn expected(&self) -> Vec<BTreeSet<Place>> {
        let place = |text: &String| match text.split_once('/') {
            Some((module, input)) => Place::Input { module: module.to_owned(), input: input.to_owned() },
            None => Place::Upstream,
        };
        self.to.iter().map(|places| places.iter().map(place).collect()).collect()
    }
}

impl Message {
    fn letter(&self) -> Letter {
        let by = match self.from.strip_prefix("leaf:") {
            Some(leaf) => Identity::LeafDevice(leaf.to_owned()),
            None => Identity::Module(self.from.clone()),
        };
        let pairs = |map: &BTreeMap<String, String>| {
            map.iter().map(|(name, value)| (name.clone(), Some(value.clone()))).collect::<Vec<_>>()
        };
        let mut properties = pairs(&self.properties);
        properties.extend(self.bare.iter().map(|name| (name.clone(), None)));
        (
            by,
            Outgoing {
                output: self.output.clone(),
                properties,
                system: pairs(&self.system),
                body: self.body.clone().into(),
            },
        )
    }
}
