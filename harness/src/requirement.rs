//! Requirements are data: what must hold, where that is written, and how we know.
//!
//! A catalogue is read from TOML (`suites/requirements/*.toml`); nothing here knows a single requirement.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// How binding a requirement is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Clients depend on it, or it is documented: a subject that breaks it is not conforming.
    Must,
    /// The product's behaviour by its source; a replacement ought to match.
    Should,
    /// Worth knowing; recorded, and no reason to fail a hub that does better.
    May,
}

impl Level {
    /// The word as catalogues and reports spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Level::Must => "must",
            Level::Should => "should",
            Level::May => "may",
        }
    }
}

/// How a claim came to be known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Provenance {
    /// Stated in public documentation.
    Documented,
    /// Read in the product's published source.
    Source,
    /// Seen on the product while it ran.
    Observed,
}

impl Provenance {
    /// The word as catalogues and reports spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Provenance::Documented => "documented",
            Provenance::Source => "source",
            Provenance::Observed => "observed",
        }
    }
}

/// One claim about an edgeHub.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Requirement {
    /// Stable name, for instance `ROUTE-SRC-08`.
    pub id: String,
    /// How binding it is.
    pub level: Level,
    /// The claim, in one sentence.
    pub claim: String,
    /// Document and section, or source file, that the claim rests on.
    pub source: String,
    /// How the claim came to be known.
    pub provenance: Provenance,
    /// Whether a reader of the public documentation would be surprised.
    #[serde(default)]
    pub quirk: bool,
    /// Abilities a subject must have before the claim can be tested, for instance `restart`.
    #[serde(default)]
    pub needs: Vec<String>,
    /// Why no test covers it. Present exactly when there is none.
    #[serde(default)]
    pub disposition: Option<String>,
}

/// A sentence somebody relies on, and the requirements it comes down to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clause {
    /// Stable name, for instance `direct-methods`.
    pub name: String,
    /// The sentence.
    pub promise: String,
    /// Where it is written.
    pub source: String,
    /// Ids of what has to hold for it, in the order a reader should meet them.
    pub requirements: Vec<String>,
}

/// All requirements, by id, and the clauses that rest on them.
#[derive(Debug, Clone, Default)]
pub struct Catalogue {
    requirements: BTreeMap<String, Requirement>,
    clauses: Vec<Clause>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    requirement: Vec<Requirement>,
    #[serde(default)]
    clause: Vec<Clause>,
}

impl Catalogue {
    /// Reads a catalogue from the texts of its files, given as `(file name, text)`.
    ///
    /// # Errors
    /// [`CatalogueError`] names the file, and the id where one is given twice.
    pub fn parse<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, CatalogueError> {
        let mut requirements = BTreeMap::new();
        let mut clauses = Vec::new();
        for (name, text) in files {
            let file: File = toml::from_str(text)
                .map_err(|source| CatalogueError::Syntax { file: name.to_owned(), source: Box::new(source) })?;
            for requirement in file.requirement {
                let id = requirement.id.clone();
                if requirements.insert(id.clone(), requirement).is_some() {
                    return Err(CatalogueError::Twice { file: name.to_owned(), id });
                }
            }
            clauses.extend(file.clause.into_iter().map(|clause| (name, clause)));
        }
        for (file, clause) in &clauses {
            if let Some(id) = clause.requirements.iter().find(|id| !requirements.contains_key(*id)) {
                let (file, clause, id) = ((*file).to_owned(), clause.name.clone(), id.clone());
                return Err(CatalogueError::Unknown { file, clause, id });
            }
        }
        Ok(Self { requirements, clauses: clauses.into_iter().map(|(_, clause)| clause).collect() })
    }

    /// The requirement of this id.
    pub fn get(&self, id: &str) -> Option<&Requirement> {
        self.requirements.get(id)
    }

    /// The clauses, in the order of their files.
    pub fn clauses(&self) -> &[Clause] {
        &self.clauses
    }

    /// All requirements, ordered by id.
    pub fn iter(&self) -> impl Iterator<Item = &Requirement> {
        self.requirements.values()
    }
}

/// A catalogue file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CatalogueError {
    /// Not TOML, or not of the catalogue's shape.
    #[error("requirements/{file}: {source}")]
    Syntax {
        /// The file's name.
        file: String,
        /// Place and cause.
        source: Box<toml::de::Error>,
    },
    /// An id stands in the catalogue a second time.
    #[error("requirements/{file}: {id} is given a second time; ids are unique over all files")]
    Twice {
        /// The file with the second entry.
        file: String,
        /// The id.
        id: String,
    },
    /// A clause rests on a requirement that is not there.
    #[error("requirements/{file}: clause {clause} names {id}, which no file has")]
    Unknown {
        /// The file with the clause.
        file: String,
        /// The clause.
        clause: String,
        /// The id.
        id: String,
    },
}
