use crate::{sample, awkward};
use harness::report;
use harness::event::Event;
#[test]
fn render() {
    let out = std::path::Path::new("/tmp/rep");
    let planted = {
        let mut events = sample::interrupted();
        if let Event::RunStarted { planted, .. } = &mut events[0] { *planted = Some("route-prefix".to_owned()); }
        events
    };
    for (name, record) in [
        ("conform", sample::record(&sample::all_conform())),
        ("violated", sample::record(&sample::one_violated())),
        ("inconclusive", sample::record(&sample::one_inconclusive())),
        ("planted", sample::record(&planted)),
        ("huge", awkward::record()),
    ] {
        report::write(&record, &out.join(name)).unwrap();
    }
}
