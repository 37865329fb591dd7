//! Which tests run, and how many generated cases each judges.

use std::collections::BTreeSet;

use harness::requirement::Catalogue;
use harness::runner::{Profile, Test};

/// Generated cases of a run that names no number. Shares are rounded up, which makes up for the share of what only a full
/// run plays: a quick run judges as many.
pub const CASES: u64 = 15_000;

/// What the command line asks for.
#[derive(Debug, Default, Clone, clap::Args)]
pub struct Selection {
    /// Run one suite only; may be given several times (`edgecert list suites`).
    #[arg(long = "suite", value_name = "NAME")]
    pub suites: Vec<String>,
    /// Run tests whose name contains this text.
    #[arg(long, value_name = "TEXT")]
    pub filter: Option<String>,
    /// Run tests of one requirement only; may be given several times.
    #[arg(long = "requirement", value_name = "ID")]
    pub requirements: Vec<String>,
    /// How thorough: `quick` takes about three minutes; `full` adds what takes real minutes.
    #[arg(long, value_enum, value_name = "NAME", default_value_t = Thoroughness::Quick)]
    pub profile: Thoroughness,
}

/// How thorough a run is, as the command line spells it.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Thoroughness {
    /// A few minutes.
    #[default]
    Quick,
    /// Real minutes too.
    Full,
}

impl From<Thoroughness> for Profile {
    fn from(thoroughness: Thoroughness) -> Self {
        match thoroughness {
            Thoroughness::Quick => Profile::Quick,
            Thoroughness::Full => Profile::Full,
        }
    }
}

impl Selection {
    /// Whether the names exist.
    ///
    /// # Errors
    /// The name that does not, and where to look.
    pub fn check(&self, catalogue: &Catalogue) -> anyhow::Result<()> {
        for suite in &self.suites {
            if !suites::SUITES.iter().any(|(name, _)| name == suite) {
                anyhow::bail!("--suite {suite}: there is no such suite; `edgecert list suites` names them all");
            }
        }
        for id in &self.requirements {
            if catalogue.get(id).is_none() {
                anyhow::bail!(
                    "--requirement {id}: there is no such requirement; `edgecert list requirements` names them all"
                );
            }
        }
        Ok(())
    }

    fn takes(&self, test: &Test) -> bool {
        let in_suite = self.suites.is_empty() || self.suites.iter().any(|suite| suite == test.suite);
        let named = self.filter.as_ref().is_none_or(|text| test.name.contains(text.as_str()));
        let required =
            self.requirements.is_empty() || test.requirements.iter().any(|id| self.requirements.contains(id));
        in_suite && named && required
    }

    fn has_time_for(&self, test: &Test) -> bool {
        test.profile <= Profile::from(self.profile)
    }

    /// The chosen tests with their numbers of cases on each transport. `cases` is shared among *all* tests on all their
    /// transports by the weights of the tests, so that a test judges the same cases whatever runs beside it.
    ///
    /// # Errors
    /// When nothing is left to run.
    pub fn tests(&self, cases: u64) -> anyhow::Result<Vec<(Test, u64)>> {
        let all = suites::tests();
        let weights: u64 = all.iter().map(|test| u64::from(test.weight) * test.transports.len() as u64).sum();
        let (chosen, later): (Vec<Test>, Vec<Test>) =
            all.into_iter().filter(|test| self.takes(test)).partition(|test| self.has_time_for(test));
        let chosen: Vec<(Test, u64)> = chosen
            .into_iter()
            .map(|test| {
                let share = u64::from(test.weight) * cases;
                let cases = if test.weight == 0 { 0 } else { share.div_ceil(weights).max(1) };
                (test, cases)
            })
            .collect();
        if let (true, Some(test)) = (chosen.is_empty(), later.first()) {
            anyhow::bail!("{} takes real minutes; it runs with --profile full", test.name);
        }
        if chosen.is_empty() {
            anyhow::bail!(
                "no test is left to run; `edgecert list requirements --format json` shows the tests of each requirement"
            );
        }
        Ok(chosen)
    }
}

/// Tests of any of these requirements, the quickest first: those of a quick run, or those that only a full run has.
pub fn tests_of(
    requirements: &BTreeSet<&str>,
    suites_wanted: &[String],
    cases: u64,
    profile: Profile,
) -> anyhow::Result<Vec<(Test, u64)>> {
    let selection = Selection {
        suites: suites_wanted.to_vec(),
        filter: None,
        requirements: requirements.iter().map(|id| (*id).to_owned()).collect(),
        profile: Thoroughness::Full,
    };
    let mut tests = selection.tests(cases)?;
    tests.retain(|(test, _)| test.profile == profile);
    tests.sort_by_key(|(test, cases)| (!test.needs.is_empty(), *cases));
    Ok(tests)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quick_run_judges_fifteen_thousand_cases_and_hardly_more() {
        let tests = Selection::default().tests(CASES).expect("tests are left to run");
        let judged: u64 = tests.iter().map(|(test, cases)| cases * test.transports.len() as u64).sum();
        assert!((15_000..15_100).contains(&judged), "{judged}");
    }
}
