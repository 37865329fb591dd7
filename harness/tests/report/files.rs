use std::fs;
use std::path::{Path, PathBuf};

use harness::report::{self, html, json, junit, v1};

use crate::sample;

#[test]
fn the_three_files_are_written_and_nothing_else_is_left() {
    let folder = sample::folder("written");
    let below = folder.join("not").join("there").join("yet");
    let record = sample::record(&sample::one_violated());
    report::write(&record, &below).expect("written");
    let written = report::write(&record, &below).expect("written again");
    let names = fs::read_dir(&below).expect("made").map(|entry| entry.expect("listed").file_name());
    let mut names: Vec<_> = names.map(|name| name.to_string_lossy().into_owned()).collect();
    names.sort();
    assert_eq!(names, ["junit.xml", "report.html", "report.json"]);
    let report = v1::Report::from(&record).relative_to(&below);
    let text = |file: &Path| fs::read_to_string(file).expect("readable");
    assert_eq!(json::read(&text(&written.json)).expect("a report"), report);
    assert_eq!(text(&written.junit), junit::text(&report));
    assert_eq!(text(&written.html), html::page(&report));
}

#[test]
fn evidence_below_the_report_is_named_relative_to_it_and_any_other_in_full() {
    let report = v1::Report::from(&sample::record(&sample::one_violated()));
    let evidence = |report: &v1::Report| report.violations[0].evidence.clone().expect("kept");
    let here = std::env::current_dir().expect("there is one");
    for folder in [PathBuf::from("report"), "./report/".into(), here.join("report")] {
        let below = evidence(&report.clone().relative_to(&folder));
        assert!(below.starts_with("evidence/"), "{below}");
    }
    let elsewhere = evidence(&report.clone().relative_to("somewhere/else".as_ref()));
    assert_eq!(Path::new(&elsewhere), here.join(evidence(&report)));
}

#[test]
fn a_file_that_cannot_be_written_is_named_with_a_remedy_and_the_old_one_stays() {
    let folder = sample::folder("file-in-the-way");
    let record = sample::record(&sample::all_conform());
    fs::create_dir_all(folder.join("junit.xml").join("occupied")).expect("made");
    let error = report::write(&record, &folder).expect_err("a folder is in the way").to_string();
    assert!(error.contains("junit.xml") && error.contains("see that"), "{error}");
    assert!(folder.join("junit.xml").join("occupied").exists());
    let names = fs::read_dir(&folder).expect("there").count();
    assert_eq!(names, 2, "report.json, and the folder in the way");
}

#[test]
fn a_folder_that_cannot_be_made_is_named_with_a_remedy() {
    let folder = sample::folder("folder-not-made");
    let file = folder.join("a-file");
    fs::write(&file, "in the way").expect("written");
    let record = sample::record(&sample::all_conform());
    let error = report::write(&record, &file.join("report")).expect_err("a file is in the way");
    let error = error.to_string();
    assert!(error.contains("a-file/report") && error.contains("name another"), "{error}");
}
