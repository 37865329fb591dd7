use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use harness::event::Event;
use harness::outcome::Outcome;
use harness::report::console::{Console, Style};
use harness::report::{Record, Written, block, v1};

use crate::{awkward, sample};

/// What was written, and a way to wait for more.
#[derive(Clone, Default)]
struct Paper(Arc<(Mutex<String>, Condvar)>);

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = std::str::from_utf8(bytes).expect("written in whole letters");
        self.0.0.lock().unwrap().push_str(text);
        self.0.1.notify_all();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Paper {
    fn text(&self) -> String {
        self.0.0.lock().unwrap().clone()
    }

    /// Waits until something stands there.
    fn shows(&self, text: &str) -> bool {
        let (paper, written) = &*self.0;
        let limit = Duration::from_secs(20);
        let absent = |paper: &mut String| !paper.contains(text);
        let ended = written.wait_timeout_while(paper.lock().unwrap(), limit, absent);
        !ended.unwrap().1.timed_out()
    }
}

fn shown(events: &[Event], style: Style, written: Option<&Written>) -> String {
    let paper = Paper::default();
    let mut record = Record::new(sample::catalogue());
    let mut console = Console::new(paper.clone(), style);
    for event in events {
        record.observe(event);
        console.observe(event, &record).expect("paper takes everything");
    }
    console.finish(&record, written).expect("paper takes everything");
    paper.text()
}

fn piped(events: &[Event]) -> String {
    shown(events, Style::PIPE, None)
}

/// What a terminal shows after all this was written to it, without colours.
fn screen(written: &str) -> String {
    let mut lines = vec![String::new()];
    let (mut row, mut column) = (0, 0);
    let mut rest = written.chars();
    while let Some(letter) = rest.next() {
        match letter {
            '\n' => {
                row += 1;
                column = 0;
                lines.resize(lines.len().max(row + 1), String::new());
            }
            '\r' => column = 0,
            '\x1b' => {
                let sequence: String = rest.by_ref().take_while(|letter| !letter.is_alphabetic()).collect();
                // Of the letters that end a sequence only these move or erase; `take_while` has eaten them.
                match sequence.as_str() {
                    "[2" => lines[row].clear(),
                    "[0" | "[1;31" | "[1;32" | "[1;33" => {}
                    other => panic!("an escape sequence nobody expects: {other:?}"),
                }
            }
            letter => {
                let line = &mut lines[row];
                let at = line.char_indices().nth(column).map_or(line.len(), |(at, _)| at);
                let end = line[at..].chars().next().map_or(at, |old| at + old.len_utf8());
                line.replace_range(at..end, letter.encode_utf8(&mut [0; 4]));
                column += 1;
            }
        }
    }
    lines.iter().map(|line| format!("{}\n", line.trim_end())).collect()
}

#[test]
fn a_run_in_which_all_conform_is_quiet() {
    let written = Written {
        json: "report/report.json".into(),
        junit: "report/junit.xml".into(),
        html: "report/report.html".into(),
    };
    insta::assert_snapshot!(shown(&sample::all_conform(), Style::PIPE, Some(&written)), @r#"
    edgecert judges embedded reference edgeHub 0.1.0
      4 tests, 2,412 generated cases, seed 5eed
      routing ended: 3 tests, 1,800 cases
      telemetry ended: 1 test, 612 cases

      suite      tests    cases  test time
      routing        3    1,800       25 s  all conform
      telemetry      1      612      8.3 s  all conform

      a module
      conforms        can send device-to-cloud messages that arrive wherever a route
                      takes them, once and in order.
      conforms        need not send again what was acknowledged before the hub went
                      down.

      of 6 requirements: 1 without a test

      report  report/report.html

    CONFORMS  5 requirements held, 2,412 cases, 31 s  (seed 5eed)
    "#);
}

#[test]
fn a_violation_tells_claim_symptom_case_and_command() {
    insta::assert_snapshot!(piped(&sample::one_violated()), @r#"
    edgecert judges embedded reference edgeHub 0.1.0
      4 tests, 2,412 generated cases, seed 5eed

    VIOLATED  routing::fan_out::each_matching_endpoint_gets_one_copy
                ROUTE-FAN-01 must
      claim     Several matching routes to one endpoint yield one delivery.
      source    Deploy modules and establish routes, section Declare routes; product
                1.5
      expected  sensorA#42 reaches $upstream once
      observed  sensorA#42 reached $upstream twice
                  +0.000 s  sensorA    #42 published on output temperature
                  +0.011 s  sensorA    #42 acknowledged
                  +0.412 s  $upstream  #42 delivered
                  +0.598 s  $upstream  #42 delivered   <- not in the model
      smallest  r1: FROM /messages/* INTO $upstream
                r2: FROM /messages/modules/sensorA/* INTO $upstream
                sensorA, output temperature, empty body
      waited    0.6 s of ROUTING (10 s)
      evidence  report/evidence/routing.fan_out.each_matching_endpoint_gets_one_copy
      again     edgecert test --seed 5eed --filter \
                'routing::fan_out::each_matching_endpoint_gets_one_copy'

      routing ended: 3 tests, 1,800 cases
      telemetry ended: 1 test, 612 cases

    NOT APPLICABLE  the subject lacks the ability `restart`
      routing::restart::acknowledged_messages_survive

      suite      tests    cases  test time
      routing        3    1,800       25 s  1 conform, 1 violated, 1 not applicable
      telemetry      1      612      8.3 s  all conform

      a module
      violated        can send device-to-cloud messages that arrive wherever a route
                      takes them, once and in order.
      not applicable  need not send again what was acknowledged before the hub went
                      down.

      of 6 requirements: 1 without a test

    VIOLATED  1 of 4 requirements violated, 2,412 cases, 31 s  (seed 5eed)
    "#);
}

#[test]
fn the_reason_is_that_of_the_transport_that_could_not_tell() {
    let over = |transport| sample::test(sample::FAN_OUT, transport, 3, &["ROUTE-FAN-01"]);
    let told = piped(&[
        sample::started(vec![over("mqtt"), over("amqp")]),
        sample::finished(&over("mqtt"), Outcome::Conforms, 10),
        sample::finished(&over("amqp"), sample::undecided(), 10),
    ]);
    assert!(told.contains("the hub ended by itself with exit status 139"), "{told}");
}

#[test]
fn a_test_that_could_not_tell_says_why() {
    insta::assert_snapshot!(piped(&sample::one_inconclusive()), @r#"
    edgecert judges embedded reference edgeHub 0.1.0
      4 tests, 2,412 generated cases, seed 5eed

    INCONCLUSIVE  routing::fan_out::a_message_without_a_route_is_dropped
                ROUTE-FAN-02
      reason    the hub ended by itself with exit status 139 before the case was
                over
      evidence  report/evidence/routing.fan_out.a_message_without_a_route_is_dropped
      again     edgecert test --seed 5eed --filter \
                'routing::fan_out::a_message_without_a_route_is_dropped'

      routing ended: 3 tests, 1,800 cases
      telemetry ended: 1 test, 612 cases

      suite      tests    cases  test time
      routing        3    1,800       25 s  2 conform, 1 inconclusive
      telemetry      1      612      8.3 s  all conform

      a module
      conforms        can send device-to-cloud messages that arrive wherever a route
                      takes them, once and in order.
      conforms        need not send again what was acknowledged before the hub went
                      down.

      of 6 requirements: 1 without a test

    INCONCLUSIVE  1 of 5 requirements undecided, 2,412 cases, 31 s  (seed 5eed)
    "#);
}

#[test]
fn an_interrupted_run_says_how_far_it_came() {
    insta::assert_snapshot!(piped(&sample::interrupted()), @r#"
    edgecert judges embedded reference edgeHub 0.1.0
      4 tests, 2,412 generated cases, seed 5eed
    stopped before all tests had ended

      suite      tests    cases  test time
      routing        3    1,500       15 s  1 conform, 2 not ended
      telemetry      1        0      0.0 s  1 not ended

      of 6 requirements: 4 not run, 1 without a test

    INCONCLUSIVE  stopped after 1 of 4 tests, 12 s  (seed 5eed)
    "#);
}

#[test]
fn awkward_content_stays_within_its_columns() {
    let record = awkward::record();
    let (result, found) = record.violations().last().expect("two");
    let violation = v1::Violation::of(result, found, record.catalogue());
    insta::assert_snapshot!(block::violation(&violation, 80), @r#"
    VIOLATED  routing::src::claim_8_holds_for_every_generated_case_over_mqtt
                ROUTE-SRC-08 should
      claim     A source /messages/modules/m1/* MUST NOT take messages of a module
                whose name only begins with m1.
      source    Azure/iotedge 55353a64,
                edge-hub/core/src/Microsoft.Azure.Devices.Edge.Hub.Core/config/ROUTE
                -SRC.cs
      expected  #1 with body <script>alert(1)</script>&"'<img src=x
                onerror=alert(2)> reaches filter/in
      observed  #1 reached filter/in and also filter10/in, with body 模块的消息 🌡️
                \u{202e}desrever\u{202c} \u{1b}[31m\r\n]]> naïve ﷽
                  +0.000 s  m1         #1 published on output out
                  +0.004 s  m10        #2 published on output out
                  +0.009 s  m1         #1 acknowledged
                  +0.013 s  m10        #2 acknowledged
                  +0.412 s  filter/in  #1 delivered
                  +0.598 s  a-module-with-a-really-long-name-of-its-own/input-with-a
                            -long-name
                                       #2 delivered <script>alert(1)</script>&"'<img
                                       src=x onerror=alert(2)>   <- not in the model
                 +12.250 s  harness    marker delivered
      smallest  the-long-one: FROM /messages/modules/sensorA/outputs/* WHERE
                  temperature0 > 0.5 AND $body.nested.path0 <> '0' OR temperature1 >
                  1.5 AND $body.nested.path1 <> '1' OR temperature2 > 2.5 AND
                  $body.nested.path2 <> '2' OR temperature3 > 3.5 AND
                  $body.nested.path3 <> '3' OR temperature4 > 4.5 AND
                  $body.nested.path4 <> '4' OR temperature5 > 5.5 AND
                  $body.nested.path5 <> '5' OR temperature6 > 6.5 AND
                  $body.nested.path6 <> '6' OR temperature7 > 7.5 AND
                  $body.nested.path7 <> '7' OR temperature8 > 8.5 AND
                  $body.nested.path8 <> '8' INTO
                  BrokeredEndpoint("/modules/filter/inputs/in")
                r2: FROM /messages/modules/m1/* INTO
                  BrokeredEndpoint("/modules/filter/inputs/in")
                m1, output out, properties <script>alert(1)</script>&"'<img src=x
                  onerror=alert(2)>="温度", body {"温度": 21.5, "ünï": "👩‍🔬"}
                m10, output out, empty body
                start the hub
                publish #1 while the upstream link is cut
                kill the hub
                start it again on the same storage
      waited    12 s of ROUTING (10 s)
      evidence  report/evidence/routing.src.claim_8_holds_for_every_generated_case_over_mqtt
      again     edgecert test --seed 5eed --filter \
                'routing::src::claim_8_holds_for_every_generated_case_over_mqtt'
    "#);
}

#[test]
fn a_long_timeline_is_shown_around_the_unexpected() {
    let record = sample::record(&sample::one_violated());
    let (result, found) = record.violations().next().expect("one");
    let mut violation = v1::Violation::of(result, found, record.catalogue());
    violation.timeline =
        (0..200).map(|index| sample::moment(f64::from(index), "m", &format!("#{index}"), index == 100)).collect();
    let text = block::violation(&violation, 80);
    let times: Vec<&str> = text.lines().filter(|line| line.contains(" s  m") || line.contains("...")).collect();
    insta::assert_snapshot!(times.join("\n"), @r#"
      +0.000 s  m  #0
      +1.000 s  m  #1
      +2.000 s  m  #2
         ...    94 more, in the report
     +97.000 s  m  #97
     +98.000 s  m  #98
     +99.000 s  m  #99
    +100.000 s  m  #100   <- not in the model
    +101.000 s  m  #101
    +102.000 s  m  #102
    +103.000 s  m  #103
         ...    93 more, in the report
    +197.000 s  m  #197
    +198.000 s  m  #198
    +199.000 s  m  #199
    "#);
}

#[test]
fn a_timeline_full_of_the_unexpected_is_still_short() {
    let record = sample::record(&sample::one_violated());
    let (result, found) = record.violations().next().expect("one");
    let mut violation = v1::Violation::of(result, found, record.catalogue());
    violation.timeline = (0..500).map(|index| sample::moment(f64::from(index), "m", "delivered", true)).collect();
    let text = block::violation(&violation, 80);
    assert!(text.lines().count() < 40, "{text}");
    assert!(text.contains("more, in the report"), "{text}");
}

#[test]
fn a_pipe_gets_whole_lines_of_80_columns_without_control_characters() {
    for events in [sample::all_conform(), sample::one_violated(), sample::interrupted()] {
        let text = piped(&events);
        assert!(!text.contains(|letter: char| letter.is_control() && letter != '\n'), "{text}");
        assert!(text.ends_with('\n'));
        for line in text.lines() {
            let may_be_long = line.contains("evidence") || line.contains("--filter");
            assert!(line.chars().count() <= 80 || may_be_long, "{line}");
        }
    }
}

#[test]
fn the_last_line_is_the_verdict() {
    let last = |events: &[Event]| piped(events).lines().last().expect("not empty").to_owned();
    let none = [sample::started(Vec::new()), sample::ended(0)];
    let runs = [
        sample::all_conform(),
        sample::one_violated(),
        sample::one_inconclusive(),
        sample::interrupted(),
        sample::run([(); 4].map(|()| sample::without_restart())),
        none.to_vec(),
    ];
    insta::assert_snapshot!(runs.map(|events| last(&events)).join("\n"), @r#"
    CONFORMS  5 requirements held, 2,412 cases, 31 s  (seed 5eed)
    VIOLATED  1 of 4 requirements violated, 2,412 cases, 31 s  (seed 5eed)
    INCONCLUSIVE  1 of 5 requirements undecided, 2,412 cases, 31 s  (seed 5eed)
    INCONCLUSIVE  stopped after 1 of 4 tests, 12 s  (seed 5eed)
    INCONCLUSIVE  no test applies to this subject, 0 cases, 31 s  (seed 5eed)
    INCONCLUSIVE  no test was selected, 0 cases, 0.0 s  (seed 5eed)
    "#);
}

#[test]
fn a_terminal_ends_with_the_same_text_and_nothing_left_of_the_progress_line() {
    for events in [sample::all_conform(), sample::one_violated(), sample::one_inconclusive()] {
        let drawn = screen(&shown(&events, Style::TERMINAL, None));
        let piped = piped(&events);
        let piped: String =
            piped.lines().filter(|line| !line.contains(" ended: ")).map(|line| format!("{line}\n")).collect();
        let squeezed = |text: &str| text.lines().filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n");
        assert_eq!(squeezed(&drawn), squeezed(&piped));
    }
}

#[test]
fn a_terminal_shows_how_far_the_run_is() {
    let paper = Paper::default();
    let mut record = Record::new(sample::catalogue());
    let mut console = Console::new(paper.clone(), Style::TERMINAL);
    let shrinking = Event::Shrinking { test: sample::DROPPED.to_owned(), transport: "mqtt".to_owned(), tried: 37 };
    for event in sample::all_conform().into_iter().take(6).chain([shrinking]) {
        record.observe(&event);
        console.observe(&event, &record).expect("paper takes everything");
    }
    let line = "1 of 4 tests; one failed: 37 smaller tried";
    assert!(paper.shows(line), "{:?}", paper.text());
}

#[test]
fn the_line_of_a_large_run_fits_into_80_columns() {
    let paper = Paper::default();
    let tests = (0..1_000).map(|index| {
        let name = format!("routing::fan_out::claim_{index}");
        sample::test(&name, "mqtt", 1_000_000_000, &["ROUTE-FAN-01"])
    });
    let tests: Vec<_> = tests.collect();
    let mut record = Record::new(sample::catalogue());
    let mut console = Console::new(paper.clone(), Style::TERMINAL);
    let judged =
        Event::CasesJudged { test: tests[0].name.clone(), transport: tests[0].transport.clone(), done: 77_777 };
    for event in [sample::started(tests), judged] {
        record.observe(&event);
        console.observe(&event, &record).expect("paper takes everything");
    }
    assert!(paper.shows("77,777 of 1,0"), "{:?}", paper.text());
    drop(console);
    for line in paper.text().split(['\n', '\r']) {
        let line = line.replace("\x1b[2K", "");
        assert!(line.chars().count() <= 80, "{line:?}");
    }
}

#[test]
fn colours_are_left_out_when_not_wanted() {
    let style = Style { colour: false, ..Style::TERMINAL };
    let plain = shown(&sample::one_violated(), style, None);
    let coloured = shown(&sample::one_violated(), Style::TERMINAL, None);
    assert!(coloured.contains("\x1b[1;31mVIOLATED\x1b[0m"));
    assert!(!plain.contains("\x1b[1;") && plain.contains("VIOLATED"));
}
