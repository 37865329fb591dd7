//! The command line that plays the same again.

use harness::subject::Subject;

/// The arguments that say what is judged: nothing for the embedded hub as it is.
pub fn of_subject(hub: &Subject, plant: Option<&str>, settings: &[(String, String)]) -> Vec<String> {
    let mut arguments = match hub {
        Subject::Embedded => Vec::new(),
        Subject::Command(argv) => vec![format!("--hub '{}'", quoted(&format!("command:{}", argv.join(" "))))],
        Subject::Attach(file) => vec![format!("--hub 'attach:{}'", quoted(&file.display().to_string()))],
    };
    arguments.extend(plant.map(|fault| format!("--plant {fault}")));
    let pair = |(name, value): &(String, String)| format!("--hub-setting '{}'", quoted(&format!("{name}={value}")));
    arguments.extend(settings.iter().map(pair));
    arguments
}

/// Text between single quotes of a shell.
pub fn quoted(text: &str) -> String {
    text.replace('\'', "'\\''")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_differs_from_the_embedded_hub_is_said() {
        assert!(of_subject(&Subject::Embedded, None, &[]).is_empty());
        let command = Subject::Command(vec!["hub".to_owned(), "it's".to_owned()]);
        let settings = [("A".to_owned(), "b c".to_owned())];
        assert_eq!(
            of_subject(&command, Some("R18"), &settings),
            ["--hub 'command:hub it'\\''s'", "--plant R18", "--hub-setting 'A=b c'"]
        );
    }
}
