//! How to read the page, for whoever sees one for the first time.

use maud::{Markup, html};

use super::pieces;
use crate::report::v1::{Level, Standing};

pub(super) fn section() -> Markup {
    let standings = [
        (Standing::Violated, "A case was found that breaks the claim, and then the smallest one that still does."),
        (
            Standing::Inconclusive,
            "A test could not tell, for instance because the subject ended by itself. Never counted as held.",
        ),
        (
            Standing::Conforms,
            "The claim held in every case tried. That is evidence, and no proof for the cases not tried.",
        ),
        (
            Standing::NotApplicable,
            "The claim does not concern this subject, or the subject cannot be put into the situation.",
        ),
        (Standing::NotRun, "There is a test, and it was not part of this run."),
        (Standing::Untested, "There is no test yet; the reason stands beside it."),
    ];
    let levels = [
        (Level::Must, "Clients depend on it or it is documented: who breaks it does not conform."),
        (Level::Should, "What the product does by its source; a replacement ought to do the same."),
        (Level::May, "Worth knowing, and no reason to call a subject nonconforming."),
    ];
    html! {
        section #reading {
            h2 { "How to read this page" }
            p {
                "edgecert starts an edgeHub, the module and device side around it and a simulated IoT Hub, plays generated "
                "cases, records what happened, and lets a model judge the record. A "
                em { "requirement" } " is one claim with its source; a " em { "test" } " tries to break one or more of them."
            }
            h3 { "Outcomes" }
            dl.terms {
                @for (standing, meaning) in standings {
                    dt { (pieces::standing(standing).chip()) } dd { (meaning) }
                }
            }
            h3 { "Levels" }
            dl.terms {
                @for (level, meaning) in levels {
                    dt { (pieces::level(level)) } dd { (meaning) }
                }
            }
            h3 { "Other words" }
            dl.terms {
                dt { "documented, source, observed" }
                dd { "How a claim is known: from public documentation, from the product's published source, or from watching the product run." }
                dt { "seed" }
                dd { "The number all generated cases come from. The same seed gives the same cases." }
                dt { "smallest case" }
                dd { "What is left of a failing case after everything was removed without which it still fails." }
                dt { "not in the model" }
                dd { "What happened although no rule of the requirement makes it happen. Times count from the start of the case." }
            }
        }
    }
}
